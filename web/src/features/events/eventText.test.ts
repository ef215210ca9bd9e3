import { describe, expect, it } from "vitest";
import type { ProcessEvent } from "../../api/client.ts";
import { command, cpuTime, killer, length, outcome, peakRss, severity } from "./eventText.ts";

const event = (fields: Partial<ProcessEvent>) => ({ type: "exit", ...fields }) as ProcessEvent;

describe("event text", () => {
  it("tells exit codes, signals and unknown apart", () => {
    expect(outcome(event({ exit_code: 0 }))).toBe("exit 0");
    expect(outcome(event({ exit_code: null, signal: 9, oom_killed: true }))).toBe("SIGKILL OOM");
    expect(outcome(event({ exit_code: null, signal: 40 }))).toBe("signal 40");
    expect(outcome(event({ exit_code: null, signal: null }))).toBe("?");
    expect(outcome(event({ type: "exec" }))).toBe("");
  });

  it("names who killed it, the kernel, nobody, or says that it is not known", () => {
    const killed_by = { process_id: "7-42-0f0f0f0f", pid: 7, name: "bash", uid: 0 };
    expect(killer(event({ signal: 15, killed_by }))).toBe("bash 7 (UID 0)");
    expect(killer(event({ signal: 9, oom_killed: true }))).toBe("OOM");
    expect(killer(event({ signal: 9 }))).toBe("?");
    expect(killer(event({ exit_code: 0 }))).toBe("–");
    expect(outcome(event({ type: "oom", rss_bytes: 67_108_864 }))).toBe("OOM 64.0 MiB");
    expect(severity(event({ type: "oom" }))).toBe("critical");
  });

  it("warns of crashes only", () => {
    expect(severity(event({ exit_code: 1 }))).toBeNull();
    expect(severity(event({ signal: 15 }))).toBeNull();
    expect(severity(event({ signal: 11 }))).toBe("warning");
    expect(severity(event({ signal: 9, oom_killed: true }))).toBe("critical");
  });

  it("leaves figures empty where they make no sense, and unknown where they are not known", () => {
    expect([length, cpuTime, peakRss].map((f) => f(event({ type: "exec" })))).toEqual(["", "", ""]);
    expect([length, cpuTime, peakRss].map((f) => f(event({})))).toEqual(["?", "?", "?"]);
    expect(cpuTime(event({ cpu_time_ms: 12, totals_final: false }))).toBe("≥ 12 ms");
    expect(command(event({ cmdline: "", name: "kworker" }))).toBe("[kworker]");
  });
});
