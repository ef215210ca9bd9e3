/**
 * After Vite: moves the manifest out of dist (only the budget script reads it), adds the fonts'
 * licences to those of the code, and writes a .br and a .gz beside every text file, so that the
 * server never compresses.
 */
import { appendFile, readdir, readFile, rename, rmdir, writeFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const WEB = new URL("../", import.meta.url).pathname;
const DIST = join(WEB, "dist");
/** Fonts are compressed already. */
const TEXT = new Set([".html", ".js", ".css", ".svg", ".json", ".txt"]);

await rename(join(DIST, ".vite/manifest.json"), join(WEB, "manifest.json"));
await rmdir(join(DIST, ".vite"));

for (const font of ["inter", "jetbrains-mono"]) {
  const name = `@fontsource-variable/${font}`;
  const licence = await readFile(join(WEB, "node_modules", name, "LICENSE"), "utf8");
  await appendFile(join(DIST, "third-party.txt"), `\n## ${name}\n\n${licence}`);
}

let files = 0;
for (const entry of await readdir(DIST, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !TEXT.has(extname(entry.name))) continue;
  const path = join(entry.parentPath, entry.name);
  const content = await readFile(path);
  const params = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY };
  await writeFile(`${path}.br`, brotliCompressSync(content, { params }));
  await writeFile(`${path}.gz`, gzipSync(content, { level: constants.Z_BEST_COMPRESSION }));
  files++;
}
console.log(`compressed ${files} files`);
