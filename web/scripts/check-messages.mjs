/** Fails when a text in the source is not in the catalogues, or has no translation. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

const FOLDER = new URL("../src/locales/", import.meta.url).pathname;
const lingui = new URL("../node_modules/.bin/lingui", import.meta.url).pathname;

function catalogues() {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith(".po"));
  return new Map(files.map((name) => [name, readFileSync(FOLDER + name, "utf8")]));
}

/** Entries as [text, translation]; long ones are written over several quoted lines. */
function entries(catalogue) {
  const joined = catalogue.replaceAll('"\n"', "");
  return [...joined.matchAll(/^msgid "(.+)"\nmsgstr "(.*)"$/gm)].map(([, id, text]) => [id, text]);
}

const names = (text) => [...text.matchAll(/\{(\w+)[,}]/g)].map((match) => match[1]);

const before = catalogues();
execFileSync(lingui, ["extract", "--clean"], { stdio: ["ignore", "ignore", "inherit"] });
const problems = [];
for (const [name, catalogue] of catalogues()) {
  if (catalogue !== before.get(name))
    problems.push(`${name} was out of date, and is written anew now`);
  for (const [id, text] of entries(catalogue)) {
    if (text === "") problems.push(`${name} has no translation of: ${id}`);
    const lost = names(id).filter(
      (placeholder) => text !== "" && !names(text).includes(placeholder),
    );
    if (lost.length > 0) problems.push(`${name} loses {${lost.join("}, {")}} of: ${id}`);
  }
}
for (const problem of problems) console.error(problem);
if (problems.length === 0) console.log("ok    every text is translated");
process.exit(problems.length === 0 ? 0 : 1);
