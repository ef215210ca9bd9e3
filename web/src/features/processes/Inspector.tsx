/** Everything known about one process. */
import { Trans, useLingui } from "@lingui/react/macro";
import type { ReactNode } from "react";
import type { ColumnStore } from "../../api/columnStore.ts";
import { Details, Fact, Facts, Long } from "../../ui/Details.tsx";
import { duration, instant, UNKNOWN } from "../../ui/format.ts";
import { usePreferences } from "../../ui/preferences.ts";
import { useNow } from "../../ui/useNow.ts";
import { COLUMNS, columnById } from "./columns.ts";

type Props = {
  store: ColumnStore;
  /** Undefined when the process is gone. */
  slot: number | undefined;
  onClose: () => void;
  /** A link to the events of processes of this name on this host. */
  eventsLink: (host: string, name: string) => ReactNode;
};

const ELSEWHERE = new Set(["cmdline", "name", "start_time"]);

export function Inspector({ store, slot, onClose, eventsLink }: Props) {
  const { t } = useLingui();
  if (slot === undefined) {
    return (
      <Details label={t`Process details`} title={<Trans>Gone</Trans>} onClose={onClose}>
        <p>
          <Trans>This process has exited, or its host no longer reports it.</Trans>
        </p>
      </Details>
    );
  }
  const name = store.string("name", slot) ?? UNKNOWN;
  const title = `${name} ${store.number("pid", slot)}`;
  return (
    <Details label={t`Process details`} title={title} onClose={onClose}>
      <ProcessFacts store={store} slot={slot} />
      {eventsLink(store.string("agent_id", slot) ?? "", name)}
    </Details>
  );
}

function ProcessFacts({ store, slot }: { store: ColumnStore; slot: number }) {
  const { i18n } = useLingui();
  const { utc } = usePreferences();
  const now = useNow(1000);
  const start = store.number("start_time", slot);
  const startText = Number.isNaN(start) ? UNKNOWN : instant(new Date(start).toISOString(), utc);
  return (
    <Facts>
      <Fact label={<Trans>Command</Trans>} wide>
        <Long>{columnById("cmdline")?.text(store, slot, utc)}</Long>
      </Fact>
      <Fact label={<Trans>Executable</Trans>} wide>
        <code>{store.string("exe", slot) ?? UNKNOWN}</code>
      </Fact>
      {COLUMNS.filter((column) => !ELSEWHERE.has(column.id)).map((column) => (
        <Fact
          key={column.id}
          wide={column.id === "cgroup"}
          label={i18n._(column.label)}
          title={i18n._(column.meaning)}
        >
          {column.text(store, slot, utc)}
        </Fact>
      ))}
      <Fact label={<Trans>Started</Trans>} wide>
        {startText}
        {!Number.isNaN(start) && ` (${duration(Math.max(0, now - start))})`}
      </Fact>
      <Fact label={<Trans>Process id</Trans>} wide>
        <code>{store.string("process_id", slot)}</code>
      </Fact>
    </Facts>
  );
}
