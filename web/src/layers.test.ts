import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, expect, it } from "vitest";

/** What files of each folder may import: ui and api stand alone, only app puts features together. */
const MAY_IMPORT: Record<string, (from: string, to: string) => boolean> = {
  ui: (_, to) => to.startsWith("ui/"),
  api: (_, to) => to.startsWith("api/"),
  features: (from, to) =>
    to.startsWith("ui/") || to.startsWith("api/") || to.startsWith(feature(from)),
  app: () => true,
};

/** `features/events/` of any file below it. */
function feature(path: string): string {
  return `${path.split("/").slice(0, 2).join("/")}/`;
}

function sources(): string[] {
  return readdirSync("src", { recursive: true, encoding: "utf8" }).filter((path) =>
    /(?<!\.test)\.tsx?$/.test(path),
  );
}

function imports(path: string): string[] {
  const text = readFileSync(join("src", path), "utf8");
  const found = [...text.matchAll(/(?:from|import\(|import|URL\()\s*"(\.[^"]+)"/g)];
  return found.map((match) => normalize(join(dirname(path), match[1] ?? "")));
}

describe("layers", () => {
  it.each(Object.keys(MAY_IMPORT))("%s imports only what stands below it", (layer) => {
    for (const path of sources().filter((one) => one.startsWith(`${layer}/`))) {
      for (const target of imports(path)) {
        expect(MAY_IMPORT[layer]?.(path, target), `${path} imports ${target}`).toBe(true);
      }
    }
  });
});
