import type { MessageDescriptor } from "@lingui/core";
import { msg } from "@lingui/core/macro";
import { Trans, useLingui } from "@lingui/react/macro";
import { type ReactNode, useMemo } from "react";
import type { ProcessEvent } from "../../api/client.ts";
import { DataGrid, type GridRows } from "../../ui/DataGrid.tsx";
import { clock, day, grouped, UNKNOWN } from "../../ui/format.ts";
import type { ActiveCell, GridColumn } from "../../ui/gridKeys.ts";
import { usePreferences } from "../../ui/preferences.ts";
import { useNarrow } from "../../ui/rowHeight.ts";
import { Severity } from "../../ui/Severity.tsx";
import * as text from "./eventText.ts";
import type { Gap, TailItem, TailState } from "./tail.ts";

type EventColumn = {
  id: string;
  label: MessageDescriptor;
  meaning: MessageDescriptor;
  width: number;
  fill?: boolean;
  numeric?: boolean;
  /** Width on a telephone; columns without one are left to the details there. */
  narrow?: number;
};

const COLUMNS: readonly EventColumn[] = [
  {
    id: "ts",
    label: msg`Time`,
    meaning: msg`When it happened, by the host's clock`,
    width: 108,
    narrow: 80,
  },
  { id: "type", label: msg`Event`, meaning: msg`Kind of event`, width: 68, narrow: 64 },
  { id: "agent_id", label: msg`Host`, meaning: msg`The agent that reports the event`, width: 104 },
  { id: "pid", label: msg`PID`, meaning: msg`Process number`, width: 72, numeric: true },
  { id: "name", label: msg`Name`, meaning: msg`Name of the process`, width: 136, narrow: 96 },
  { id: "username", label: msg`User`, meaning: msg`Real user of the process`, width: 96 },
  {
    id: "outcome",
    label: msg`Outcome`,
    meaning: msg`Exit code or signal of an exit; operation, device and size of a slow request`,
    width: 160,
    narrow: 128,
  },
  {
    id: "length",
    label: msg`Duration`,
    meaning: msg`From start to exit; for a slow request, its latency`,
    width: 84,
    numeric: true,
  },
  {
    id: "cpu",
    label: msg`CPU time`,
    meaning: msg`CPU time of the whole life; ≥ while a zombie's totals are not final`,
    width: 92,
    numeric: true,
  },
  {
    id: "rss",
    label: msg`Peak RSS`,
    meaning: msg`Largest resident memory of the whole life`,
    width: 88,
    numeric: true,
  },
  {
    id: "cmdline",
    label: msg`Command`,
    meaning: msg`Command line with its secrets taken out`,
    width: 320,
    fill: true,
  },
];

type Props = {
  state: TailState;
  active: ActiveCell | null;
  onActive: (cell: ActiveCell) => void;
  onOpen: (key: string) => void;
  onScroll: (position: { top: number; rowsBelow: number }) => void;
};

export function EventTable({ state, ...grid }: Props) {
  const { t, i18n } = useLingui();
  const { utc } = usePreferences();
  const narrow = useNarrow();
  // biome-ignore lint/correctness/useExhaustiveDependencies: i18n stays the same object in another language
  const columns = useMemo<GridColumn[]>(
    () =>
      COLUMNS.filter((column) => !narrow || column.narrow).map((column) => ({
        ...column,
        width: narrow ? (column.narrow ?? column.width) : column.width,
        label: i18n._(column.label),
        title: i18n._(column.meaning),
      })),
    [narrow, i18n, i18n.locale],
  );
  const cell = useMemo(
    () => (item: TailItem, id: string) => {
      const event = process(item);
      return event ? cellText(event, id, utc, narrow) : gapCell(item, id, utc);
    },
    [utc, narrow],
  );
  const { items } = state;
  const rows: GridRows<TailItem> = {
    count: items.length,
    at: (index) => items[index] as TailItem,
    keyOf: (item) => item.key,
    indexOf: (key) => items.findIndex((item) => item.key === key),
    revisionOf: () => 0,
    toneOf: (item) => (process(item) ? "normal" : "gap"),
    cell,
  };
  const totalRows = state.bottom === "end" ? items.length + 1 : -1;
  return (
    <DataGrid label={t`Events`} columns={columns} rows={rows} totalRows={totalRows} {...grid} />
  );
}

function cellText(event: ProcessEvent, id: string, utc: boolean, narrow: boolean): ReactNode {
  switch (id) {
    case "ts":
      return time(event.ts, utc, narrow);
    case "outcome":
      return <Outcome event={event} />;
    case "length":
      return text.length(event);
    case "cpu":
      return text.cpuTime(event);
    case "rss":
      return text.peakRss(event);
    case "cmdline":
      return <code>{text.command(event)}</code>;
    case "pid":
      return event.pid ?? UNKNOWN;
    default:
      return event[id as "type" | "agent_id" | "name" | "username"] ?? UNKNOWN;
  }
}

function Outcome({ event }: { event: ProcessEvent }) {
  const level = text.severity(event);
  const words = text.outcome(event);
  return level ? (
    <>
      <Severity level={level} /> {words}
    </>
  ) : (
    words
  );
}

/** Time of day; the date in front when it was not today. */
function time(iso: string, utc: boolean, narrow: boolean): string {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return UNKNOWN;
  const date = day(at, utc);
  if (date === day(new Date(), utc)) return clock(at, utc, !narrow);
  return `${date.slice(5)} ${clock(at, utc).slice(0, narrow ? 5 : 8)}`;
}

/** The event that fills a row; gaps of the stream and losses on a host are drawn as holes. */
function process(item: TailItem): ProcessEvent | null {
  return item.event?.type === "loss" ? null : item.event;
}

/** A gap row has one cell, the first; the stylesheet stretches it over all columns. */
function gapCell(item: TailItem, id: string, utc: boolean): ReactNode {
  if (id !== "ts") return null;
  return (
    <>
      <Severity level="warning" />{" "}
      {item.event ? <Loss event={item.event} utc={utc} /> : item.gap && <GapText gap={item.gap} />}
    </>
  );
}

function Loss({ event, utc }: { event: ProcessEvent; utc: boolean }) {
  const until = clock(new Date(event.ts), utc, true);
  const from = clock(new Date(event.from ?? event.ts), utc, true);
  const count = grouped(event.loss_count ?? 0);
  const kind = event.loss_kind ?? UNKNOWN;
  const reason = event.loss_reason ?? UNKNOWN;
  const host = event.agent_id;
  const { command } = event;
  if (command) {
    return (
      <Trans>
        {from} – {until}: {count} × {kind} of {command} lost on {host} ({reason})
      </Trans>
    );
  }
  return (
    <Trans>
      {from} – {until}: {count} × {kind} lost on {host} ({reason})
    </Trans>
  );
}

function GapText({ gap }: { gap: Gap }) {
  switch (gap.kind) {
    case "reset": {
      const { reason } = gap;
      return <Trans>Events are missing here: {reason}</Trans>;
    }
    case "skipped": {
      const count = grouped(gap.count);
      return (
        <Trans>
          {count} events came too fast to show; narrow the filter or scroll back to them
        </Trans>
      );
    }
    case "unkept": {
      const count = grouped(gap.count);
      return <Trans>{count} events came while paused and were not kept</Trans>;
    }
    case "disconnected":
      return <Trans>The connection was lost here; events may be missing</Trans>;
  }
}
