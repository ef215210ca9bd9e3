import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ProcessEvent } from "./client.ts";
import { Hub, matches } from "./hub.ts";
import type { EventFilter, FromHub, Wants } from "./protocol.ts";

const ALL: EventFilter = { types: [], name: "", host: "", user: "" };
const ROWS = { agent_id: ["h"], process_id: ["1"], cpu_percent: [5] };

class FakeSource extends EventTarget {
  static readonly CLOSED = 2;
  static all: FakeSource[] = [];
  readyState = 0;
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;
  readonly url: string;
  constructor(url: string) {
    super();
    this.url = url;
    FakeSource.all.push(this);
  }
  close() {
    this.readyState = 2;
  }
  say(type: string, data: unknown, lastEventId = "") {
    this.dispatchEvent(new MessageEvent(type, { data: JSON.stringify(data), lastEventId }));
  }
}

const source = (end: string) => FakeSource.all.filter((one) => one.url.endsWith(end)).at(-1);

function join(hub: Hub, wants: Partial<Wants> = {}) {
  const got: FromHub[] = [];
  const client = (message: FromHub) => got.push(message);
  const want = (more: Partial<Wants>) =>
    hub.receive(client, { kind: "want", wants: { processes: false, events: null, ...more } });
  want(wants);
  const kinds = () => got.map((message) => message.kind).filter((kind) => kind !== "status");
  return { got, want, kinds, leave: () => hub.receive(client, { kind: "bye" }) };
}

beforeEach(() => {
  FakeSource.all = [];
  vi.useFakeTimers();
  vi.stubGlobal("EventSource", FakeSource);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("hub", () => {
  it("opens one stream for any number of tabs, and closes it with the last", () => {
    const hub = new Hub();
    const [a, b] = [join(hub), join(hub)];
    expect(FakeSource.all.map((one) => one.url)).toEqual(["/api/v1/live"]);
    a.leave();
    expect(source("live")?.readyState).toBe(0);
    b.leave();
    expect(source("live")?.readyState).toBe(2);
  });

  it("gives a later tab what it holds, and a hidden tab nothing", () => {
    const hub = new Hub();
    const first = join(hub, { processes: true });
    source("live")?.say("snapshot", { at: "t1", columns: ROWS });
    const second = join(hub, { processes: true });
    expect(first.kinds()).toEqual(["snapshot"]);
    expect(second.kinds()).toEqual(["snapshot"]);
    second.want({ processes: false });
    const removed = { agent_id: [], process_id: [] };
    source("live")?.say("delta", { at: "t2", columns: ROWS, removed });
    expect(first.kinds()).toEqual(["snapshot", "delta"]);
    expect(second.kinds()).toEqual(["snapshot"]);
    second.want({ processes: true });
    expect(second.kinds()).toEqual(["snapshot", "snapshot"]);
  });

  it("streams events only while a tab wants them, filtered and in groups", () => {
    const hub = new Hub();
    const tab = join(hub);
    expect(source("stream")).toBeUndefined();
    tab.want({ events: { ...ALL, types: ["exit"] } });
    source("stream")?.onopen?.();
    source("stream")?.say("message", { type: "exec", cursor: "1" }, "1");
    source("stream")?.say("message", { type: "exit", cursor: "2" }, "2");
    source("stream")?.say("message", { type: "exit", cursor: "3" }, "3");
    vi.advanceTimersByTime(250);
    expect(tab.kinds()).toEqual(["events-open", "events"]);
    const last = tab.got.at(-1);
    expect(last?.kind === "events" && last.events.map((event) => event.cursor)).toEqual(["2", "3"]);
    tab.want({ events: null });
    expect(source("stream")?.readyState).toBe(2);
  });

  it("counts the events of a burst that it does not pass on", () => {
    const hub = new Hub();
    const tab = join(hub, { events: ALL });
    for (let i = 0; i < 1005; i++)
      source("stream")?.say("message", { type: "exec", cursor: `${i}` });
    vi.advanceTimersByTime(250);
    const last = tab.got.at(-1);
    expect(last?.kind === "events" && [last.events.length, last.skipped]).toEqual([1000, 5]);
  });

  it("tells whether the server sends what was missed", () => {
    const hub = new Hub();
    const tab = join(hub, { events: ALL });
    source("stream")?.onopen?.();
    source("stream")?.say("message", { type: "exec", cursor: "1" }, "1");
    source("stream")?.onopen?.();
    const opens = tab.got.filter((message) => message.kind === "events-open");
    expect(opens.map((message) => message.resumed)).toEqual([false, true]);
  });

  it("comes back after an HTTP error, and finds out what it was", async () => {
    const detail = "the server is starting";
    vi.stubGlobal("fetch", () =>
      Promise.resolve(new Response(JSON.stringify({ detail }), { status: 503 })),
    );
    const hub = new Hub();
    const tab = join(hub, { processes: true });
    const first = source("live");
    first?.close();
    first?.onerror?.();
    await vi.advanceTimersByTimeAsync(10);
    const status = tab.got.findLast((message) => message.kind === "status");
    expect(status?.kind === "status" && status.live).toMatchObject({
      state: "lost",
      cause: `HTTP 503: ${detail}`,
    });
    await vi.advanceTimersByTimeAsync(1000);
    expect(source("live")).not.toBe(first);
  });

  it("goes on after the last event when it had to open the stream anew", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new Error("refused")));
    const tab = join(new Hub(), { events: ALL });
    const first = source("stream");
    first?.onopen?.();
    first?.say("message", { type: "exec", cursor: "a/7" }, "a/7");
    first?.close();
    first?.onerror?.();
    await vi.advanceTimersByTimeAsync(1500);
    const second = source("cursor=a%2F7");
    second?.onopen?.();
    const opens = tab.got.filter((message) => message.kind === "events-open");
    expect(opens.map((message) => message.resumed)).toEqual([false, true]);
  });
});

describe("event filter", () => {
  const event = {
    type: "exec",
    name: "Nginx",
    agent_id: "web-1",
    username: "root",
  } as ProcessEvent;

  it.each([
    [{}, true],
    [{ name: "ngi" }, true],
    [{ name: "apache" }, false],
    [{ host: "web" }, false],
    [{ user: "root", types: ["exec", "exit"] }, true],
    [{ types: ["exit"] }, false],
  ])("%o", (filter, expected) => {
    expect(matches({ ...ALL, ...filter }, event)).toBe(expected);
  });
});
