/**
 * Holds the browser's one live connection, and serves any number of tabs from it. HTTP/1.1 allows
 * six connections per origin: a stream per tab would leave none for requests.
 */

import type { AgentList, LiveBody, ProcessEvent } from "./client.ts";
import { ColumnStore } from "./columnStore.ts";
import type { Connection, EventFilter, FromHub, ToHub, Wants } from "./protocol.ts";

export type Client = (message: FromHub) => void;
type Peer = { wants: Wants; pending: ProcessEvent[]; skipped: number };

const LIVE_URL = "/api/v1/live";
const EVENTS_URL = "/api/v1/events/stream";
/** Events go to tabs in groups, so that a burst costs a tab one message and one paint. */
const FLUSH_MS = 200;
/** Per tab and flush; beyond it events are counted as skipped, which the tab draws as a gap. */
const FLUSH_LIMIT = 1000;
const RETRY_MS = [1000, 2000, 5000];

export class Hub {
  private peers = new Map<Client, Peer>();
  private store = new ColumnStore();
  private at: string | null = null;
  private agents: AgentList | null = null;
  private live: Stream;
  private events: Stream;
  private flushTimer: ReturnType<typeof setTimeout> | null = null;

  constructor() {
    const onStatus = () => this.broadcastStatus();
    const live: Handlers = {
      snapshot: (data) => this.onSnapshot(data as LiveBody),
      delta: (data) => this.onDelta(data as LiveBody),
      agents: (data) => this.onAgents(data as AgentList),
    };
    const events: Handlers = {
      message: (data) => this.onEvent(data as ProcessEvent),
      reset: (data) => this.onReset(String((data as { reason?: unknown }).reason ?? "")),
      open: (resumed) => this.onEventsOpen(resumed === true),
    };
    this.live = new Stream(LIVE_URL, onStatus, live, false);
    this.events = new Stream(EVENTS_URL, onStatus, events, true);
  }

  receive(client: Client, message: ToHub): void {
    if (message.kind === "bye") {
      this.peers.delete(client);
    } else {
      this.update(client, message.wants);
    }
    this.live.want(this.peers.size > 0);
    this.events.want([...this.peers.values()].some((peer) => peer.wants.events !== null));
  }

  private update(client: Client, wants: Wants): void {
    const known = this.peers.get(client);
    const peer: Peer = known ?? {
      wants: { processes: false, events: null },
      pending: [],
      skipped: 0,
    };
    const before = peer.wants;
    peer.wants = wants;
    this.peers.set(client, peer);
    if (!known) {
      client(this.status());
      if (this.agents) client({ kind: "agents", body: this.agents });
    }
    if (wants.processes && !before.processes && this.at !== null) {
      client({ kind: "snapshot", at: this.at, columns: this.store.toColumns() });
    }
    if (wants.events && !sameFilter(wants.events, before.events)) {
      peer.pending = [];
      peer.skipped = 0;
      if (this.events.status.state === "open") client({ kind: "events-open", resumed: false });
    }
  }

  private onSnapshot({ at, columns }: LiveBody): void {
    this.at = at;
    this.store.replace(columns);
    this.store.sweep();
    // Arrays of numbers are copied to the tabs far faster than what JSON made of them.
    this.toProcessPeers(() => ({ kind: "snapshot", at, columns: this.store.toColumns() }));
  }

  private onDelta({ at, columns, removed }: LiveBody): void {
    const gone = removed ?? { agent_id: [], process_id: [] };
    this.at = at;
    this.store.apply(columns, gone);
    this.store.sweep();
    this.toProcessPeers(() => ({ kind: "delta", at, columns, removed: gone }));
  }

  private toProcessPeers(make: () => FromHub): void {
    let message: FromHub | null = null;
    for (const [client, peer] of this.peers) {
      if (!peer.wants.processes) continue;
      message ??= make();
      client(message);
    }
  }

  private onAgents(body: AgentList): void {
    this.agents = body;
    for (const client of this.peers.keys()) client({ kind: "agents", body });
  }

  private onEvent(event: ProcessEvent): void {
    for (const peer of this.peers.values()) {
      if (!peer.wants.events || !matches(peer.wants.events, event)) continue;
      if (peer.pending.length < FLUSH_LIMIT) peer.pending.push(event);
      else peer.skipped++;
    }
    this.flushTimer ??= setTimeout(() => this.flush(), FLUSH_MS);
  }

  private flush(): void {
    this.flushTimer = null;
    for (const [client, peer] of this.peers) {
      if (peer.pending.length === 0) continue;
      client({ kind: "events", events: peer.pending, skipped: peer.skipped });
      peer.pending = [];
      peer.skipped = 0;
    }
  }

  private onReset(reason: string): void {
    this.flush();
    for (const [client, peer] of this.peers) {
      if (peer.wants.events) client({ kind: "events-reset", reason });
    }
  }

  private onEventsOpen(resumed: boolean): void {
    for (const [client, peer] of this.peers) {
      if (peer.wants.events) client({ kind: "events-open", resumed });
    }
  }

  private status(): FromHub {
    return { kind: "status", live: this.live.status, events: this.events.status };
  }

  private broadcastStatus(): void {
    for (const client of this.peers.keys()) client(this.status());
  }
}

/** The same meaning as the server's filters of GET /events. */
export function matches(filter: EventFilter, event: ProcessEvent): boolean {
  return (
    (filter.types.length === 0 || filter.types.includes(event.type)) &&
    (filter.host === "" || event.agent_id === filter.host) &&
    (filter.user === "" ||
      event.username === filter.user ||
      String(event.uid ?? "") === filter.user) &&
    (filter.name === "" || (event.name ?? "").toLowerCase().includes(filter.name.toLowerCase()))
  );
}

function sameFilter(a: EventFilter, b: EventFilter | null): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

type Handlers = Record<string, (data: unknown) => void>;

/** An EventSource that also comes back after an HTTP error, where the browser's own gives up. */
class Stream {
  status: Connection = { state: "connecting", since: Date.now(), cause: null };
  private source: EventSource | null = null;
  private retry: ReturnType<typeof setTimeout> | null = null;
  private failures = 0;
  private lastId = "";
  private readonly url: string;
  private readonly onStatus: () => void;
  private readonly handlers: Handlers;
  /** The server goes on after `?cursor=`, as it does after the Last-Event-ID of a browser. */
  private readonly resumes: boolean;

  constructor(url: string, onStatus: () => void, handlers: Handlers, resumes: boolean) {
    this.url = url;
    this.onStatus = onStatus;
    this.handlers = handlers;
    this.resumes = resumes;
  }

  want(wanted: boolean): void {
    if (wanted && !this.source && !this.retry) this.open();
    if (!wanted) this.close();
  }

  private open(): void {
    this.retry = null;
    const resumes = this.resumes && this.lastId !== "";
    const cursor = resumes ? `?cursor=${encodeURIComponent(this.lastId)}` : "";
    const source = new EventSource(this.url + cursor);
    this.source = source;
    for (const [name, handle] of Object.entries(this.handlers)) {
      if (name === "open") continue;
      source.addEventListener(name, (event) => {
        this.lastId = (event as MessageEvent).lastEventId || this.lastId;
        handle(JSON.parse((event as MessageEvent).data));
      });
    }
    let opened = resumes;
    source.onopen = () => {
      this.failures = 0;
      this.set("open", null);
      this.handlers.open?.(opened);
      // From now on the browser itself tells the server where to go on.
      opened = this.resumes;
    };
    source.onerror = () => void this.onError(source);
  }

  private close(): void {
    this.source?.close();
    this.source = null;
    if (this.retry) clearTimeout(this.retry);
    this.retry = null;
    this.lastId = "";
    this.status = { state: "connecting", since: Date.now(), cause: null };
  }

  private async onError(source: EventSource): Promise<void> {
    if (source !== this.source) return;
    if (source.readyState === EventSource.CLOSED) {
      this.source = null;
      const delay = RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)] ?? 5000;
      this.retry = setTimeout(() => this.open(), delay);
    }
    this.set("lost", this.status.cause);
    const cause = await findCause(this.url);
    if (this.status.state === "lost") this.set("lost", cause);
  }

  private set(state: Connection["state"], cause: string | null): void {
    const since = state === this.status.state ? this.status.since : Date.now();
    this.status = { state, since, cause };
    this.onStatus();
  }
}

/** EventSource hides why it failed; the same address fetched says it. */
async function findCause(url: string): Promise<string | null> {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), 5000);
  try {
    const response = await fetch(url, { signal: abort.signal });
    if (response.ok) return null;
    const problem: { detail?: string } = await response.json().catch(() => ({}));
    return `HTTP ${response.status}${problem.detail ? `: ${problem.detail}` : ""}`;
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
    abort.abort();
  }
}
