/**
 * The UI against a running server and agent: starts a process of a unique name and looks for its
 * whole life in every page. PROCMON_URL names the server; PROCMON_SCREENSHOT a file for a picture.
 */
import { spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serverUrl, startChromium } from "./chromium.mjs";

const BASE = serverUrl();
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PAGES = ["/processes", "/events", "/agents"];
/** The kernel keeps 15 bytes of a name: this one fits. */
const NAME = `procmon-e2e-${Math.random().toString(36).slice(2, 5).padEnd(3, "0")}`;
const LIFE_S = 12;

let passed = 0;
let failed = 0;

async function check(what, run) {
  try {
    await run();
    passed++;
    console.log(`ok    ${what}`);
  } catch (error) {
    failed++;
    console.log(
      `FAIL  ${what}\n      ${String(error.message).split("\n").slice(0, 6).join("\n      ")}`,
    );
  }
}

function assert(condition, message) {
  if (!condition) throw new Error(message);
}

const complaints = [];

async function open(browser, path, { width = 1440, scheme = "dark", preferences } = {}) {
  const narrow = width < 600;
  const context = await browser.newContext({
    viewport: { width, height: narrow ? 844 : 900 },
    colorScheme: scheme,
    hasTouch: narrow,
    isMobile: narrow,
  });
  if (preferences) {
    await context.addInitScript(
      (value) => localStorage.setItem("procmon.preferences", value),
      JSON.stringify(preferences),
    );
  }
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on("pageerror", (error) => complaints.push(`${path}: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(`${path}: ${message.text()}`);
  });
  await page.goto(BASE + path);
  await page.locator("main h1").waitFor({ state: "attached" });
  return page;
}

async function axe(page) {
  await page.evaluate(AXE);
  const violations = await page.evaluate(async () => (await window.axe.run()).violations);
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes[0]?.html?.slice(0, 200)}`);
}

function startProcess(folder) {
  const file = join(folder, NAME);
  copyFileSync("/bin/sleep", file);
  return spawn(file, [String(LIFE_S)], { stdio: "ignore" });
}

const rowWith = (page, text) => page.locator('[role="grid"] [role="row"]', { hasText: text });

/** From exec to exit, in the table and in the tail. */
async function checkLife(browser, folder) {
  const events = await open(browser, `/events?name=${NAME}`);
  const table = await open(browser, `/processes?q=${NAME}`);
  await check("the filter that matches nothing says so", () =>
    table.getByRole("heading", { name: "No process matches the filter" }).waitFor(),
  );
  const child = startProcess(folder);
  const ended = new Promise((resolve) => child.on("exit", resolve));
  await check("the new process appears in the table", () =>
    rowWith(table, NAME)
      .first()
      .waitFor({ timeout: (LIFE_S - 1) * 1000 }),
  );
  let host = null;
  await check("its details name its host and its command", async () => {
    await rowWith(table, NAME).first().dblclick();
    const details = table.getByRole("complementary", { name: "Process details" });
    const text = await details.innerText();
    assert(text.includes(`${NAME} ${LIFE_S}`), `no command line in: ${text}`);
    host = await details
      .locator("div", { has: table.getByText("Host", { exact: true }) })
      .locator("dd")
      .last()
      .innerText();
    assert(host.length > 0, "no host");
  });
  await check("its exec appears in the event tail", () =>
    rowWith(events, "exec").filter({ hasText: NAME }).first().waitFor(),
  );
  await ended;
  await check("its exit appears in the event tail, with code and duration", async () => {
    const row = rowWith(events, "exit 0").filter({ hasText: NAME }).first();
    await row.waitFor();
    const text = await row.innerText();
    assert(text.includes(String(child.pid)), `no pid ${child.pid} in: ${text}`);
  });
  await check("it leaves the table", () =>
    table.getByRole("heading", { name: "No process matches the filter" }).waitFor(),
  );
  await events.context().close();
  await table.context().close();
  return host;
}

async function checkAgents(browser, host) {
  const page = await open(browser, "/agents");
  await check("the agents page shows this host's agent as live", async () => {
    const row = page.getByRole("row", { name: new RegExp(`^${host}`) }).first();
    await row.waitFor();
    assert((await row.innerText()).includes("live"), `agent ${host}: ${await row.innerText()}`);
  });
  await page.context().close();
}

async function checkTable(browser) {
  const page = await open(browser, "/processes");
  const rows = page.locator('[role="grid"] [role="row"][aria-rowindex]');
  await check("the process table has rows, a count and one tab stop", async () => {
    await rows.nth(1).waitFor();
    const count = Number(await page.getByRole("grid").getAttribute("aria-rowcount"));
    assert(count > 1, `aria-rowcount is ${count}`);
    const stops = await page.locator('[role="grid"] [tabindex="0"]').count();
    assert(stops === 1, `${stops} tab stops`);
  });
  await check("a click on a header sorts, and the address says so", async () => {
    await page.getByRole("button", { name: "RSS" }).click();
    await page.waitForURL(/sort=-memory_rss/);
    await page.locator('[aria-sort="descending"]', { hasText: "RSS" }).waitFor();
  });
  await check("arrow keys move the focus through cells", async () => {
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowRight");
    const role = await page.evaluate(() => document.activeElement?.getAttribute("role"));
    assert(role === "gridcell" || role === "rowheader", `the focus is on ${role}`);
  });
  await check("F freezes the table and counts what changes", async () => {
    await page.keyboard.press("f");
    await page.getByText(/frozen at .* \+\d+ new −\d+ gone/).waitFor();
    await page.keyboard.press("f");
  });
  await check("a bad clause is named", async () => {
    await page.keyboard.press("/");
    await page.keyboard.type("cpu>abc");
    await page.getByText("is not a number").waitFor();
  });
  await check("? opens the keys, and g e goes to the events", async () => {
    await page.keyboard.press("Escape");
    await page.keyboard.press("?");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("g");
    await page.keyboard.press("e");
    await page.waitForURL(/\/events/);
  });
  await page.context().close();
}

/** Browsers without SharedWorker elect a tab; when it closes, the next one takes over. */
async function checkTabs(browser) {
  const context = await browser.newContext();
  await context.addInitScript(() => {
    delete window.SharedWorker;
  });
  const row = '[role="grid"] [aria-rowindex="2"]';
  await check("tabs without SharedWorker share one stream, and outlive its owner", async () => {
    const [first, second] = [await context.newPage(), await context.newPage()];
    await first.goto(`${BASE}/processes`);
    await first.locator(row).waitFor();
    await second.goto(`${BASE}/processes`);
    await second.locator(row).waitFor();
    await first.close();
    await second.goto(`${BASE}/events`);
    await second.locator(row).waitFor();
    await second.locator("header", { hasText: "Live" }).waitFor();
  });
  await context.close();
}

async function checkLooks(browser) {
  for (const path of PAGES) {
    for (const scheme of ["dark", "light"]) {
      const page = await open(browser, path, { scheme });
      await page.locator('[role="grid"], table').first().waitFor();
      await check(`axe finds nothing serious on ${path}, ${scheme}`, async () => {
        const found = await axe(page);
        assert(found.length === 0, found.join("\n"));
      });
      await page.context().close();
    }
    for (const width of [390, 1440]) {
      const page = await open(browser, path, { width });
      await check(`${path} fits ${width} px and shows rows`, async () => {
        await page.locator('[role="grid"] [aria-rowindex="2"], tbody tr').first().waitFor();
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        assert(wide <= width, `the document is ${wide} px wide`);
      });
      await page.context().close();
    }
  }
  await check("the page speaks Chinese", async () => {
    const page = await open(browser, "/processes", { preferences: { language: "zh-CN" } });
    await page.getByRole("link", { name: "进程" }).waitFor();
    await page.context().close();
  });
}

const folder = mkdtempSync(join(tmpdir(), "procmon-e2e-"));
const browser = await startChromium();
try {
  const host = await checkLife(browser, folder);
  await checkAgents(browser, host);
  await checkTable(browser);
  await checkTabs(browser);
  await checkLooks(browser);
  await check("no page logged an error", () =>
    assert(complaints.length === 0, complaints.join("\n")),
  );
  if (process.env.PROCMON_SCREENSHOT) {
    const page = await open(browser, "/processes");
    await page.waitForTimeout(1500);
    await page.screenshot({ path: process.env.PROCMON_SCREENSHOT });
  }
} finally {
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
