/** What the table shows: how many of how many, frozen or held, and where the selected row went. */
import { Trans, useLingui } from "@lingui/react/macro";
import { useEffect, useState } from "react";
import { useLive } from "../../api/live.ts";
import { Announcer } from "../../ui/Announcer.tsx";
import { clock, grouped, zoneName } from "../../ui/format.ts";
import type { ActiveCell } from "../../ui/gridKeys.ts";
import { usePreferences } from "../../ui/preferences.ts";
import { Severity } from "../../ui/Severity.tsx";
import { columnById, type ProcessColumn } from "./columns.ts";
import styles from "./StatusLine.module.css";
import type { Sort, ViewState } from "./view.ts";

type Props = {
  state: ViewState;
  sort: Sort;
  columns: readonly ProcessColumn[];
  active: ActiveCell | null;
  /** The filter as typed. */
  query: string;
};

export function StatusLine({ state, sort, columns, active, query }: Props) {
  const { t, i18n } = useLingui();
  const shown = grouped(state.order.length);
  const total = grouped(state.total);
  const column = columnById(sort.column);
  const label = column ? i18n._(column.label) : sort.column;
  const summary =
    state.order.length === state.total ? t`${total} processes` : t`${shown} of ${total} processes`;
  return (
    <div className={styles.line}>
      <Announcer text={summary} when={query} />
      <span>{summary}</span>
      <SilentHosts />
      <span>
        {sort.descending ? t`by ${label} ↓` : t`by ${label} ↑`}
        {state.held && !state.frozen && (
          <>
            {" · "}
            <Trans>order kept while you point</Trans>
          </>
        )}
      </span>
      {state.frozen && <Frozen state={state} />}
      <Selected state={state} columns={columns} active={active} />
    </div>
  );
}

/** Not all hosts report: their rows are old, or missing. */
function SilentHosts() {
  const agents = useLive((all) => all.agents?.agents) ?? [];
  const seen = agents.length;
  const live = agents.filter((agent) => agent.status === "live").length;
  if (live === seen) return null;
  return (
    <span>
      <Severity level="warning" />{" "}
      <Trans>
        {live} of {seen} hosts report
      </Trans>
    </span>
  );
}

function Frozen({ state }: { state: ViewState }) {
  const { utc } = usePreferences();
  const time = new Date(state.frozenAt ?? Date.now());
  const when = `${clock(time, utc)} ${zoneName(time, utc)}`;
  return (
    <span className={styles.frozen}>
      <Severity level="info" /> <Trans>frozen at {when}</Trans>
      {": "}
      <Trans>
        +{state.added} new −{state.gone} gone
      </Trans>
    </span>
  );
}

function Selected({ state, columns, active }: Pick<Props, "state" | "columns" | "active">) {
  const { t, i18n } = useLingui();
  const key = active?.key ?? null;
  const slot = key === null ? undefined : state.store.slotOf(key);
  const rank = slot === undefined ? 0 : state.order.indexOf(slot) + 1;
  const from = useFirstRank(key, rank);
  if (key === null) return null;
  if (slot === undefined) return <span>{t`the selected process is gone`}</span>;
  const column = columns[active?.column ?? 0] ?? columns[0];
  const name = state.store.string("name", slot) ?? "?";
  const pid = state.store.number("pid", slot);
  return (
    <span className={styles.selected}>
      {name} {pid}
      {" · "}
      {rank === 0
        ? t`outside the filter`
        : from > 0 && from !== rank
          ? t`rank ${from} → ${rank}`
          : t`rank ${rank}`}
      {column && (
        <span
          className={styles.meaning}
        >{` · ${i18n._(column.label)}: ${i18n._(column.meaning)}`}</span>
      )}
    </span>
  );
}

/** The rank that the selected row had when it was selected. */
function useFirstRank(key: string | null, rank: number): number {
  const [first, setFirst] = useState({ key, rank });
  useEffect(() => {
    if (key !== first.key) setFirst({ key, rank });
  }, [key, rank, first.key]);
  return first.key === key ? first.rank : rank;
}
