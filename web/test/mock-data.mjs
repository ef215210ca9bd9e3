/** A made-up fleet that changes every second, in the shapes of the live stream. */

const COMMANDS = [
  ["postgres", "postgres: checkpointer", "postgres", [5432]],
  ["nginx", "nginx: worker process", "www-data", [80, 443]],
  [
    "java",
    "java -Xmx4g -XX:+UseG1GC -jar /srv/orders/orders.jar --spring.profiles.active=prod",
    "orders",
    [8080],
  ],
  ["node", "node /srv/web/server.js --port=3000", "web", [3000]],
  ["python3", "python3 -m celery -A tasks worker --loglevel=INFO --concurrency=8", "celery", []],
  ["sshd", "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups", "root", [22]],
  ["systemd-journald", "/lib/systemd/systemd-journald", "root", []],
  ["kworker/3:1-events", "", "root", []],
  ["redis-server", "redis-server *:6379", "redis", [6379]],
  [
    "containerd-shim",
    "/usr/bin/containerd-shim-runc-v2 -namespace moby -id 4f3c9a7be2d1",
    "root",
    [],
  ],
  ["cron", "/usr/sbin/cron -f -P", "root", []],
  ["bash", "-bash", "alice", []],
];
const STATES = ["S", "S", "S", "S", "S", "I", "R", "D", "T", "Z"];

/** A small generator with a seed: the same fleet on every run. */
export function random(seed) {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296;
    return state / 4_294_967_296;
  };
}

export class Fleet {
  constructor({ rows, agents, seed = 7 }) {
    this.random = random(seed);
    this.hosts = Array.from({ length: agents }, (_, i) => `web-${String(i + 1).padStart(2, "0")}`);
    this.nextPid = 300;
    this.rows = new Map();
    for (let i = 0; i < rows; i++) this.spawn(Date.now() - this.random() * 9e8);
  }

  spawn(startMs, fixed = {}) {
    const r = this.random;
    const [name, cmdline, username, ports] = COMMANDS[Math.floor(r() * COMMANDS.length)];
    const host = this.hosts[Math.floor(r() * this.hosts.length)];
    const pid = this.nextPid++;
    const container = r() < 0.3;
    const row = {
      agent_id: host,
      process_id: `${pid}-${Math.floor(startMs / 10) % 1e9}-5f0c11ab`,
      pid,
      ppid: 1 + Math.floor(r() * 300),
      name,
      exe: cmdline.startsWith("/")
        ? cmdline.split(" ")[0]
        : cmdline === ""
          ? null
          : `/usr/bin/${name}`,
      cmdline,
      username,
      uid: username === "root" ? 0 : 1000 + username.length,
      status: STATES[Math.floor(r() * STATES.length)],
      cpu_percent: r() < 0.6 ? 0 : round(r() ** 6 * 400),
      memory_rss: cmdline === "" ? 0 : Math.floor(r() ** 4 * 4e9),
      memory_percent: round(r() ** 4 * 12),
      num_threads: 1 + Math.floor(r() ** 3 * 80),
      open_fds: r() < 0.05 ? null : Math.floor(r() * 200),
      net_conns: Math.floor(r() ** 3 * 50),
      ports,
      read_bytes: Math.floor(r() * 1e9),
      write_bytes: Math.floor(r() * 1e9),
      read_bytes_per_s: r() < 0.8 ? 0 : Math.floor(r() ** 5 * 5e7),
      write_bytes_per_s: r() < 0.05 ? null : r() < 0.8 ? 0 : Math.floor(r() ** 5 * 5e7),
      start_time: new Date(startMs).toISOString(),
      cgroup: container ? `/docker/${hex(r, 12)}` : `/system.slice/${name.split("/")[0]}.service`,
      container_id: container ? hex(r, 12) : null,
      stale: false,
      ...fixed,
    };
    this.rows.set(`${row.agent_id}\n${row.process_id}`, row);
    return row;
  }

  /** One second passes: a quarter of the rows changes, a few come, a few go. */
  step() {
    const r = this.random;
    const changed = [];
    const removed = { agent_id: [], process_id: [] };
    const churn = this.rows.size / 400;
    for (const [key, row] of this.rows) {
      if (row.name.startsWith("procmon-e2e")) continue;
      if (r() < churn / this.rows.size) {
        this.rows.delete(key);
        removed.agent_id.push(row.agent_id);
        removed.process_id.push(row.process_id);
      } else if (r() < 0.25) {
        row.cpu_percent = r() < 0.5 ? 0 : round(r() ** 6 * 400);
        row.memory_rss = Math.max(0, row.memory_rss + Math.floor((r() - 0.5) * 1e6));
        row.read_bytes_per_s = r() < 0.8 ? 0 : Math.floor(r() ** 5 * 5e7);
        changed.push(row);
      }
    }
    while (removed.process_id.length > 0 && changed.length < this.rows.size) {
      if (this.rows.size >= this.target()) break;
      changed.push(this.spawn(Date.now()));
    }
    return { changed, removed };
  }

  target() {
    this.size ??= this.rows.size;
    return Math.max(this.size, this.rows.size);
  }

  columns(rows) {
    const columns = {};
    const names = Object.keys(this.rows.values().next().value ?? {});
    for (const name of names) columns[name] = rows.map((row) => row[name]);
    return columns;
  }

  agents() {
    return {
      agents: this.hosts.map((host, i) => ({
        agent_id: host,
        hostname: `${host}.example.net`,
        boot_id: "5f0c11ab-0000-4000-8000-000000000000",
        version: "0.1.0",
        kernel: i % 7 === 5 ? "5.4.0-150-generic" : "6.12.48-amd64",
        probe: i % 7 === 5 ? "procnet" : "ebpf",
        probe_reason:
          i % 7 === 5
            ? "no BTF at /sys/kernel/btf/vmlinux; no permission for tracepoints"
            : "tp_btf and iter/task attached",
        last_seen: new Date(Date.now() - (i % 11 === 7 ? 340_000 : 800)).toISOString(),
        lag_ms: 12 + i * 3,
        clock_offset_ms: i % 5 === 3 ? 84_000 : (i % 3) - 1,
        skewed: i % 5 === 3,
        interval_ms: 5000,
        effective_interval_ms: i % 9 === 2 ? 20_000 : 5000,
        degraded: i % 9 === 2 ? ["thread_detail", "argv", "sample_rate"] : [],
        redactions: i * 17,
        drops: i % 6 === 4 ? { exec: 12, exit: 9, io_slow: 1044 } : {},
        spool_bytes: i % 11 === 7 ? null : i * 4096,
        coverage: [],
        processes: [...this.rows.values()].filter((row) => row.agent_id === host).length,
        status: i % 11 === 7 ? "stale" : "live",
      })),
    };
  }
}

function round(value) {
  return Math.round(value * 100) / 100;
}

function hex(r, length) {
  return Array.from({ length }, () => Math.floor(r() * 16).toString(16)).join("");
}
