/** The filtered set as a file, every column of it, in the order shown. */
import {
  type ColumnStore,
  NUMBER_COLUMNS,
  type NumberColumn,
  STRING_COLUMNS,
} from "../../api/columnStore.ts";

type Cell = string | number | boolean | readonly number[] | null;
type Row = Record<string, Cell>;

const NUMBERS: readonly NumberColumn[] = NUMBER_COLUMNS;

export function rowOf(store: ColumnStore, slot: number): Row {
  const row: Row = {};
  for (const column of STRING_COLUMNS) row[column] = store.string(column, slot);
  for (const column of NUMBERS) row[column] = orNull(store.number(column, slot));
  const exact = store.number("rss_exact", slot);
  row.rss_exact = Number.isNaN(exact) ? null : exact === 1;
  const start = store.number("start_time", slot);
  row.start_time = Number.isNaN(start) ? null : new Date(start).toISOString();
  row.ports = store.ports[slot] ?? null;
  row.stale = store.isStale(slot);
  return row;
}

export function toJson(store: ColumnStore, order: Uint32Array, at: string | null): string {
  const processes = Array.from(order, (slot) => rowOf(store, slot));
  return JSON.stringify({ processes, total: processes.length, at }, null, 1);
}

/** RFC 4180. Unknown is an empty field. */
export function toCsv(store: ColumnStore, order: Uint32Array): string {
  const names = [...STRING_COLUMNS, ...NUMBERS, "start_time", "ports", "stale"];
  const lines = [names.join(",")];
  for (const slot of order) {
    const row = rowOf(store, slot);
    lines.push(names.map((name) => field(row[name] ?? null)).join(","));
  }
  return `${lines.join("\r\n")}\r\n`;
}

/** A spreadsheet runs text that begins like a formula, and anybody may name a process so. */
function field(cell: Cell): string {
  if (cell === null) return "";
  if (typeof cell === "number" || typeof cell === "boolean") return String(cell);
  let text = typeof cell === "string" ? cell : cell.join(" ");
  if (/^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function orNull(value: number): number | null {
  return Number.isNaN(value) ? null : value;
}

export function download(name: string, type: string, content: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  // The download has its own reference by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
