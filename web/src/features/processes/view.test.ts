import { describe, expect, it } from "vitest";
import { ColumnStore } from "../../api/columnStore.ts";
import { parseFilter } from "./filter.ts";
import { arrange, HOLD_MS, ProcessView, type Sort } from "./view.ts";

const BY_CPU: Sort = { column: "cpu_percent", descending: true };
const EVERYTHING = parseFilter("");

function rows(cpu: Record<string, number | null>) {
  const names = Object.keys(cpu);
  return {
    agent_id: names.map(() => "h"),
    process_id: names,
    name: names,
    pid: names.map((_, i) => i + 1),
    cpu_percent: Object.values(cpu),
  };
}

function setup(cpu: Record<string, number | null>) {
  const store = new ColumnStore();
  store.replace(rows(cpu));
  let time = 10_000;
  let timer: (() => void) | null = null;
  let keeping = false;
  const view = new ProcessView(store, (keep) => (keeping = keep), EVERYTHING, BY_CPU, {
    now: () => time,
    setTimer: (run) => (timer = run),
    clearTimer: () => (timer = null),
  });
  view.start();
  const names = () =>
    Array.from(view.getState().order, (slot) => view.getState().store.string("name", slot));
  return {
    store,
    view,
    names,
    keeping: () => keeping,
    later(ms: number) {
      time += ms;
      const due = timer;
      timer = null;
      due?.();
    },
  };
}

const NONE = { agent_id: [], process_id: [] };

describe("process view", () => {
  it("sorts unknown values last in both directions", () => {
    const { store } = setup({ a: 1, b: null, c: 3 });
    const names = (descending: boolean) =>
      Array.from(arrange(store, EVERYTHING, { column: "cpu_percent", descending }), (slot) =>
        store.string("name", slot),
      );
    expect(names(true)).toEqual(["c", "a", "b"]);
    expect(names(false)).toEqual(["a", "c", "b"]);
  });

  it("keeps the order under the pointer, and sorts again after two idle seconds", () => {
    const { store, view, names, later } = setup({ a: 3, b: 2 });
    view.touched();
    store.apply(rows({ a: 1, b: 9, c: 5 }), NONE);
    view.rowsChanged();
    expect(names()).toEqual(["a", "b"]);
    expect(view.getState().held).toBe(true);
    later(HOLD_MS);
    expect(names()).toEqual(["b", "c", "a"]);
    expect(view.getState().held).toBe(false);
  });

  it("keeps showing a row that went away while the order is held", () => {
    const { store, view, names, later } = setup({ a: 3, b: 2 });
    view.touched();
    store.apply(rows({ c: 9 }), { agent_id: ["h"], process_id: ["a"] });
    view.rowsChanged();
    expect(names()).toEqual(["a", "b"]);
    later(HOLD_MS);
    expect(names()).toEqual(["c", "b"]);
  });

  it("counts what came and went while frozen", () => {
    const { store, view, names } = setup({ a: 3, b: 2 });
    view.freeze(true);
    store.apply(rows({ c: 9, d: 1 }), { agent_id: ["h"], process_id: ["a"] });
    view.rowsChanged();
    expect(names()).toEqual(["a", "b"]);
    expect(view.getState()).toMatchObject({ added: 2, gone: 1, frozen: true });
    view.freeze(false);
    expect(names()).toEqual(["c", "b", "d"]);
  });

  it("lets go of the slots when it closes", () => {
    const { view, keeping } = setup({ a: 1 });
    expect(keeping()).toBe(true);
    view.close();
    expect(keeping()).toBe(false);
  });
});
