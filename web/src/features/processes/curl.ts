/** The request that answers what the table shows. */

import { writeSort } from "./columns.ts";
import { type Clause, type Filter, quantity } from "./filter.ts";
import type { Sort } from "./view.ts";

export type Curl = {
  command: string;
  /** Clauses for which the API has no parameter: the answer contains more rows than the table. */
  left: string[];
};

/** Clauses that mean the same as a parameter of GET /processes. */
function parameter({ field, operator, values, negated }: Clause): [string, string] | null {
  const value = values[0] ?? "";
  if (negated || values.length !== 1 || field === null) return null;
  const equal: Record<string, string> = {
    name: "name",
    cmd: "cmdline",
    user: "user",
    host: "agent_id",
    pid: "pid",
    ppid: "ppid",
    port: "port",
    container: "container",
    cgroup: "cgroup",
  };
  if (operator === ":" && field === "status") return ["status", value.toUpperCase()];
  if (operator === ":" && equal[field]) return [equal[field], value];
  if (operator !== ">") return null;
  if (field === "cpu") return ["cpu_gt", String(quantity(value, "percent"))];
  if (field === "mem") return ["mem_gt", String(quantity(value, "percent"))];
  if (field === "rss") return ["rss_gt", String(quantity(value, "bytes"))];
  return null;
}

export function curlFor(origin: string, filter: Filter, sort: Sort): Curl {
  const parameters: [string, string][] = [];
  const left: string[] = [];
  for (const clause of filter.clauses) {
    const found = parameter(clause);
    // A parameter given twice would not mean "and".
    if (found && !parameters.some(([name]) => name === found[0])) parameters.push(found);
    else left.push(clause.text);
  }
  parameters.push(["sort", writeSort(sort)], ["limit", "10000"]);
  const data = parameters.map(([name, value]) => `--data-urlencode ${quote(`${name}=${value}`)}`);
  return { command: `curl -sG ${quote(`${origin}/api/v1/processes`)} ${data.join(" ")}`, left };
}

/** For a POSIX shell: nothing inside single quotes is special but the quote itself. */
function quote(text: string): string {
  return /^[\w=:/.,@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
