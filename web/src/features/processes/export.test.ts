import { describe, expect, it } from "vitest";
import { ColumnStore } from "../../api/columnStore.ts";
import { curlFor } from "./curl.ts";
import { toCsv, toJson } from "./export.ts";
import { parseFilter } from "./filter.ts";

function store(): ColumnStore {
  const one = new ColumnStore();
  one.replace({
    agent_id: ["h"],
    process_id: ["7-1-x"],
    pid: [7],
    name: ["=cmd|' /C calc'!A0"],
    cmdline: ['echo "a,b"\nc'],
    cpu_percent: [null],
    ports: [[80, 443]],
    start_time: ["2026-01-02T03:04:05Z"],
    stale: [false],
  });
  return one;
}

describe("export", () => {
  it("writes CSV that a spreadsheet cannot be tricked with", () => {
    const csv = toCsv(store(), new Uint32Array([0]));
    expect(csv).toContain(`'=cmd|' /C calc'!A0`);
    expect(csv).toContain('"echo ""a,b""\nc"');
    expect(csv).toContain(",2026-01-02T03:04:05.000Z,80 443,false\r\n");
  });

  it("writes JSON with null for unknown", () => {
    const json = JSON.parse(toJson(store(), new Uint32Array([0]), "2026-01-02T03:04:06Z"));
    expect(json.total).toBe(1);
    expect(json.processes[0]).toMatchObject({ pid: 7, cpu_percent: null, ports: [80, 443] });
  });
});

describe("curl", () => {
  const sort = { column: "cpu_percent", descending: true } as const;

  it("uses the API's parameters and quotes for a shell", () => {
    const filter = parseFilter(`user:root cpu>50% rss>1M port:80 status:r name:"it's"`);
    const { command, left } = curlFor("http://127.0.0.1:8080", filter, sort);
    expect(left).toEqual([]);
    expect(command).toBe(
      "curl -sG http://127.0.0.1:8080/api/v1/processes --data-urlencode user=root " +
        "--data-urlencode cpu_gt=50 --data-urlencode rss_gt=1048576 --data-urlencode port=80 " +
        "--data-urlencode status=R --data-urlencode 'name=it'\\''s' " +
        "--data-urlencode sort=-cpu_percent --data-urlencode limit=10000",
    );
  });

  it("says which clauses the API cannot express", () => {
    const { left } = curlFor("http://h", parseFilter("-user:root cpu<5 java user:a,b"), sort);
    expect(left).toEqual(["-user:root", "cpu<5", "java", "user:a,b"]);
  });
});
