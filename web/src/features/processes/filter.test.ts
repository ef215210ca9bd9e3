import { describe, expect, it } from "vitest";
import { ColumnStore } from "../../api/columnStore.ts";
import { culprit, filterMatches, parseFilter, quantity } from "./filter.ts";

function fleet(): ColumnStore {
  const store = new ColumnStore();
  store.replace({
    agent_id: ["a", "a", "b"],
    process_id: ["1-1-x", "2-1-x", "1-1-y"],
    pid: [1, 234, 1],
    name: ["systemd", "nginx", "postgres"],
    cmdline: ["/sbin/init", "nginx: worker --port=80", "postgres -D /var/lib/pg data"],
    username: ["root", "www-data", "postgres"],
    uid: [0, 33, 70],
    status: ["S", "R", "D"],
    cpu_percent: [0, 61.5, null],
    memory_rss: [8 << 20, 200 << 20, 1024],
    memory_percent: [0.1, 3, 0],
    ports: [[], [80, 443], null],
  });
  return store;
}

function matching(input: string): string[] {
  const store = fleet();
  const filter = parseFilter(input);
  expect(filter.errors).toEqual([]);
  return [0, 1, 2]
    .filter((slot) => filterMatches(filter, store, slot))
    .map((slot) => store.string("name", slot) ?? "");
}

describe("filter", () => {
  it.each([
    ["", ["systemd", "nginx", "postgres"]],
    ["NGINX", ["nginx"]],
    ["init", ["systemd"]],
    ["234", ["nginx"]],
    ['"pg data"', ["postgres"]],
    ["user:root", ["systemd"]],
    ["user:root,postgres", ["systemd", "postgres"]],
    ["-user:root", ["nginx", "postgres"]],
    ["user:33", ["nginx"]],
    ["-nginx", ["systemd", "postgres"]],
    ["cpu>50 mem>1", ["nginx"]],
    ["cpu>=0", ["systemd", "nginx"]],
    ["cpu<=61.5%", ["systemd", "nginx"]],
    ["rss>100M", ["nginx"]],
    ["pid:1 host:b", ["postgres"]],
    ["port:443", ["nginx"]],
    ["status:r", ["nginx"]],
    ["pid=234", ["nginx"]],
    ["http://x", []],
  ])("%s", (input, names) => {
    expect(matching(input)).toEqual(names);
  });

  it.each([
    ["cpu>abc", { kind: "not-a-number", value: "abc" }],
    ["usr:root", { kind: "unknown-field", field: "usr", nearest: "user" }],
    ["zzzzzz:1", { kind: "unknown-field", field: "zzzzzz", nearest: null }],
    ["user>3", { kind: "needs-text-operator", field: "user" }],
    ["port:http", { kind: "not-a-number", value: "http" }],
    ["cpu>", { kind: "no-value" }],
    ['name:"abc', { kind: "open-quote" }],
  ])("names what is wrong with %s, and keeps the other clauses", (bad, problem) => {
    const filter = parseFilter(`user:root ${bad}`);
    expect(filter.errors).toEqual([{ text: bad, problem }]);
    expect(filter.clauses.map((clause) => clause.text)).toEqual(["user:root"]);
  });

  it("finds the clause that empties the list", () => {
    const found = culprit(parseFilter("cpu>50 user:nobody"), fleet());
    expect(found?.clause.text).toBe("user:nobody");
    expect(found?.without).toBe(1);
  });

  it("reads quantities", () => {
    expect(quantity("1.5GiB", "bytes")).toBe(1.5 * 2 ** 30);
    expect(quantity("64k", "bytes")).toBe(65_536);
    expect(quantity("ten", "bytes")).toBeNaN();
    expect(quantity("5%", "percent")).toBe(5);
  });
});
