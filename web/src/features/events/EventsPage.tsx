import { Trans } from "@lingui/react/macro";
import { type ReactNode, useMemo, useRef, useState } from "react";
import { useLive } from "../../api/live.ts";
import type { EventFilter } from "../../api/protocol.ts";
import type { ActiveCell } from "../../ui/gridKeys.ts";
import { Notice } from "../../ui/Notice.tsx";
import { EventDetails } from "./EventDetails.tsx";
import { EventFilters } from "./EventFilters.tsx";
import styles from "./EventsPage.module.css";
import { EventTable } from "./EventTable.tsx";
import { NoEvents } from "./NoEvents.tsx";
import { TailLine } from "./TailLine.tsx";
import { useFollowing } from "./useFollowing.ts";
import { useTail } from "./useTail.ts";

/** The part of the screen that the address reproduces; `type` is a comma-separated list. */
export type EventQuery = { type?: string; name?: string; host?: string; user?: string };

type Props = {
  query: EventQuery;
  onQuery: (change: EventQuery) => void;
  /** Shown when no agent has reported yet. */
  firstRun: ReactNode;
};

export function EventsPage({ query, onQuery, firstRun }: Props) {
  const filter = useFilter(query);
  const content = useRef<HTMLDivElement>(null);
  const { tail, state } = useTail(filter);
  const { pause, toggle, onScroll } = useFollowing(tail, content);
  const [active, setActive] = useState<ActiveCell | null>(null);
  const [opened, setOpened] = useState<string | null>(null);
  const agents = useLive((all) => all.agents?.agents);
  const select = (cell: ActiveCell) => {
    setActive(cell);
    if (cell.key !== null) pause();
  };
  const change = (next: Partial<EventFilter>) => {
    const { types, ...rest } = { ...filter, ...next };
    onQuery({ ...rest, type: types.join(",") });
  };
  const event = state.items.find((item) => item.key === opened)?.event;
  return (
    <div className={styles.page}>
      <h1 className="visually-hidden">
        <Trans>Events</Trans>
      </h1>
      <EventFilters filter={filter} onFilter={change} />
      <StreamNotice />
      <TailLine state={state} onToggle={toggle} onMore={() => void tail.fill()} />
      <div className={styles.content} ref={content}>
        {state.items.length > 0 ? (
          <EventTable {...{ state, active, onScroll }} onActive={select} onOpen={setOpened} />
        ) : (
          <NoEvents
            {...{ state, filter }}
            firstRun={agents?.length === 0 ? firstRun : null}
            onClear={() => onQuery({})}
            onRetry={() => void tail.open(false)}
          />
        )}
        {event && <EventDetails event={event} onClose={() => setOpened(null)} />}
      </div>
    </div>
  );
}

/** The same object for the same query: another object is another tail. */
function useFilter({ type, name, host, user }: EventQuery): EventFilter {
  return useMemo(
    () => ({
      types: type ? type.split(",") : [],
      name: name ?? "",
      host: host ?? "",
      user: user ?? "",
    }),
    [type, name, host, user],
  );
}

function StreamNotice() {
  const connection = useLive((all) => all.events);
  if (connection.state !== "lost") return null;
  return (
    <Notice level="warning">
      <Trans>The event stream is lost; new events do not appear. Reconnecting.</Trans>{" "}
      {connection.cause ?? <Trans>The server does not answer.</Trans>}
    </Notice>
  );
}
