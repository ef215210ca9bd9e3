/** The columns of the process table: what each is called, what it means, and how it is written. */
import type { MessageDescriptor } from "@lingui/core";
import { msg } from "@lingui/core/macro";
import type { ColumnStore, NumberColumn, StringColumn } from "../../api/columnStore.ts";
import * as format from "../../ui/format.ts";
import type { Sort, SortColumn } from "./view.ts";

export type ProcessColumn = {
  id: SortColumn;
  label: MessageDescriptor;
  meaning: MessageDescriptor;
  width: number;
  fill?: boolean;
  numeric?: boolean;
  /** The first click sorts the interesting end to the top. */
  descendingFirst?: boolean;
  text: (store: ColumnStore, slot: number, utc: boolean) => string;
};

const word = (column: StringColumn) => (store: ColumnStore, slot: number) =>
  store.string(column, slot) ?? format.UNKNOWN;
const written =
  (column: NumberColumn, write: (value: number) => string) => (store: ColumnStore, slot: number) =>
    write(store.number(column, slot));
/** Identifiers are names made of digits: 0 is the user root, and nothing is grouped. */
const identifier = (value: number) => (Number.isNaN(value) ? format.UNKNOWN : String(value));

export const COLUMNS: readonly ProcessColumn[] = [
  {
    id: "name",
    label: msg`Name`,
    meaning: msg`Name of the process as the kernel keeps it, at most 15 bytes`,
    width: 136,
    text: word("name"),
  },
  {
    id: "pid",
    label: msg`PID`,
    meaning: msg`Process number, in the host's own namespace`,
    width: 64,
    numeric: true,
    text: written("pid", identifier),
  },
  {
    id: "ppid",
    label: msg`Parent`,
    meaning: msg`Process number of the parent`,
    width: 64,
    numeric: true,
    text: written("ppid", identifier),
  },
  {
    id: "agent_id",
    label: msg`Host`,
    meaning: msg`The agent that reports the process`,
    width: 104,
    text: word("agent_id"),
  },
  {
    id: "username",
    label: msg`User`,
    meaning: msg`Real user of the process`,
    width: 88,
    text: word("username"),
  },
  {
    id: "uid",
    label: msg`UID`,
    meaning: msg`Number of the real user`,
    width: 64,
    numeric: true,
    text: written("uid", identifier),
  },
  {
    id: "status",
    label: msg`S`,
    meaning: msg`State, as in ps: R running, S sleeping, D waiting for a device, T stopped, Z zombie, I idle kernel thread`,
    width: 32,
    text: word("status"),
  },
  {
    id: "cpu_percent",
    label: msg`CPU %`,
    meaning: msg`CPU time in % of one core, over the agent's last sampling interval; eight busy threads show 800`,
    width: 76,
    numeric: true,
    descendingFirst: true,
    text: written("cpu_percent", format.percent),
  },
  {
    id: "short_lived_cpu_percent",
    label: msg`Short CPU %`,
    meaning: msg`CPU time of descendants that began and ended within the last sampling interval, in % of one core; no row of theirs shows it`,
    width: 104,
    numeric: true,
    descendingFirst: true,
    text: written("short_lived_cpu_percent", format.percent),
  },
  {
    id: "cpu_time_ms",
    label: msg`CPU time`,
    meaning: msg`CPU time since the process started`,
    width: 88,
    numeric: true,
    descendingFirst: true,
    text: written("cpu_time_ms", format.duration),
  },
  {
    id: "memory_rss",
    label: msg`RSS`,
    meaning: msg`Resident memory in IEC bytes, at the last sample; ≈ is the kernel's approximation`,
    width: 84,
    numeric: true,
    descendingFirst: true,
    text: resident,
  },
  {
    id: "memory_percent",
    label: msg`Mem %`,
    meaning: msg`Resident memory in % of the host's memory, at the last sample`,
    width: 72,
    numeric: true,
    descendingFirst: true,
    text: written("memory_percent", format.percent),
  },
  {
    id: "num_threads",
    label: msg`Threads`,
    meaning: msg`Threads at the last sample`,
    width: 76,
    numeric: true,
    descendingFirst: true,
    text: written("num_threads", format.count),
  },
  {
    id: "open_fds",
    label: msg`FDs`,
    meaning: msg`Open file descriptors at the last sample`,
    width: 56,
    numeric: true,
    descendingFirst: true,
    text: written("open_fds", format.count),
  },
  {
    id: "net_conns",
    label: msg`Conns`,
    meaning: msg`Network connections at the last sample`,
    width: 68,
    numeric: true,
    descendingFirst: true,
    text: written("net_conns", format.count),
  },
  {
    id: "ports",
    label: msg`Ports`,
    meaning: msg`Ports the process listens on`,
    width: 104,
    text: ports,
  },
  {
    id: "read_bytes_per_s",
    label: msg`Read/s`,
    meaning: msg`Bytes read from storage per second, over the last sampling interval`,
    width: 92,
    numeric: true,
    descendingFirst: true,
    text: written("read_bytes_per_s", format.bytesPerSecond),
  },
  {
    id: "write_bytes_per_s",
    label: msg`Write/s`,
    meaning: msg`Bytes written to storage per second, over the last sampling interval`,
    width: 92,
    numeric: true,
    descendingFirst: true,
    text: written("write_bytes_per_s", format.bytesPerSecond),
  },
  {
    id: "read_bytes",
    label: msg`Read`,
    meaning: msg`Bytes read from storage since the process started`,
    width: 88,
    numeric: true,
    descendingFirst: true,
    text: written("read_bytes", format.bytes),
  },
  {
    id: "write_bytes",
    label: msg`Written`,
    meaning: msg`Bytes written to storage since the process started`,
    width: 88,
    numeric: true,
    descendingFirst: true,
    text: written("write_bytes", format.bytes),
  },
  {
    id: "voluntary_switches",
    label: msg`Waits`,
    meaning: msg`Voluntary context switches since the process started: it waited for something`,
    width: 80,
    numeric: true,
    descendingFirst: true,
    text: written("voluntary_switches", format.count),
  },
  {
    id: "involuntary_switches",
    label: msg`Preemptions`,
    meaning: msg`Involuntary context switches since the process started: another one got the CPU`,
    width: 104,
    numeric: true,
    descendingFirst: true,
    text: written("involuntary_switches", format.count),
  },
  {
    id: "minor_faults",
    label: msg`Minor faults`,
    meaning: msg`Page faults since the process started that needed no storage`,
    width: 104,
    numeric: true,
    descendingFirst: true,
    text: written("minor_faults", format.count),
  },
  {
    id: "major_faults",
    label: msg`Major faults`,
    meaning: msg`Page faults since the process started that waited for storage`,
    width: 104,
    numeric: true,
    descendingFirst: true,
    text: written("major_faults", format.count),
  },
  {
    id: "start_time",
    label: msg`Started`,
    meaning: msg`When the process started: time of day, or the date when it was not today`,
    width: 104,
    descendingFirst: true,
    text: started,
  },
  {
    id: "container_id",
    label: msg`Container`,
    meaning: msg`Container the process runs in; – is none`,
    width: 120,
    text: (store, slot) => store.string("container_id", slot)?.slice(0, 12) ?? format.ZERO,
  },
  {
    id: "systemd_unit",
    label: msg`Unit`,
    meaning: msg`systemd service or scope the process runs in; – is none`,
    width: 136,
    text: (store, slot) => store.string("systemd_unit", slot) ?? format.ZERO,
  },
  {
    id: "cgroup",
    label: msg`Cgroup`,
    meaning: msg`Control group path`,
    width: 200,
    text: word("cgroup"),
  },
  {
    id: "cmdline",
    label: msg`Command`,
    meaning: msg`Command line with its secrets taken out; [name] is a process without one, such as a kernel thread`,
    width: 280,
    fill: true,
    text: command,
  },
];

export const STANDARD_COLUMNS: readonly SortColumn[] = [
  "name",
  "pid",
  "agent_id",
  "username",
  "status",
  "cpu_percent",
  "memory_rss",
  "memory_percent",
  "num_threads",
  "open_fds",
  "read_bytes_per_s",
  "write_bytes_per_s",
  "start_time",
  "cmdline",
];
/** What fits a telephone; the details panel has the rest. */
export const NARROW_COLUMNS: readonly SortColumn[] = ["name", "cpu_percent", "memory_rss", "pid"];
export const STANDARD_SORT: Sort = { column: "cpu_percent", descending: true };

const BY_ID = new Map(COLUMNS.map((column) => [column.id, column]));

export function columnById(id: string): ProcessColumn | undefined {
  return BY_ID.get(id as SortColumn);
}

/** `-cpu_percent`, the form of the API's `sort` parameter. */
export function parseSort(text: string | undefined): Sort {
  const column = columnById(text?.replace(/^-/, "") ?? "");
  return column ? { column: column.id, descending: text?.startsWith("-") ?? false } : STANDARD_SORT;
}

export function writeSort({ column, descending }: Sort): string {
  return `${descending ? "-" : ""}${column}`;
}

/** Known columns of a comma-separated list; the standard ones when it names none. */
export function parseColumns(text: string | undefined, narrow: boolean): ProcessColumn[] {
  const named = (text ?? "").split(",").filter((id) => BY_ID.has(id as SortColumn));
  const ids = named.length > 0 ? named : narrow ? NARROW_COLUMNS : STANDARD_COLUMNS;
  return ids.flatMap((id) => columnById(id) ?? []);
}

function command(store: ColumnStore, slot: number): string {
  const text = store.string("cmdline", slot);
  if (text === null) return format.UNKNOWN;
  return text === "" ? `[${store.string("name", slot) ?? format.UNKNOWN}]` : text;
}

function resident(store: ColumnStore, slot: number): string {
  const text = format.bytes(store.number("memory_rss", slot));
  const approximate = store.number("rss_exact", slot) === 0;
  return approximate && text !== format.UNKNOWN ? `≈ ${text}` : text;
}

function ports(store: ColumnStore, slot: number): string {
  const list = store.ports[slot];
  if (!list) return format.UNKNOWN;
  return list.length === 0 ? format.ZERO : list.join(" ");
}

function started(store: ColumnStore, slot: number, utc: boolean): string {
  const ms = store.number("start_time", slot);
  if (Number.isNaN(ms)) return format.UNKNOWN;
  const time = new Date(ms);
  const today = format.day(new Date(), utc) === format.day(time, utc);
  if (today) return format.clock(time, utc);
  const date = format.day(time, utc);
  const sameYear = date.slice(0, 4) === format.day(new Date(), utc).slice(0, 4);
  return sameYear ? `${date.slice(5)} ${format.clock(time, utc).slice(0, 5)}` : date;
}
