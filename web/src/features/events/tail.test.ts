import { describe, expect, it } from "vitest";
import type { EventPage, ProcessEvent } from "../../api/client.ts";
import { ITEM_LIMIT, type Position, Tail, WAITING_LIMIT } from "./tail.ts";

function event(n: number): ProcessEvent {
  const ts = new Date(n * 1000).toISOString();
  return { cursor: `c${n}`, type: "exec", ts, agent_id: "h", name: "x" } as ProcessEvent;
}
const range = (from: number, to: number) =>
  Array.from({ length: Math.abs(to - from) + 1 }, (_, i) => event(from < to ? from + i : from - i));

function tailOver(pages: EventPage[]) {
  const asked: Position[] = [];
  const tail = new Tail((position) => {
    asked.push(position);
    const page = pages.shift();
    return page ? Promise.resolve(page) : Promise.reject(new Error("no answer"));
  });
  const keys = () => tail.getState().items.map((one) => one.gap?.kind ?? one.key);
  return { tail, asked, keys };
}

describe("event tail", () => {
  it("joins history and live events without a hole or a double", async () => {
    const { tail, keys } = tailOver([{ events: range(5, 3), next_cursor: null }]);
    const opening = tail.open(false);
    tail.push(range(5, 6), 0);
    await opening;
    tail.push([event(7)], 0);
    expect(keys()).toEqual(["c7", "c6", "c5", "c4", "c3"]);
  });

  it("looks further back through empty pages, until there is a screenful or the end", async () => {
    const { tail, asked, keys } = tailOver([
      { events: [], next_cursor: "p2" },
      { events: [event(4)], next_cursor: "p3" },
      { events: [event(3)], next_cursor: null },
    ]);
    await tail.open(false);
    expect(asked).toEqual([{}, { cursor: "p2" }, { cursor: "p3" }]);
    expect(keys()).toEqual(["c4", "c3"]);
  });

  it("pages back by cursor until the end", async () => {
    const { tail, asked, keys } = tailOver([
      { events: range(99, 2), next_cursor: "p2" },
      { events: [event(1)], next_cursor: null },
    ]);
    await tail.open(false);
    await tail.more();
    await tail.more();
    expect(asked).toEqual([{}, { cursor: "p2" }]);
    expect(keys().slice(-2)).toEqual(["c2", "c1"]);
    expect(tail.getState().bottom).toBe("end");
  });

  it("counts what waits while paused, and shows it afterwards", async () => {
    const { tail, keys } = tailOver([{ events: [event(1)], next_cursor: null }]);
    await tail.open(false);
    tail.pause(true);
    tail.push(range(2, 3), 0);
    expect(keys()).toEqual(["c1"]);
    expect(tail.getState().waiting).toBe(2);
    tail.pause(false);
    expect(keys()).toEqual(["c3", "c2", "c1"]);
    expect(tail.getState().waiting).toBe(0);
  });

  it("draws what it could not keep while paused as a gap", async () => {
    const { tail, keys } = tailOver([{ events: [event(1)], next_cursor: null }]);
    await tail.open(false);
    tail.pause(true);
    tail.push(range(2, WAITING_LIMIT + 11), 0);
    tail.pause(false);
    const items = tail.getState().items;
    expect(items[WAITING_LIMIT]?.gap).toEqual({ kind: "unkept", count: 10 });
    expect(keys().at(-1)).toBe("c1");
  });

  it("holds a bounded number of items, and pages on from the oldest by time", async () => {
    const { tail, asked } = tailOver([
      { events: [event(1)], next_cursor: null },
      { events: [], next_cursor: null },
    ]);
    await tail.open(false);
    tail.push(range(2, ITEM_LIMIT + 2), 0);
    expect(tail.getState().items).toHaveLength(ITEM_LIMIT);
    await tail.more();
    expect(asked.at(-1)).toEqual({ until: event(3).ts });
  });

  it("draws resets, skipped events and missed connections as gaps", async () => {
    const { tail, keys } = tailOver([
      { events: [event(1)], next_cursor: null },
      { events: range(9, 8), next_cursor: "x" },
    ]);
    await tail.open(false);
    tail.reset("cursor older than retention");
    tail.push([event(2)], 40);
    await tail.open(false);
    expect(keys()).toEqual(["c9", "c8", "disconnected", "skipped", "c2", "reset", "c1"]);
  });

  it("keeps the reason when the first page fails", async () => {
    const { tail } = tailOver([]);
    await tail.open(false);
    expect(tail.getState().phase).toBe("failed");
    expect(tail.getState().error?.message).toBe("no answer");
  });
});
