/** Compares the gzipped sizes of the built UI with its budget; run it after a build. */
import { readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";

const BUDGET_KB = { entry: 180, route: 45, css: 20 };
const DIST = new URL("../dist/", import.meta.url).pathname;

const MANIFEST = new URL("../manifest.json", import.meta.url).pathname;

const manifest = JSON.parse(
  await readFile(MANIFEST, "utf8").catch(() => {
    console.error("manifest.json is missing: run `npm run build` first");
    process.exit(1);
  }),
);

/** A chunk with everything that it imports at once; `known` is loaded already. */
function withImports(key, known = new Set()) {
  if (known.has(key)) return [];
  known.add(key);
  return [key, ...(manifest[key].imports ?? []).flatMap((other) => withImports(other, known))];
}

async function gzipped(files) {
  let total = 0;
  for (const file of files) total += gzipSync(await readFile(DIST + file), { level: 9 }).length;
  return total / 1024;
}

const entry = Object.keys(manifest).find((key) => manifest[key].isEntry);
const loaded = new Set();
const first = withImports(entry, loaded);
// The page cannot show anything before the messages of one language are there.
const messages = Object.keys(manifest).filter((key) => key.startsWith("src/locales/en"));
const results = [
  ["entry", "entry JS", await gzipped([...first, ...messages].map((key) => manifest[key].file))],
];
for (const key of Object.keys(manifest)) {
  if (!manifest[key].isDynamicEntry || key.startsWith("src/locales")) continue;
  const files = withImports(key, new Set(loaded)).map((one) => manifest[one].file);
  results.push(["route", `route ${manifest[key].name}`, await gzipped(files)]);
}
const css = new Set(Object.values(manifest).flatMap((chunk) => chunk.css ?? []));
results.push(["css", "all CSS", await gzipped(css)]);

let failed = false;
for (const [kind, name, size] of results) {
  const over = size > BUDGET_KB[kind];
  failed ||= over;
  console.log(
    `${over ? "OVER " : "ok   "} ${name}: ${size.toFixed(1)} of ${BUDGET_KB[kind]} KB gz`,
  );
}
process.exit(failed ? 1 : 0);
