import { useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { fetchEvents } from "../../api/client.ts";
import { liveTab } from "../../api/live.ts";
import type { EventFilter } from "../../api/protocol.ts";
import { whileVisible } from "../../ui/whileVisible.ts";
import { Tail, type TailState } from "./tail.ts";

const PAGE = 200;
/** When the stream does not open in this time, history is shown without it. */
const OPEN_WAIT_MS = 1500;

/** A tail for this filter; another filter is another tail. `filter` must keep its identity. */
export function useTail(filter: EventFilter): { tail: Tail; state: TailState } {
  const [made, setMade] = useState(() => ({ filter, tail: tailFor(filter) }));
  if (made.filter !== filter) setMade({ filter, tail: tailFor(filter) });
  const { tail } = made;
  useEffect(() => {
    let opened = false;
    tail.start();
    const open = (resumed: boolean) => {
      opened = true;
      void tail.open(resumed);
    };
    const stop = liveTab.tailEvents(filter, {
      open,
      events: (events, skipped) => tail.push(events, skipped),
      reset: (reason) => tail.reset(reason),
    });
    const timer = setTimeout(() => !opened && open(false), OPEN_WAIT_MS);
    return () => {
      clearTimeout(timer);
      stop();
      tail.close();
    };
  }, [tail, filter]);
  const watch = useMemo(() => whileVisible(tail.watch), [tail]);
  return { tail, state: useSyncExternalStore(watch, tail.getState) };
}

function tailFor(filter: EventFilter): Tail {
  return new Tail((position) =>
    fetchEvents({
      limit: PAGE,
      type: filter.types.join(",") || undefined,
      name: filter.name || undefined,
      agent_id: filter.host || undefined,
      user: filter.user || undefined,
      ...position,
    }),
  );
}
