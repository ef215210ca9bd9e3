/** Events in words: outcomes, signals, and what an event has instead of an outcome. */
import type { ProcessEvent } from "../../api/client.ts";
import { bytes, duration, UNKNOWN, ZERO } from "../../ui/format.ts";
import type { SeverityLevel } from "../../ui/Severity.tsx";

/** The kinds that exist; the filter offers them in this order. */
export const EVENT_TYPES = ["exec", "exit", "fork", "io_slow", "oom", "loss"] as const;

const SIGNALS: Record<number, string> = {
  1: "HUP",
  2: "INT",
  3: "QUIT",
  4: "ILL",
  5: "TRAP",
  6: "ABRT",
  7: "BUS",
  8: "FPE",
  9: "KILL",
  10: "USR1",
  11: "SEGV",
  12: "USR2",
  13: "PIPE",
  14: "ALRM",
  15: "TERM",
  24: "XCPU",
  25: "XFSZ",
  31: "SYS",
};
/** Signals that a program did not ask for: it crashed, or was killed without a chance to clean up. */
const VIOLENT = new Set([3, 4, 5, 6, 7, 8, 9, 11, 31]);

export function signalName(signal: number): string {
  const name = SIGNALS[signal];
  return name ? `SIG${name}` : `signal ${signal}`;
}

/** The short text of the outcome column; empty where the kind of event has none. */
export function outcome(event: ProcessEvent): string {
  switch (event.type) {
    case "exit":
      return exitOutcome(event);
    case "io_slow":
      return `${event.op ?? UNKNOWN} ${event.device ?? UNKNOWN} ${bytes(event.bytes)}`;
    case "oom":
      return `OOM ${bytes(event.rss_bytes)}`;
    default:
      return "";
  }
}

/** Who sent the signal: nobody where there was none, the kernel itself, or not known. */
export function killer(event: ProcessEvent): string {
  const by = event.killed_by;
  if (by) return `${by.name} ${by.pid} (UID ${by.uid})`;
  if (event.signal == null) return ZERO;
  return event.oom_killed ? "OOM" : UNKNOWN;
}

function exitOutcome(event: ProcessEvent): string {
  if (event.signal != null) {
    const oom = event.oom_killed ? " OOM" : "";
    const core = event.core_dumped ? " core" : "";
    return `${signalName(event.signal)}${oom}${core}`;
  }
  return event.exit_code == null ? UNKNOWN : `exit ${event.exit_code}`;
}

export function severity(event: ProcessEvent): SeverityLevel | null {
  if (event.oom_killed || event.type === "oom") return "critical";
  if (event.signal != null && VIOLENT.has(event.signal)) return "warning";
  return null;
}

/** How long it took: a life, or a request to a device. */
export function length(event: ProcessEvent): string {
  if (event.type === "exit") return duration(event.duration_ms);
  return event.type === "io_slow" ? duration(event.latency_ms) : "";
}

export function cpuTime(event: ProcessEvent): string {
  if (event.type !== "exit") return "";
  const text = duration(event.cpu_time_ms);
  // A zombie's totals are complete only when it is reaped.
  return event.totals_final === false && text !== UNKNOWN ? `≥ ${text}` : text;
}

export function peakRss(event: ProcessEvent): string {
  return event.type === "exit" ? bytes(event.max_rss_bytes) : "";
}

export function command(event: ProcessEvent): string {
  const text = event.cmdline ?? event.exe;
  if (text === null || text === undefined) return UNKNOWN;
  if (text === "") return `[${event.name ?? UNKNOWN}]`;
  return event.cmdline_truncated ? `${text} …` : text;
}
