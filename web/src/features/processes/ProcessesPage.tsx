import { Trans, useLingui } from "@lingui/react/macro";
import { type ReactNode, useMemo, useState } from "react";
import { liveTab, useLive } from "../../api/live.ts";
import { instant } from "../../ui/format.ts";
import type { ActiveCell } from "../../ui/gridKeys.ts";
import { Notice } from "../../ui/Notice.tsx";
import { usePreferences } from "../../ui/preferences.ts";
import { useNarrow } from "../../ui/rowHeight.ts";
import { parseColumns, parseSort, writeSort } from "./columns.ts";
import { FilterBox } from "./FilterBox.tsx";
import { parseFilter } from "./filter.ts";
import { Inspector } from "./Inspector.tsx";
import { ListState } from "./ListState.tsx";
import styles from "./ProcessesPage.module.css";
import { ProcessTable } from "./ProcessTable.tsx";
import { StatusLine } from "./StatusLine.tsx";
import { Toolbar } from "./Toolbar.tsx";
import { useFilterText } from "./useFilterText.ts";
import { useProcessView } from "./useProcessView.ts";

/** The part of the screen that the address reproduces. */
export type ProcessQuery = { q?: string; sort?: string; cols?: string };

type Props = {
  query: ProcessQuery;
  onQuery: (change: ProcessQuery) => void;
  /** Shown when no agent has reported yet. */
  firstRun: ReactNode;
  eventsLink: (host: string, name: string) => ReactNode;
};

export function ProcessesPage({ query, onQuery, firstRun, eventsLink }: Props) {
  const { t } = useLingui();
  const narrow = useNarrow();
  const [text, setText] = useFilterText(query.q ?? "", (q) => onQuery({ ...query, q }));
  const filter = useMemo(() => parseFilter(text), [text]);
  const sort = useMemo(() => parseSort(query.sort), [query.sort]);
  const columns = useMemo(() => parseColumns(query.cols, narrow), [query.cols, narrow]);
  const { view, state } = useProcessView(filter, sort);
  const [active, setActive] = useState<ActiveCell | null>(null);
  const [opened, setOpened] = useState<string | null>(null);
  const live = useLive((all) => all.live);
  const at = useLive((all) => all.at);
  const hosts = useLive((all) => all.agents?.agents.length ?? 0);
  const received = at !== null;
  const ready = received && (state.total > 0 || hosts > 0);
  return (
    <div className={styles.page}>
      <h1 className="visually-hidden">
        <Trans>Processes</Trans>
      </h1>
      <div className={styles.controls}>
        <FilterBox text={text} filter={filter} onText={setText} store={state.store} />
        <Toolbar
          state={state}
          filter={filter}
          sort={sort}
          columns={columns}
          onColumns={(ids) => onQuery({ ...query, cols: ids?.join(",") })}
          onFreeze={() => view.freeze(!state.frozen, liveTab.getState().at)}
        />
      </div>
      {received && <LostNotice at={at} />}
      {ready && <StatusLine {...{ state, sort, columns, active }} query={text} />}
      <div className={styles.content}>
        {ready && state.order.length > 0 ? (
          <ProcessTable
            state={state}
            columns={columns}
            sort={sort}
            onSort={(next) => onQuery({ ...query, sort: writeSort(next) })}
            active={active}
            onActive={setActive}
            onOpen={setOpened}
            onTouched={() => view.touched()}
            stale={live.state === "lost"}
          />
        ) : (
          <ListState {...{ state, filter, live, firstRun, received, hosts }} onText={setText} />
        )}
        {opened !== null && (
          <Inspector
            store={state.store}
            slot={state.store.slotOf(opened)}
            onClose={() => setOpened(null)}
            eventsLink={eventsLink}
          />
        )}
      </div>
      <span className="visually-hidden">{t`Press ? for the keys`}</span>
    </div>
  );
}

function LostNotice({ at }: { at: string }) {
  const { utc } = usePreferences();
  const { state, cause } = useLive((all) => all.live);
  if (state !== "lost") return null;
  const when = instant(at, utc);
  return (
    <Notice level="warning">
      <Trans>The connection is lost; these rows are of {when}. Reconnecting.</Trans>{" "}
      {cause ?? <Trans>The server does not answer.</Trans>}
    </Notice>
  );
}
