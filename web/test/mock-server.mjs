/**
 * Stands in for procmon-server: the same paths and shapes, made-up data, and the built UI from dist.
 * node test/mock-server.mjs [--port 8080] [--rows 10000] [--agents 40] [--rate 5] [--past 3000]
 */
import { readdir, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { parseArgs } from "node:util";
import { Fleet } from "./mock-data.mjs";
import { EventLog } from "./mock-events.mjs";

const { values: options } = parseArgs({
  options: {
    port: { type: "string", default: "8080" },
    rows: { type: "string", default: "10000" },
    agents: { type: "string", default: "40" },
    rate: { type: "string", default: "5" },
    past: { type: "string", default: "3000" },
  },
});
const DIST = new URL("../dist/", import.meta.url).pathname;
const fleet = new Fleet({ rows: Number(options.rows), agents: Number(options.agents) });
const log = new EventLog(fleet, { past: fleet.rows.size > 0 ? Number(options.past) : 0 });
const live = new Set();
const tails = new Set();

function send(client, event, data, id) {
  client.write(`${id ? `id: ${id}\n` : ""}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
}

function stream(response) {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  response.write(": welcome\n\n");
}

function openLive(response) {
  stream(response);
  const at = new Date().toISOString();
  send(response, "snapshot", { at, columns: fleet.columns([...fleet.rows.values()]) }, "1");
  send(response, "agents", fleet.agents());
  live.add(response);
  response.on("close", () => live.delete(response));
}

function openTail(request, response) {
  stream(response);
  const last = request.headers["last-event-id"];
  if (last) for (const event of log.after(last)) send(response, "message", event, event.cursor);
  tails.add(response);
  response.on("close", () => tails.delete(response));
}

function publish(event) {
  const full = log.add(event);
  for (const client of tails) send(client, "message", full, full.cursor);
}

function json(response, body, status = 200) {
  const type = status < 400 ? "application/json" : "application/problem+json";
  response.writeHead(status, { "content-type": type });
  response.end(JSON.stringify(body));
}

const SECURITY = {
  "content-security-policy":
    "default-src 'self'; style-src 'self' 'unsafe-inline'; worker-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
};
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
};

/** The built UI: hashed assets for ever, index.html for every page of it. */
async function asset(request, response, path) {
  const name = extname(path) ? normalize(path) : "/index.html";
  const type = TYPES[extname(name)] ?? "text/plain; charset=utf-8";
  const cache = name.startsWith("/assets/") ? "public, max-age=31536000, immutable" : "no-cache";
  const headers = {
    ...SECURITY,
    "content-type": type,
    "cache-control": cache,
    vary: "accept-encoding",
  };
  const brotli = String(request.headers["accept-encoding"]).includes("br");
  try {
    const body = brotli ? await readFile(join(DIST, `${name}.br`)).catch(() => null) : null;
    if (body) headers["content-encoding"] = "br";
    const plain = body ?? (await readFile(join(DIST, name)));
    response.writeHead(200, headers);
    response.end(plain);
  } catch {
    json(response, { title: "Not found", status: 404, detail: `there is no ${path}` }, 404);
  }
}

const server = createServer((request, response) => {
  const url = new URL(request.url, "http://mock");
  switch (url.pathname) {
    case "/api/v1/live":
      return openLive(response);
    case "/api/v1/events/stream":
      return openTail(request, response);
    case "/api/v1/events":
      return json(response, log.page(url.searchParams));
    case "/api/v1/agents":
      return json(response, fleet.agents());
    default:
      if (url.pathname.startsWith("/api/")) {
        return json(response, { title: "Not found", status: 404, detail: "no such path" }, 404);
      }
      return asset(request, response, url.pathname);
  }
});

function second() {
  if (fleet.rows.size === 0) return;
  const { changed, removed } = fleet.step();
  const delta = { at: new Date().toISOString(), columns: fleet.columns(changed), removed };
  for (const client of live) send(client, "delta", delta);
}

function burst() {
  if (fleet.rows.size === 0) return;
  for (let i = 0; i < Number(options.rate) / 5; i++) publish(log.make(Date.now()));
  if (fleet.random() < 0.02) publish(log.loss(Date.now()));
}

const real = new Map();

/** Processes named procmon-e2e-… really run on this machine: a browser test starts them. */
async function watchReal() {
  if (fleet.hosts.length === 0) return;
  const seen = new Set();
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const name = (await readFile(`/proc/${entry}/comm`, "utf8").catch(() => "")).trim();
    if (!name.startsWith("procmon-e2e")) continue;
    seen.add(entry);
    if (real.has(entry)) continue;
    const cmdline = (await readFile(`/proc/${entry}/cmdline`, "utf8").catch(() => ""))
      .replaceAll("\0", " ")
      .trim();
    const row = fleet.spawn(Date.now(), {
      pid: Number(entry),
      name,
      cmdline,
      agent_id: fleet.hosts[0],
    });
    real.set(entry, row);
    publish(log.make(Date.now(), "exec", row));
    const removed = { agent_id: [], process_id: [] };
    const at = new Date().toISOString();
    for (const client of live)
      send(client, "delta", { at, columns: fleet.columns([row]), removed });
  }
  for (const [pid, row] of real) {
    if (seen.has(pid)) continue;
    real.delete(pid);
    fleet.rows.delete(`${row.agent_id}\n${row.process_id}`);
    const removed = { agent_id: [row.agent_id], process_id: [row.process_id] };
    const at = new Date().toISOString();
    for (const client of live) send(client, "delta", { at, columns: fleet.columns([]), removed });
    publish(log.make(Date.now(), "exit", row));
  }
}

setInterval(second, 1000);
setInterval(burst, 200);
setInterval(() => void watchReal(), 250);
setInterval(() => {
  for (const client of [...live, ...tails]) client.write(": alive\n\n");
}, 15_000);
server.listen(Number(options.port), "127.0.0.1", () => {
  console.log(`mock server on http://127.0.0.1:${server.address().port}`);
});
