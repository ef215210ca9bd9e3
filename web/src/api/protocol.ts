/** Messages between a tab and the hub that holds the browser's one connection to the server. */

import type { AgentList, ProcessEvent } from "./client.ts";
import type { Removed, WireColumns } from "./columnStore.ts";

export type EventFilter = { types: string[]; name: string; host: string; user: string };

/** What a tab wants to receive from now on; it replaces what it wanted before. */
export type Wants = { processes: boolean; events: EventFilter | null };

export type ToHub = { kind: "want"; wants: Wants } | { kind: "bye" };

export type Connection = {
  state: "connecting" | "open" | "lost";
  /** Unix ms of the last change of state. */
  since: number;
  /** Why it was lost, as far as the browser lets a page know. */
  cause: string | null;
};

export type FromHub =
  | { kind: "status"; live: Connection; events: Connection }
  | { kind: "snapshot"; at: string; columns: WireColumns }
  | { kind: "delta"; at: string; columns: WireColumns; removed: Removed }
  | { kind: "agents"; body: AgentList }
  /**
   * From here on every event arrives; history fetched after this joins it without a hole.
   * `resumed`: the server also sends what was missed since the last event.
   */
  | { kind: "events-open"; resumed: boolean }
  /** `skipped`: matching events left out of this message because there were too many of them. */
  | { kind: "events"; events: ProcessEvent[]; skipped: number }
  | { kind: "events-reset"; reason: string };
