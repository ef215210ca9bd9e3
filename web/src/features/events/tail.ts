/**
 * The list behind the event tail, newest first: history that grows downwards, live events that
 * arrive on top, a waiting line while it is paused. Memory is bounded; what is left out shows.
 */
import type { EventPage, ProcessEvent } from "../../api/client.ts";

export type Gap =
  | { kind: "reset"; reason: string }
  | { kind: "skipped"; count: number }
  | { kind: "unkept"; count: number }
  | { kind: "disconnected" };
export type TailItem = { key: string; event: ProcessEvent | null; gap: Gap | null };

export type TailState = {
  items: readonly TailItem[];
  /** Events that wait on top while paused. */
  waiting: number;
  paused: boolean;
  phase: "loading" | "ready" | "failed";
  error: Error | null;
  loadingMore: boolean;
  /** What is below the last item: more history, nothing, or more than this list holds. */
  bottom: "more" | "end" | "full";
};

/** Position to page from: the cursor of the last page, or the time of the oldest item kept. */
export type Position = { cursor?: string; until?: string };
type FetchPage = (position: Position) => Promise<EventPage>;

export const ITEM_LIMIT = 10_000;
/** While paused the newest so many wait; older ones are dropped and counted. */
export const WAITING_LIMIT = 5000;
/** Fewer rows than this leave nothing to scroll, so nothing would ask for more of them. */
export const SCREENFUL = 60;
/** The server looks for half a second per page: this is a patience of some ten seconds. */
const FILL_PAGES = 20;

export class Tail {
  private state: TailState = {
    items: [],
    waiting: 0,
    paused: false,
    phase: "loading",
    error: null,
    loadingMore: false,
    bottom: "more",
  };
  private held = new Set<string>();
  private waiting: TailItem[] = [];
  private unkept = 0;
  private position: Position = {};
  private gaps = 0;
  private closed = false;
  private watchers = new Set<() => void>();
  private readonly fetchPage: FetchPage;

  constructor(fetchPage: FetchPage) {
    this.fetchPage = fetchPage;
  }

  getState = (): TailState => this.state;

  watch = (watcher: () => void): (() => void) => {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  };

  /** The stream is open: fetch the newest page, and join it to what is there. */
  async open(resumed: boolean): Promise<void> {
    if (resumed && this.state.phase === "ready") return;
    const first = this.state.phase !== "ready";
    try {
      const page = await this.fetchPage({});
      this.joinTop(page.events, first);
      if (first) {
        this.position = { cursor: page.next_cursor ?? undefined };
        this.set({ phase: "ready", error: null, bottom: page.next_cursor ? "more" : "end" });
        await this.fill();
      }
    } catch (error) {
      if (first) this.set({ phase: "failed", error: error as Error });
    }
  }

  push(events: readonly ProcessEvent[], skipped: number): void {
    const arrived = events
      .filter((event) => !this.held.has(event.cursor))
      .map(item)
      .reverse();
    if (skipped > 0) arrived.unshift(this.gap({ kind: "skipped", count: skipped }));
    this.addTop(arrived);
  }

  reset(reason: string): void {
    this.addTop([this.gap({ kind: "reset", reason })]);
  }

  pause(paused: boolean): void {
    if (paused === this.state.paused) return;
    this.state = { ...this.state, paused };
    const waiting = this.waiting;
    if (!paused && this.unkept > 0) waiting.push(this.gap({ kind: "unkept", count: this.unkept }));
    this.waiting = [];
    this.unkept = 0;
    if (paused) this.set({});
    else this.addTop(waiting, true);
  }

  /** The next older page. A page may be empty and still not be the last: the server looks in steps. */
  async more(): Promise<void> {
    const { loadingMore, bottom, phase } = this.state;
    if (loadingMore || bottom !== "more" || phase !== "ready" || this.closed) return;
    this.set({ loadingMore: true });
    try {
      const page = await this.fetchPage(this.position);
      const older = page.events.filter((event) => !this.held.has(event.cursor)).map(item);
      for (const { key } of older) this.held.add(key);
      const items = [...this.state.items, ...older];
      this.position = { cursor: page.next_cursor ?? undefined };
      const rest = !page.next_cursor ? "end" : items.length >= ITEM_LIMIT ? "full" : "more";
      this.set({ items, bottom: rest, loadingMore: false, error: null });
    } catch (error) {
      this.set({ loadingMore: false, error: error as Error });
    }
  }

  /** Looks further back until there is a screenful, the end, or it has asked often enough. */
  async fill(): Promise<void> {
    for (let asked = 0; asked < FILL_PAGES; asked++) {
      if (this.state.items.length >= SCREENFUL || this.state.bottom !== "more") return;
      await this.more();
      if (this.state.error || this.closed) return;
    }
  }

  start(): void {
    this.closed = false;
  }

  close(): void {
    this.closed = true;
  }

  /** A fresh page on top of what is there; a hole between the two is drawn as one. */
  private joinTop(events: readonly ProcessEvent[], first: boolean): void {
    const fresh = events.filter((event) => !this.held.has(event.cursor)).map(item);
    const overlaps = fresh.length < events.length || events.length === 0;
    if (first) {
      // Live events that came before this page are newer than it, or part of it.
      for (const { key } of fresh) this.held.add(key);
      this.set({ items: [...this.state.items, ...fresh] });
      return;
    }
    if (!overlaps) fresh.push(this.gap({ kind: "disconnected" }));
    this.addTop(fresh);
  }

  private addTop(arrived: TailItem[], known = false): void {
    if (arrived.length === 0) {
      this.set({ waiting: this.waiting.length + this.unkept });
      return;
    }
    if (!known) for (const { key } of arrived) this.held.add(key);
    if (this.state.paused) this.addWaiting(arrived);
    else this.addItems(arrived);
  }

  private addWaiting(arrived: TailItem[]): void {
    this.waiting = [...arrived, ...this.waiting];
    for (const { key } of this.waiting.splice(WAITING_LIMIT)) {
      this.held.delete(key);
      this.unkept++;
    }
    this.set({ waiting: this.waiting.length + this.unkept });
  }

  private addItems(arrived: TailItem[]): void {
    const items = [...arrived, ...this.state.items];
    const cut = items.splice(ITEM_LIMIT);
    for (const { key } of cut) this.held.delete(key);
    const oldest = items.findLast((one) => one.event !== null)?.event;
    if (cut.length > 0 && oldest) this.position = { until: oldest.ts };
    const bottom = cut.length > 0 ? "more" : this.state.bottom;
    this.set({ items, bottom, waiting: 0 });
  }

  private gap(gap: Gap): TailItem {
    return { key: `gap-${++this.gaps}`, event: null, gap };
  }

  private set(change: Partial<TailState>): void {
    this.state = { ...this.state, ...change };
    for (const watcher of this.watchers) watcher();
  }
}

function item(event: ProcessEvent): TailItem {
  return { key: event.cursor, event, gap: null };
}
