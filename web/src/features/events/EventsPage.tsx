import { Trans } from "@lingui/react/macro";
import { type ReactNode, useMemo, useRef, useState } from "react";
import { RequestError } from "../../api/client.ts";
import { useLive } from "../../api/live.ts";
import type { EventFilter } from "../../api/protocol.ts";
import { EmptyState } from "../../ui/EmptyState.tsx";
import { grouped } from "../../ui/format.ts";
import type { ActiveCell } from "../../ui/gridKeys.ts";
import { useKeys } from "../../ui/keys.ts";
import { Notice } from "../../ui/Notice.tsx";
import { Severity } from "../../ui/Severity.tsx";
import { EventDetails } from "./EventDetails.tsx";
import { EventFilters } from "./EventFilters.tsx";
import styles from "./EventsPage.module.css";
import { EventTable } from "./EventTable.tsx";
import { SCREENFUL, type TailState } from "./tail.ts";
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
  const { type, name, host, user } = query;
  const filter = useMemo<EventFilter>(
    () => ({
      types: type ? type.split(",") : [],
      name: name ?? "",
      host: host ?? "",
      user: user ?? "",
    }),
    [type, name, host, user],
  );
  const { tail, state } = useTail(filter);
  const [active, setActive] = useState<ActiveCell | null>(null);
  const [opened, setOpened] = useState<string | null>(null);
  // Scrolling away pauses and coming back resumes; a pause that was asked for stays.
  const asked = useRef(false);
  const content = useRef<HTMLDivElement>(null);
  const connection = useLive((all) => all.events);
  const agents = useLive((all) => all.agents?.agents);
  const resume = () => {
    asked.current = false;
    content.current?.querySelector('[role="grid"]')?.scrollTo({ top: 0 });
    tail.pause(false);
  };
  const pause = () => {
    asked.current = true;
    tail.pause(true);
  };
  const toggle = () => (state.paused ? resume() : pause());
  useKeys({ l: toggle, L: toggle });
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
      {connection.state === "lost" && (
        <Notice level="warning">
          <Trans>The event stream is lost; new events do not appear. Reconnecting.</Trans>{" "}
          {connection.cause ?? <Trans>The server does not answer.</Trans>}
        </Notice>
      )}
      <Line state={state} onToggle={toggle} onMore={() => void tail.fill()} />
      <div className={styles.content} ref={content}>
        {state.items.length > 0 ? (
          <EventTable
            state={state}
            active={active}
            onActive={(cell) => {
              setActive(cell);
              if (cell.key !== null) pause();
            }}
            onOpen={setOpened}
            onScroll={({ top, rowsBelow }) => {
              if (top > 4) tail.pause(true);
              else if (!asked.current) tail.pause(false);
              if (rowsBelow < 40) void tail.more();
            }}
          />
        ) : (
          <NoEvents
            state={state}
            filter={filter}
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

type LineProps = { state: TailState; onToggle: () => void; onMore: () => void };

function Line({ state, onToggle, onMore }: LineProps) {
  if (state.phase !== "ready") return null;
  const waiting = grouped(state.waiting);
  const held = grouped(state.items.filter((item) => item.event).length);
  return (
    <div className={styles.line}>
      <button type="button" aria-pressed={state.paused} onClick={onToggle}>
        {state.paused ? <Trans>Resume</Trans> : <Trans>Pause</Trans>} <kbd>L</kbd>
      </button>
      <span className="visually-hidden" role="status">
        {state.paused && <Trans>Paused</Trans>}
      </span>
      {state.paused && (
        <span className={styles.waiting}>
          <Severity level="info" /> <Trans>paused, {waiting} new</Trans>
        </span>
      )}
      <span>
        <Trans>{held} events, newest first</Trans>
        {state.loadingMore && (
          <>
            {" · "}
            <Trans>looking further back …</Trans>
          </>
        )}
      </span>
      {state.bottom === "more" && !state.loadingMore && state.items.length < SCREENFUL && (
        <button type="button" onClick={onMore}>
          <Trans>Look further back</Trans>
        </button>
      )}
      {state.bottom === "full" && (
        <span>
          <Trans>the list is full; narrow the filter to look further back</Trans>
        </span>
      )}
      {state.error && (
        <span>
          <Trans>older events could not be loaded:</Trans> {state.error.message}
        </span>
      )}
    </div>
  );
}

type NoEventsProps = {
  state: TailState;
  filter: EventFilter;
  firstRun: ReactNode;
  onClear: () => void;
  onRetry: () => void;
};

function NoEvents({ state, filter, firstRun, onClear, onRetry }: NoEventsProps) {
  if (state.phase === "loading" || state.loadingMore)
    return <EmptyState title={<Trans>Loading events …</Trans>} />;
  if (state.phase === "failed") return <Failed error={state.error} onRetry={onRetry} />;
  if (firstRun) return firstRun;
  const clauses = [
    filter.types.length > 0 && `type ${filter.types.join(", ")}`,
    filter.name && `name ${filter.name}`,
    filter.host && `host ${filter.host}`,
    filter.user && `user ${filter.user}`,
  ].filter(Boolean);
  if (clauses.length === 0) {
    return (
      <EmptyState title={<Trans>No events yet</Trans>}>
        <p>
          <Trans>The next process that starts or exits on a watched host appears here.</Trans>
        </p>
      </EmptyState>
    );
  }
  return (
    <EmptyState
      title={<Trans>No event matches the filter</Trans>}
      action={
        <button type="button" onClick={onClear}>
          <Trans>Clear the filter</Trans>
        </button>
      }
    >
      <p>{clauses.join(" · ")}</p>
    </EmptyState>
  );
}

function Failed({ error, onRetry }: { error: Error | null; onRetry: () => void }) {
  const status = error instanceof RequestError ? error.status : null;
  return (
    <EmptyState
      title={<Trans>Events could not be loaded</Trans>}
      action={
        <button type="button" onClick={onRetry}>
          <Trans>Try again</Trans>
        </button>
      }
    >
      <p>
        {status === null ? (
          <Trans>The server does not answer. Check that procmon-server runs.</Trans>
        ) : (
          `HTTP ${status}: ${error?.message}`
        )}
      </p>
    </EmptyState>
  );
}
