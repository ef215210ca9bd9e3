/**
 * The shorthand of the filter box: `user:root cpu>50 -name:idle "free text"`. Clauses are joined by
 * "and", the comma-separated values of one clause by "or".
 */
import type { ColumnStore, NumberColumn, StringColumn } from "../../api/columnStore.ts";

export type Problem =
  | { kind: "unknown-field"; field: string; nearest: string | null }
  | { kind: "not-a-number"; value: string }
  | { kind: "no-value" }
  | { kind: "needs-text-operator"; field: string }
  | { kind: "open-quote" };

export type Clause = {
  /** As typed, and where. */
  text: string;
  start: number;
  negated: boolean;
  /** null is free text. */
  field: string | null;
  operator: ":" | ">" | "<" | ">=" | "<=";
  values: string[];
  test: (store: ColumnStore, slot: number) => boolean;
};

export type Filter = { clauses: Clause[]; errors: { text: string; problem: Problem }[] };

type TextField = { kind: "text"; column: StringColumn; match: "part" | "start" | "all" };
type NumberField = { kind: "number"; column: NumberColumn; unit: "plain" | "bytes" | "percent" };
type Field = TextField | NumberField | { kind: "port" };

const text = (column: StringColumn, match: TextField["match"] = "part"): Field => ({
  kind: "text",
  column,
  match,
});
const number = (column: NumberColumn, unit: NumberField["unit"] = "plain"): Field => ({
  kind: "number",
  column,
  unit,
});

/** Text matches in part unless it says otherwise, as in the server's own parameters. */
export const FIELDS: Record<string, Field> = {
  name: text("name"),
  cmd: text("cmdline"),
  exe: text("exe"),
  user: text("username", "all"),
  host: text("agent_id", "all"),
  status: text("status", "all"),
  container: text("container_id", "start"),
  cgroup: text("cgroup"),
  pid: number("pid"),
  ppid: number("ppid"),
  uid: number("uid"),
  port: { kind: "port" },
  cpu: number("cpu_percent", "percent"),
  mem: number("memory_percent", "percent"),
  rss: number("memory_rss", "bytes"),
  threads: number("num_threads"),
  fds: number("open_fds"),
  conns: number("net_conns"),
  read: number("read_bytes_per_s", "bytes"),
  write: number("write_bytes_per_s", "bytes"),
};
const ALIASES: Record<string, string> = {
  cmdline: "cmd",
  username: "user",
  agent: "host",
  agent_id: "host",
  cpu_percent: "cpu",
  memory_rss: "rss",
  memory_percent: "mem",
  state: "status",
  ports: "port",
};

const CLAUSE = /^(-?)([a-z_]+)(>=|<=|[:=<>])(.*)$/i;

export function parseFilter(input: string): Filter {
  const filter: Filter = { clauses: [], errors: [] };
  for (const token of tokens(input)) {
    const result = token.open ? ({ kind: "open-quote" } as const) : clause(token);
    if ("kind" in result) filter.errors.push({ text: token.text, problem: result });
    else filter.clauses.push(result);
  }
  return filter;
}

export function filterMatches(filter: Filter, store: ColumnStore, slot: number): boolean {
  for (const one of filter.clauses) if (one.test(store, slot) === one.negated) return false;
  return true;
}

/** For a filter that matches nothing: the clause without which the most rows would match. */
export function culprit(
  filter: Filter,
  store: ColumnStore,
): { clause: Clause; without: number } | null {
  let worst: { clause: Clause; without: number } | null = null;
  for (const clause of filter.clauses) {
    const others = { ...filter, clauses: filter.clauses.filter((other) => other !== clause) };
    let without = 0;
    for (let slot = 0; slot < store.length; slot++) {
      if (store.isLive(slot) && filterMatches(others, store, slot)) without++;
    }
    if (without > (worst?.without ?? 0)) worst = { clause, without };
  }
  return worst;
}

type Token = { text: string; start: number; open: boolean };

/** Splits at spaces outside double quotes. */
function tokens(input: string): Token[] {
  const found: Token[] = [];
  let start = -1;
  let quoted = false;
  for (let i = 0; i <= input.length; i++) {
    const character = input[i];
    if (character === '"') quoted = !quoted;
    const ends = character === undefined || (/\s/.test(character) && !quoted);
    if (!ends && start < 0) start = i;
    if (ends && start >= 0) {
      found.push({ text: input.slice(start, i), start, open: quoted });
      start = -1;
    }
  }
  return found;
}

function clause({ text: typed, start }: Token): Clause | Problem {
  const parts = CLAUSE.exec(typed);
  // A path or an address contains ":" without being a clause.
  if (!parts || typed.startsWith('"') || /^[a-z]+:\/\//i.test(typed)) return freeText(typed, start);
  const [, minus, rawField = "", rawOperator = ":", rawValue = ""] = parts;
  const name = ALIASES[rawField.toLowerCase()] ?? rawField.toLowerCase();
  const field = FIELDS[name];
  if (!field) return { kind: "unknown-field", field: rawField, nearest: nearest(name) };
  const values = unquote(rawValue)
    .split(",")
    .filter((value) => value !== "");
  if (values.length === 0) return { kind: "no-value" };
  const operator = (rawOperator === "=" ? ":" : rawOperator) as Clause["operator"];
  const test = testFor(field, name, operator, values);
  if (typeof test !== "function") return test;
  return { text: typed, start, negated: minus === "-", field: name, operator, values, test };
}

function freeText(typed: string, start: number): Clause {
  const negated = typed.startsWith("-") && typed.length > 1;
  const value = unquote(negated ? typed.slice(1) : typed);
  const needle = value.toLowerCase();
  const test = (store: ColumnStore, slot: number) =>
    contains(store.string("name", slot), needle) ||
    contains(store.string("cmdline", slot), needle) ||
    contains(store.string("username", slot), needle) ||
    String(store.number("pid", slot)) === needle;
  return { text: typed, start, negated, field: null, operator: ":", values: [value], test };
}

function testFor(
  field: Field,
  name: string,
  operator: Clause["operator"],
  values: string[],
): Clause["test"] | Problem {
  if (field.kind === "text") {
    if (operator !== ":") return { kind: "needs-text-operator", field: name };
    return textTest(field, values);
  }
  if (field.kind === "port") {
    if (operator !== ":") return { kind: "needs-text-operator", field: name };
    const wanted = values.map(Number);
    const bad = wanted.findIndex((value) => !Number.isInteger(value));
    if (bad >= 0) return { kind: "not-a-number", value: values[bad] ?? "" };
    return (store, slot) => store.ports[slot]?.some((port) => wanted.includes(port)) ?? false;
  }
  return numberTest(field, operator, values);
}

function textTest({ column, match }: TextField, values: string[]): Clause["test"] {
  const wanted = values.map((value) => value.toLowerCase());
  const one = {
    part: (actual: string, value: string) => actual.includes(value),
    start: (actual: string, value: string) => actual.startsWith(value),
    all: (actual: string, value: string) => actual === value,
  }[match];
  return (store, slot) => {
    const actual = store.string(column, slot)?.toLowerCase();
    if (actual !== undefined && wanted.some((value) => one(actual, value))) return true;
    // A user may be given by number, as in the API.
    return column === "username" && wanted.includes(String(store.number("uid", slot)));
  };
}

function numberTest(
  { column, unit }: NumberField,
  operator: Clause["operator"],
  values: string[],
): Clause["test"] | Problem {
  const wanted = values.map((value) => quantity(value, unit));
  const bad = wanted.findIndex(Number.isNaN);
  if (bad >= 0) return { kind: "not-a-number", value: values[bad] ?? "" };
  const limit = wanted[0] ?? Number.NaN;
  switch (operator) {
    case ":":
      return (store, slot) => wanted.includes(store.number(column, slot));
    case ">":
      return (store, slot) => store.number(column, slot) > limit;
    case "<":
      return (store, slot) => store.number(column, slot) < limit;
    case ">=":
      return (store, slot) => store.number(column, slot) >= limit;
    case "<=":
      return (store, slot) => store.number(column, slot) <= limit;
  }
}

const SCALE: Record<string, number> = { "": 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** `100`, `12.5%`, `64k`, `1.5GiB`; NaN when it is none of them. */
export function quantity(value: string, unit: NumberField["unit"]): number {
  if (unit === "bytes") {
    const parts = /^(\d+(?:\.\d+)?)([kmgt]?)(?:i?b)?(?:\/s)?$/i.exec(value);
    return parts ? Number(parts[1]) * (SCALE[(parts[2] ?? "").toLowerCase()] ?? 1) : Number.NaN;
  }
  const plain = unit === "percent" ? value.replace(/%$/, "") : value;
  return plain.trim() === "" ? Number.NaN : Number(plain);
}

function contains(haystack: string | null, needle: string): boolean {
  return haystack?.toLowerCase().includes(needle) ?? false;
}

function unquote(value: string): string {
  return value.replaceAll('"', "");
}

function nearest(field: string): string | null {
  let best: string | null = null;
  let distance = 3;
  for (const name of [...Object.keys(FIELDS), ...Object.keys(ALIASES)]) {
    const edits = editDistance(field, name);
    if (edits < distance) {
      distance = edits;
      best = ALIASES[name] ?? name;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
