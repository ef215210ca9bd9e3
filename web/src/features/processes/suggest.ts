/** What could stand where the caret is in the filter box: fields, or values that processes have. */
import type { ColumnStore } from "../../api/columnStore.ts";
import { FIELDS } from "./filter.ts";

/** Replaces `input.slice(start, end)` by `text`. */
export type Suggestion = { text: string; start: number; end: number; count: number | null };

const LIMIT = 8;
/** Fields with few enough values to be worth choosing from a list. */
const LISTED = new Set(["name", "user", "host", "status", "container", "cgroup"]);

export function suggest(input: string, caret: number, store: ColumnStore): Suggestion[] {
  const start = input.slice(0, caret).search(/\S*$/);
  const end = caret + (/^\S*/.exec(input.slice(caret))?.[0].length ?? 0);
  const typed = input.slice(start, caret);
  const parts = /^(-?)([a-z_]*)(:?)(.*)$/i.exec(typed);
  if (!parts || typed === "" || typed === "-") return [];
  const [, minus = "", field = "", colon, value = ""] = parts;
  const at = { start, end };
  if (!colon) {
    return value === ""
      ? fieldsLike(field).map((text) => ({ ...at, text: minus + text, count: null }))
      : [];
  }
  if (!LISTED.has(field)) return [];
  return valuesLike(field, value, store).map(([text, count]) => ({
    ...at,
    text: `${minus}${field}:${/\s/.test(text) ? `"${text}"` : text} `,
    count,
  }));
}

function fieldsLike(typed: string): string[] {
  const found = Object.keys(FIELDS).filter((name) => name.startsWith(typed.toLowerCase()));
  return found.map((name) =>
    FIELDS[name]?.kind === "number" && !/pid|uid/.test(name) ? `${name}>` : `${name}:`,
  );
}

/** The most frequent values that contain what is typed. */
function valuesLike(name: string, typed: string, store: ColumnStore): [string, number][] {
  const field = FIELDS[name];
  if (field?.kind !== "text") return [];
  const needle = typed.replaceAll('"', "").toLowerCase();
  const counts = new Map<string, number>();
  for (let slot = 0; slot < store.length; slot++) {
    const value = store.isLive(slot) ? store.string(field.column, slot) : null;
    if (value?.toLowerCase().includes(needle)) counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  const found = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, LIMIT);
  const [only] = found;
  return found.length === 1 && only?.[0].toLowerCase() === needle ? [] : found;
}
