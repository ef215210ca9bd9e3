/** Made-up process events, with a history that pages and a stream that resumes. */

const KINDS = ["exec", "exec", "exec", "exit", "exit", "exit", "io_slow", "io_slow"];

export class EventLog {
  constructor(fleet, { past }) {
    this.fleet = fleet;
    this.events = [];
    this.cursor = 0;
    const start = Date.now() - past * 700;
    for (let i = 0; i < past; i++) this.add(this.make(start + i * 700));
  }

  add(event) {
    const full = { cursor: String(++this.cursor).padStart(12, "0"), ...event };
    this.events.push(full);
    if (this.events.length > 20_000) this.events.splice(0, 1000);
    return full;
  }

  make(at, type, row) {
    const r = this.fleet.random;
    const rows = [...this.fleet.rows.values()];
    const process = row ?? rows[Math.floor(r() * rows.length)];
    const kind = type ?? KINDS[Math.floor(r() * KINDS.length)];
    const ts = new Date(at).toISOString();
    const base = {
      type: kind,
      ts,
      received_at: ts,
      agent_id: process.agent_id,
      process_id: process.process_id,
      pid: process.pid,
      ppid: process.ppid,
      name: process.name,
      exe: process.exe,
      cmdline: process.cmdline,
      args: process.cmdline.split(" "),
      cmdline_bytes: process.cmdline.length,
      cmdline_truncated: false,
      username: process.username,
      uid: process.uid,
      cgroup: process.cgroup,
      container_id: process.container_id,
      observed: "kernel",
    };
    return { ...base, ...this.extra(kind, r) };
  }

  /** Records that a host could not keep: an event without a process. */
  loss(at) {
    const event = this.make(at, "loss");
    const lost = { loss_kind: "exec", loss_reason: "ring full", loss_count: 12, until: event.ts };
    for (const name of [
      "process_id",
      "pid",
      "ppid",
      "name",
      "exe",
      "cmdline",
      "args",
      "username",
      "uid",
    ]) {
      event[name] = null;
    }
    return { ...event, ...lost, from: new Date(at - 800).toISOString() };
  }

  extra(kind, r) {
    if (kind === "exit") {
      const killed = r() < 0.15;
      return {
        exit_code: killed ? null : r() < 0.8 ? 0 : 1 + Math.floor(r() * 126),
        signal: killed ? [9, 15, 11, 6][Math.floor(r() * 4)] : null,
        killed_by:
          killed && r() < 0.6
            ? { process_id: "1-2-5f0c11ab", pid: 1, name: "systemd", uid: 0 }
            : null,
        core_dumped: false,
        duration_ms: r() ** 8 * 9e7 + 0.8,
        cpu_time_ms: r() ** 4 * 2000,
        max_rss_bytes: r() < 0.1 ? null : Math.floor(r() ** 3 * 2e9),
        oom_killed: false,
        totals_final: r() > 0.05,
      };
    }
    if (kind === "io_slow") {
      return {
        device: "vda",
        op: "write",
        bytes: 131_072,
        latency_ms: 100 + r() * 900,
        writeback: r() < 0.3,
      };
    }
    return {};
  }

  page(query) {
    const limit = Number(query.get("limit") ?? 100);
    const before = query.get("cursor") ?? "\uffff";
    const found = [];
    for (let i = this.events.length - 1; i >= 0 && found.length <= limit; i--) {
      const event = this.events[i];
      if (event.cursor < before && matches(query, event)) found.push(event);
    }
    const events = found.slice(0, limit);
    return { events, next_cursor: found.length > limit ? events.at(-1).cursor : null };
  }

  after(cursor) {
    return this.events.filter((event) => event.cursor > cursor);
  }
}

function matches(query, event) {
  const types = query.get("type");
  const name = query.get("name");
  return (
    (!types || types.split(",").includes(event.type)) &&
    (!name || (event.name ?? "").toLowerCase().includes(name.toLowerCase())) &&
    (!query.get("agent_id") || event.agent_id === query.get("agent_id")) &&
    (!query.get("user") || event.username === query.get("user"))
  );
}
