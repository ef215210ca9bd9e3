/** Which rows a table shows, in which order, and when that order may change. */
import type { ColumnStore, NumberColumn, StringColumn } from "../../api/columnStore.ts";
import { type Filter, filterMatches } from "./filter.ts";

export type SortColumn = NumberColumn | Exclude<StringColumn, "process_id" | "exe"> | "ports";
export type Sort = { column: SortColumn; descending: boolean };

export type ViewState = {
  store: ColumnStore;
  /** Slots of `store`, in the order shown. */
  order: Uint32Array;
  /** All processes, before the filter. */
  total: number;
  frozen: boolean;
  /** The server's time of the frozen rows. */
  frozenAt: string | null;
  /** While frozen: matching rows that came and went since. */
  added: number;
  gone: number;
  /** The order is being kept because a pointer or a key was active. */
  held: boolean;
  /** Changes with everything above and with every cell. */
  version: number;
};

/** Rows stay where they are until nobody touched the table for this long. */
export const HOLD_MS = 2000;

type Clock = {
  now: () => number;
  setTimer: (run: () => void, ms: number) => unknown;
  clearTimer: (timer: unknown) => void;
};

const BROWSER_CLOCK: Clock = {
  now: () => performance.now(),
  setTimer: (run, ms) => setTimeout(run, ms),
  clearTimer: (timer) => clearTimeout(timer as number),
};

export class ProcessView {
  private state: ViewState;
  private watchers = new Set<() => void>();
  private lastActivity = Number.NEGATIVE_INFINITY;
  private timer: unknown = null;
  private readonly live: ColumnStore;
  private readonly setKeepGone: (keep: boolean) => void;
  private filter: Filter;
  private sort: Sort;
  private readonly clock: Clock;

  constructor(
    live: ColumnStore,
    setKeepGone: (keep: boolean) => void,
    filter: Filter,
    sort: Sort,
    clock: Clock = BROWSER_CLOCK,
  ) {
    this.live = live;
    this.setKeepGone = setKeepGone;
    this.filter = filter;
    this.sort = sort;
    this.clock = clock;
    this.state = {
      store: live,
      order: arrange(live, filter, sort),
      total: live.size,
      frozen: false,
      frozenAt: null,
      added: 0,
      gone: 0,
      held: false,
      version: 0,
    };
  }

  /** From here on the view keeps slots; it frees those of gone rows whenever it re-arranges. */
  start(): void {
    this.setKeepGone(true);
    this.rearrange();
  }

  getState = (): ViewState => this.state;

  watch = (watcher: () => void): (() => void) => {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  };

  setQuery(filter: Filter, sort: Sort): void {
    if (filter === this.filter && sort === this.sort) return;
    this.filter = filter;
    this.sort = sort;
    this.rearrange();
  }

  /** A pointer moved over the rows, they were scrolled, or a key moved the focus. */
  touched(): void {
    this.lastActivity = this.clock.now();
  }

  rowsChanged(): void {
    if (this.state.frozen) {
      this.live.sweep();
      this.set(this.differences());
      return;
    }
    const idle = this.clock.now() - this.lastActivity;
    if (idle >= HOLD_MS) {
      this.rearrange();
      return;
    }
    this.set({ held: true, total: this.live.size });
    this.timer ??= this.clock.setTimer(() => this.onTimer(), HOLD_MS - idle);
  }

  freeze(frozen: boolean, at: string | null = null): void {
    if (frozen === this.state.frozen) return;
    const store = frozen ? this.live.clone() : this.live;
    this.state = { ...this.state, store, frozen, frozenAt: at, added: 0, gone: 0 };
    this.rearrange();
  }

  close(): void {
    if (this.timer !== null) this.clock.clearTimer(this.timer);
    this.timer = null;
    this.setKeepGone(false);
    this.live.sweep();
  }

  private onTimer(): void {
    this.timer = null;
    if (!this.state.frozen) this.rowsChanged();
  }

  private rearrange(): void {
    this.live.sweep();
    const { store, frozen } = this.state;
    const order = arrange(store, this.filter, this.sort);
    const total = store.size;
    this.set({ order, total, held: false, ...(frozen ? this.differences() : {}) });
  }

  /** How the live rows differ from the frozen ones, under the same filter. */
  private differences(): { added: number; gone: number } {
    const { store } = this.state;
    let added = 0;
    let gone = 0;
    for (let slot = 0; slot < this.live.length; slot++) {
      if (!this.live.isLive(slot) || !filterMatches(this.filter, this.live, slot)) continue;
      if (store.slotOf(this.live.keys[slot] ?? "") === undefined) added++;
    }
    for (let slot = 0; slot < store.length; slot++) {
      if (!filterMatches(this.filter, store, slot)) continue;
      if (this.live.slotOf(store.keys[slot] ?? "") === undefined) gone++;
    }
    return { added, gone };
  }

  private set(change: Partial<ViewState>): void {
    this.state = { ...this.state, ...change, version: this.state.version + 1 };
    for (const watcher of this.watchers) watcher();
  }
}

/** Filtered and sorted slots. Unknown values come last in either direction. */
export function arrange(store: ColumnStore, filter: Filter, sort: Sort): Uint32Array {
  const found: number[] = [];
  for (let slot = 0; slot < store.length; slot++) {
    if (store.isLive(slot) && filterMatches(filter, store, slot)) found.push(slot);
  }
  const order = Uint32Array.from(found);
  const compare = comparator(store, sort, order);
  const pids = store.numberColumn("pid");
  return order.sort((a, b) => compare(a, b) || (pids[a] ?? 0) - (pids[b] ?? 0) || a - b);
}

type Compare = (a: number, b: number) => number;

function comparator(store: ColumnStore, { column, descending }: Sort, order: Uint32Array): Compare {
  const sign = descending ? -1 : 1;
  if (isText(column)) return textComparator(store, column, sign, order);
  const values = column === "ports" ? lowestPorts(store, order) : store.numberColumn(column);
  return (a, b) => {
    const x = values[a] ?? Number.NaN;
    const y = values[b] ?? Number.NaN;
    if (x === y) return 0;
    if (Number.isNaN(x)) return Number.isNaN(y) ? 0 : 1;
    if (Number.isNaN(y)) return -1;
    return x < y ? -sign : sign;
  };
}

function textComparator(
  store: ColumnStore,
  column: StringColumn,
  sign: number,
  order: Uint32Array,
): Compare {
  const lower: (string | null)[] = [];
  for (const slot of order) lower[slot] = store.string(column, slot)?.toLowerCase() ?? null;
  return (a, b) => {
    const x = lower[a] ?? null;
    const y = lower[b] ?? null;
    if (x === y) return 0;
    if (x === null) return 1;
    if (y === null) return -1;
    return x < y ? -sign : sign;
  };
}

function lowestPorts(store: ColumnStore, order: Uint32Array): Float64Array {
  const lowest = new Float64Array(store.length).fill(Number.NaN);
  for (const slot of order) {
    const ports = store.ports[slot];
    if (ports && ports.length > 0) lowest[slot] = Math.min(...ports);
  }
  return lowest;
}

const TEXT = new Set<SortColumn>([
  "agent_id",
  "name",
  "cmdline",
  "username",
  "status",
  "cgroup",
  "container_id",
  "systemd_unit",
]);

function isText(column: SortColumn): column is SortColumn & StringColumn {
  return TEXT.has(column);
}
