/**
 * Figures against the budgets, with 10 000 made-up processes of which a quarter changes every second:
 * time to a usable table, sort and filter to paint, frames while streaming, heap. Not a test: it
 * prints, and a slow machine is slow. Needs a build (`npm run build`) and port 8399.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpus, loadavg } from "node:os";
import { startChromium } from "./chromium.mjs";

const PORT = 8399;
const BASE = `http://127.0.0.1:${PORT}`;
const STREAM_S = 20;
const ROUNDS = 9;

const script = new URL("./mock-server.mjs", import.meta.url).pathname;
const server = spawn(process.execPath, [script, "--port", String(PORT), "--rows", "10000"]);
await once(server.stdout, "data");

function percentile(values, p) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))];
}

function report(name, value, budget, unit = "ms") {
  const verdict = value <= budget ? "ok   " : "OVER ";
  console.log(`${verdict} ${name}: ${value.toFixed(1)} ${unit} (budget ${budget})`);
}

const rowsShown = () => document.querySelector('[role="grid"] [aria-rowindex="2"]') !== null;

/** In a tab without anything cached: time until the first row, and the work of its main thread. */
async function interactive(browser) {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  await page.goto(`${BASE}/processes`, { waitUntil: "commit" });
  await page.waitForFunction(rowsShown, null, { polling: "raf" });
  const ms = await page.evaluate(() => performance.now());
  const { metrics } = await session.send("Performance.getMetrics");
  const work = metrics.find((metric) => metric.name === "TaskDuration").value * 1000;
  await page.close();
  return { ms, work };
}

/** From an input event to the frame after the change it makes. */
function toPaint(page, act) {
  return page.evaluate(
    ({ kind, value }) =>
      new Promise((resolve) => {
        const started = performance.now();
        if (kind === "sort") {
          const header = document.querySelector(`[data-header="${value}"]`);
          if (!header) throw new Error(document.body.innerText.slice(0, 400));
          header.click();
        } else {
          const input = document.querySelector('[role="combobox"]');
          const { set } = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value");
          set.call(input, value);
          input.dispatchEvent(new Event("input", { bubbles: true }));
        }
        requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - started)));
      }),
    act,
  );
}

async function reactions(page) {
  const sorts = [];
  const filters = [];
  const words = [
    "java",
    "user:root",
    "cpu>10",
    "host:web-11",
    "status:S rss>100M",
    "",
    "post",
    "-node",
    "x",
  ];
  for (let i = 0; i < ROUNDS; i++) {
    sorts.push(await toPaint(page, { kind: "sort", value: [0, 1, 5, 6, 13][i % 5] }));
    await page.waitForTimeout(300);
    filters.push(await toPaint(page, { kind: "filter", value: words[i % words.length] }));
    await page.waitForTimeout(400);
  }
  await toPaint(page, { kind: "filter", value: "" });
  report("sort to paint, worst", Math.max(...sorts), 100);
  report("filter to paint, worst", Math.max(...filters), 100);
}

async function streaming(page) {
  const frames = await page.evaluate(
    (seconds) =>
      new Promise((resolve) => {
        const gaps = [];
        let last = performance.now();
        const end = last + seconds * 1000;
        const tick = (now) => {
          gaps.push(now - last);
          last = now;
          if (now < end) requestAnimationFrame(tick);
          else resolve(gaps.slice(1));
        };
        requestAnimationFrame(tick);
      }),
    STREAM_S,
  );
  report("streaming, p95 frame", percentile(frames, 0.95), 17);
  report("streaming, p99 frame", percentile(frames, 0.99), 34);
  console.log(
    `      ${frames.length} frames in ${STREAM_S} s, longest ${Math.max(...frames).toFixed(1)} ms`,
  );
}

async function heap(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  report("heap of the page", usedSize / 2 ** 20, 40, "MiB");
}

const load = () => loadavg()[0].toFixed(1);
console.log(`${cpus().length} CPUs, load average ${load()} before`);
const browser = await startChromium();
try {
  await interactive(browser);
  const times = [];
  for (let i = 0; i < 3; i++) times.push(await interactive(browser));
  const median = (name) =>
    percentile(
      times.map((one) => one[name]),
      0.5,
    );
  report("10 000 rows usable, median of 3 cold tabs", median("ms"), 800);
  console.log(`      ${median("work").toFixed(0)} ms of it is work of the page's main thread`);
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  await page.goto(`${BASE}/processes`);
  await page.waitForFunction(rowsShown);
  await page.waitForTimeout(2500);
  await reactions(page);
  await page.waitForTimeout(2500);
  await streaming(page);
  await heap(page);
} finally {
  await browser.close();
  server.kill();
}
