import { describe, expect, it } from "vitest";
import { ColumnStore, keyOf } from "./columnStore.ts";

const rows = (ids: string[], cpu: (number | null)[] = ids.map(() => 0)) => ({
  agent_id: ids.map(() => "h"),
  process_id: ids,
  cpu_percent: cpu,
});
const gone = (...ids: string[]) => ({ agent_id: ids.map(() => "h"), process_id: ids });

describe("column store", () => {
  it("keeps the slot of a process through changes and snapshots", () => {
    const store = new ColumnStore();
    store.replace(rows(["a", "b"]));
    const b = store.slotOf(keyOf("h", "b"));
    store.apply(rows(["c"]), gone("a"));
    store.replace(rows(["b", "c"], [7, null]));
    expect(store.slotOf(keyOf("h", "b"))).toBe(b);
    expect(store.number("cpu_percent", b ?? -1)).toBe(7);
    expect(store.size).toBe(2);
  });

  it("does not reuse the slot of a gone row before the sweep", () => {
    const store = new ColumnStore();
    store.replace(rows(["a", "b"]));
    const a = store.slotOf(keyOf("h", "a")) ?? -1;
    store.apply(rows(["c"]), gone("a"));
    expect(store.string("process_id", a)).toBe("a");
    expect(store.isLive(a)).toBe(false);
    store.sweep();
    store.apply(rows(["d"]), gone());
    expect(store.slotOf(keyOf("h", "d"))).toBe(a);
  });

  it("keeps a process that comes back before the sweep", () => {
    const store = new ColumnStore();
    store.replace(rows(["a"]));
    store.apply(rows([]), gone("a"));
    store.apply(rows(["a"]), gone());
    store.sweep();
    expect(store.size).toBe(1);
    const slot = store.slotOf(keyOf("h", "a")) ?? -1;
    expect(store.string("process_id", slot)).toBe("a");
  });

  it("holds ten thousand rows, and reads unknown as NaN and null", () => {
    const store = new ColumnStore();
    const ids = Array.from({ length: 10_000 }, (_, i) => `${i}`);
    store.replace(
      rows(
        ids,
        ids.map((_, i) => (i === 9999 ? null : i)),
      ),
    );
    expect(store.size).toBe(10_000);
    expect(store.number("cpu_percent", 5000)).toBe(5000);
    expect(store.number("cpu_percent", 9999)).toBeNaN();
    expect(store.string("name", 3)).toBeNull();
    expect(store.clone().toColumns().process_id).toEqual(ids);
  });

  it("takes times as text or as numbers", () => {
    const store = new ColumnStore();
    store.replace({ ...rows(["a"]), start_time: ["2026-01-02T03:04:05Z"] });
    expect(store.number("start_time", 0)).toBe(Date.UTC(2026, 0, 2, 3, 4, 5));
    expect(store.clone().number("start_time", 0)).toBe(Date.UTC(2026, 0, 2, 3, 4, 5));
  });
});
