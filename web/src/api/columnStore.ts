/**
 * All processes of the fleet, by column. A process keeps its slot (the index into every column)
 * from its first appearance until `sweep`, so a view may hold slots while rows come and go.
 * Unknown numbers are NaN, unknown strings null.
 */

export const NUMBER_COLUMNS = [
  "pid",
  "ppid",
  "uid",
  "cpu_percent",
  "short_lived_cpu_percent",
  "cpu_time_ms",
  "memory_rss",
  "rss_exact",
  "memory_percent",
  "num_threads",
  "open_fds",
  "net_conns",
  "read_bytes",
  "write_bytes",
  "read_bytes_per_s",
  "write_bytes_per_s",
  "voluntary_switches",
  "involuntary_switches",
  "minor_faults",
  "major_faults",
] as const;
export const STRING_COLUMNS = [
  "agent_id",
  "process_id",
  "name",
  "exe",
  "cmdline",
  "username",
  "status",
  "cgroup",
  "container_id",
  "systemd_unit",
] as const;

export type NumberColumn = (typeof NUMBER_COLUMNS)[number] | "start_time";
export type StringColumn = (typeof STRING_COLUMNS)[number];

type Cells<T> = readonly (T | null)[];
/** What the server sends: equal-length arrays. A column that an older server lacks is unknown. */
export type WireColumns = { [K in StringColumn]?: Cells<string> } & {
  /** A truth is the number 0 or 1. */
  [K in (typeof NUMBER_COLUMNS)[number]]?: Cells<number | boolean> | Float64Array;
} & { start_time?: Cells<string> | Float64Array; ports?: Cells<number[]>; stale?: Cells<boolean> };
export type Removed = { agent_id: readonly string[]; process_id: readonly string[] };

const FREE = 0;
const LIVE = 1;
const GONE = 2;
/** Columns with few distinct values: one string for all rows, since every message brings copies. */
const INTERNED = new Set<StringColumn>([
  "agent_id",
  "username",
  "status",
  "cgroup",
  "exe",
  "systemd_unit",
]);
const INTERN_LIMIT = 50_000;

export class ColumnStore {
  /** Slots in use or once used: columns are valid in 0..length. */
  length = 0;
  /** Rows that exist now. */
  size = 0;
  /** Rises with every change to any row. */
  version = 0;
  readonly keys: string[] = [];
  readonly ports: (readonly number[] | null)[] = [];
  private state = new Uint8Array(1024);
  private staleness = new Uint8Array(1024);
  private revisions = new Uint32Array(1024);
  private numbers = {} as Record<NumberColumn, Float64Array>;
  private strings = {} as Record<StringColumn, (string | null)[]>;
  private slots = new Map<string, number>();
  private free: number[] = [];
  private gone: number[] = [];
  private interned = new Map<string, string>();

  constructor() {
    for (const column of [...NUMBER_COLUMNS, "start_time" as const]) {
      this.numbers[column] = new Float64Array(1024);
    }
    for (const column of STRING_COLUMNS) this.strings[column] = [];
  }

  number(column: NumberColumn, slot: number): number {
    return this.numbers[column][slot] ?? Number.NaN;
  }

  string(column: StringColumn, slot: number): string | null {
    return this.strings[column][slot] ?? null;
  }

  numberColumn(column: NumberColumn): Float64Array {
    return this.numbers[column];
  }

  stringColumn(column: StringColumn): readonly (string | null)[] {
    return this.strings[column];
  }

  isStale(slot: number): boolean {
    return this.staleness[slot] === 1;
  }

  isLive(slot: number): boolean {
    return this.state[slot] === LIVE;
  }

  /** Changes whenever the row in this slot does. */
  revision(slot: number): number {
    return this.revisions[slot] ?? 0;
  }

  slotOf(key: string): number | undefined {
    return this.slots.get(key);
  }

  /** Replaces everything; a process that stays keeps its slot. */
  replace(columns: WireColumns): void {
    const before = this.version + 1;
    this.upsert(columns, before);
    for (let slot = 0; slot < this.length; slot++) {
      if (this.state[slot] === LIVE && (this.revisions[slot] ?? 0) < before) {
        this.remove(slot, before);
      }
    }
  }

  apply(columns: WireColumns, removed: Removed): void {
    const revision = this.version + 1;
    for (const [i, processId] of removed.process_id.entries()) {
      const slot = this.slots.get(keyOf(removed.agent_id[i] ?? "", processId));
      if (slot !== undefined) this.remove(slot, revision);
    }
    this.upsert(columns, revision);
  }

  /** Frees the slots of rows that are gone: call it when no view shows them any more. */
  sweep(): void {
    for (const slot of this.gone) {
      this.state[slot] = FREE;
      for (const column of STRING_COLUMNS) this.strings[column][slot] = null;
      this.ports[slot] = null;
      this.free.push(slot);
    }
    this.gone = [];
  }

  /** A copy that later changes do not reach. */
  clone(): ColumnStore {
    const copy = new ColumnStore();
    copy.replace(this.toColumns());
    return copy;
  }

  /** The live rows, in the form that `replace` takes. */
  toColumns(): WireColumns {
    const live: number[] = [];
    for (let slot = 0; slot < this.length; slot++) if (this.state[slot] === LIVE) live.push(slot);
    const columns: WireColumns = {
      ports: live.map((slot) => this.ports[slot] as number[] | null),
      stale: live.map((slot) => this.staleness[slot] === 1),
    };
    for (const column of STRING_COLUMNS) {
      columns[column] = live.map((slot) => this.string(column, slot));
    }
    for (const column of [...NUMBER_COLUMNS, "start_time" as const]) {
      columns[column] = Float64Array.from(live, (slot) => this.number(column, slot));
    }
    return columns;
  }

  private upsert(columns: WireColumns, revision: number): void {
    this.version = revision;
    if (this.interned.size > INTERN_LIMIT) this.interned.clear();
    const agents = columns.agent_id ?? [];
    const ids = columns.process_id ?? [];
    const slots = new Uint32Array(ids.length);
    for (let row = 0; row < slots.length; row++) {
      slots[row] = this.claim(keyOf(agents[row] ?? "", ids[row] ?? ""), revision);
    }
    for (const column of STRING_COLUMNS) this.writeStrings(column, columns[column], slots);
    for (const column of NUMBER_COLUMNS) this.writeNumbers(column, columns[column], slots);
    this.writeNumbers("start_time", columns.start_time, slots);
    for (let row = 0; row < slots.length; row++) {
      const slot = slots[row] ?? 0;
      this.ports[slot] = columns.ports?.[row] ?? null;
      this.staleness[slot] = columns.stale?.[row] ? 1 : 0;
    }
  }

  /** The slot of this identity, taken from the free ones or appended when it is new. */
  private claim(key: string, revision: number): number {
    let slot = this.slots.get(key);
    if (slot === undefined) {
      slot = this.free.pop() ?? this.length++;
      if (slot >= this.state.length) this.grow();
      this.slots.set(key, slot);
      this.keys[slot] = key;
      this.size++;
    }
    this.state[slot] = LIVE;
    this.revisions[slot] = revision;
    return slot;
  }

  private remove(slot: number, revision: number): void {
    this.state[slot] = GONE;
    this.revisions[slot] = revision;
    this.gone.push(slot);
    this.slots.delete(this.keys[slot] ?? "");
    this.size--;
  }

  private writeStrings(column: StringColumn, cells: Cells<string> | undefined, slots: Uint32Array) {
    const target = this.strings[column];
    const intern = INTERNED.has(column);
    for (let row = 0; row < slots.length; row++) {
      const value = cells?.[row] ?? null;
      target[slots[row] ?? 0] = intern && value !== null ? this.intern(value) : value;
    }
  }

  private writeNumbers(
    column: NumberColumn,
    cells: Cells<number | string | boolean> | Float64Array | undefined,
    slots: Uint32Array,
  ) {
    const target = this.numbers[column];
    for (let row = 0; row < slots.length; row++) {
      const value = cells?.[row] ?? Number.NaN;
      target[slots[row] ?? 0] = typeof value === "string" ? Date.parse(value) : Number(value);
    }
  }

  private intern(value: string): string {
    const known = this.interned.get(value);
    if (known !== undefined) return known;
    this.interned.set(value, value);
    return value;
  }

  private grow(): void {
    const capacity = this.state.length * 2;
    const resize = <T extends Uint8Array | Uint32Array | Float64Array>(old: T, next: T): T => {
      next.set(old);
      return next;
    };
    this.state = resize(this.state, new Uint8Array(capacity));
    this.staleness = resize(this.staleness, new Uint8Array(capacity));
    this.revisions = resize(this.revisions, new Uint32Array(capacity));
    for (const column of Object.keys(this.numbers) as NumberColumn[]) {
      this.numbers[column] = resize(this.numbers[column], new Float64Array(capacity));
    }
  }
}

/** Identity of a process in the whole fleet; process ids alone are unique per agent only. */
export function keyOf(agentId: string, processId: string): string {
  return `${agentId}\n${processId}`;
}
