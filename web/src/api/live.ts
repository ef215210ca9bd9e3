/** This tab's end of the live stream: the process store, the agents, and the connection's state. */
import { useEffect, useSyncExternalStore } from "react";
import type { AgentList, ProcessEvent } from "./client.ts";
import { ColumnStore } from "./columnStore.ts";
import { type Link, openLink } from "./link.ts";
import type { Connection, EventFilter, FromHub, Wants } from "./protocol.ts";

export type EventListener = {
  open: (resumed: boolean) => void;
  events: (events: ProcessEvent[], skipped: number) => void;
  reset: (reason: string) => void;
};
/** Everything but the rows, which are in `processes`. Replaced as a whole when something changes. */
export type LiveState = {
  live: Connection;
  events: Connection;
  agents: AgentList | null;
  /** The server's time of the last message about processes. */
  at: string | null;
  /** The store's version, so that a change of rows is a change of state. */
  version: number;
};

const CONNECTING: Connection = { state: "connecting", since: Date.now(), cause: null };

class LiveTab {
  readonly processes = new ColumnStore();
  /** While set, rows that are gone keep their slots; see ColumnStore.sweep. */
  keepGone = false;
  private state: LiveState = {
    live: CONNECTING,
    events: CONNECTING,
    agents: null,
    at: null,
    version: 0,
  };
  private watchers = new Set<() => void>();
  private processViews = 0;
  private events: { filter: EventFilter; listener: EventListener } | null = null;
  private link: Link | null = null;

  getState = (): LiveState => this.state;

  watch = (watcher: () => void): (() => void) => {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  };

  /** Counts the views of processes; the hub sends rows to this tab while there is one. */
  viewProcesses(): () => void {
    this.processViews++;
    this.tell();
    return () => {
      this.processViews--;
      this.tell();
    };
  }

  tailEvents(filter: EventFilter, listener: EventListener): () => void {
    const mine = { filter, listener };
    this.events = mine;
    this.tell();
    return () => {
      if (this.events !== mine) return;
      this.events = null;
      this.tell();
    };
  }

  /** Called once, before anything renders: the first rows then travel while the page loads. */
  connect(): void {
    if (this.link) return;
    this.link = openLink(
      (message) => this.receive(message),
      () => this.tell(),
    );
    document.addEventListener("visibilitychange", () => this.tell());
    window.addEventListener("pagehide", () => this.link?.send({ kind: "bye" }));
    window.addEventListener("pageshow", (event) => event.persisted && this.tell());
    this.tell();
  }

  /** A hidden tab asks for no rows, so it neither renders nor wakes up; events are only counted. */
  private tell(): void {
    const wants: Wants = {
      processes: this.processViews > 0 && document.visibilityState === "visible",
      events: this.events?.filter ?? null,
    };
    this.link?.send({ kind: "want", wants });
  }

  private receive(message: FromHub): void {
    switch (message.kind) {
      case "status":
        this.set({ live: message.live, events: message.events });
        break;
      case "agents":
        this.set({ agents: message.body });
        break;
      case "snapshot":
        this.processes.replace(message.columns);
        this.rowsChanged(message.at);
        break;
      case "delta":
        this.processes.apply(message.columns, message.removed);
        this.rowsChanged(message.at);
        break;
      case "events-open":
        this.events?.listener.open(message.resumed);
        break;
      case "events":
        this.events?.listener.events(message.events, message.skipped);
        break;
      case "events-reset":
        this.events?.listener.reset(message.reason);
        break;
    }
  }

  private rowsChanged(at: string): void {
    if (!this.keepGone) this.processes.sweep();
    this.set({ at, version: this.processes.version });
  }

  private set(change: Partial<LiveState>): void {
    this.state = { ...this.state, ...change };
    for (const watcher of this.watchers) watcher();
  }
}

export const liveTab = new LiveTab();

export function useLive<T>(select: (state: LiveState) => T): T {
  return useSyncExternalStore(liveTab.watch, () => select(liveTab.getState()));
}

export function useProcessRows(): void {
  useEffect(() => liveTab.viewProcesses(), []);
}
