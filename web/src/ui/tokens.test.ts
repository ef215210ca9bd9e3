import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

type Rgb = [number, number, number];
type Palette = Record<string, Rgb>;

/** Reads `--name: light-dark(#light, #dark)` from the stylesheet, so the test checks what ships. */
function palettes(): { light: Palette; dark: Palette } {
  const css = readFileSync("src/ui/tokens.css", "utf8");
  const light: Palette = {};
  const dark: Palette = {};
  for (const [, name, l, d] of css.matchAll(
    /--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)/g,
  )) {
    if (name && l && d) {
      light[name] = rgb(l);
      dark[name] = rgb(d);
    }
  }
  return { light, dark };
}

function rgb(hex: string): Rgb {
  const n = Number.parseInt(hex.slice(1), 16);
  return [(n >> 16) & 255, (n >> 8) & 255, n & 255];
}

function linear([r, g, b]: Rgb): Rgb {
  const f = (v: number) =>
    v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
  return [f(r), f(g), f(b)];
}

function contrast(a: Rgb, b: Rgb): number {
  const luminance = (c: Rgb) => {
    const [r, g, bl] = linear(c);
    return 0.2126 * r + 0.7152 * g + 0.0722 * bl;
  };
  const [hi, lo] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (hi + 0.05) / (lo + 0.05);
}

/** Matrices of Machado, Oliveira and Fernandes (2009) at full severity, for linear RGB. */
const SIGHT: Record<string, number[]> = {
  normal: [1, 0, 0, 0, 1, 0, 0, 0, 1],
  protan: [
    0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998,
  ],
  deutan: [
    0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881,
  ],
  tritan: [
    1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.3039,
  ],
};

/** Oklab of a linear colour: distances in it follow what eyes tell apart. */
function oklab([r, g, b]: Rgb): Rgb {
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

function seen(colour: Rgb, sight: string): Rgb {
  const [r, g, b] = linear(colour);
  const m = SIGHT[sight] ?? [];
  const row = (i: number) =>
    Math.min(1, Math.max(0, (m[i] ?? 0) * r + (m[i + 1] ?? 0) * g + (m[i + 2] ?? 0) * b));
  return oklab([row(0), row(3), row(6)]);
}

const SURFACES = ["bg", "panel", "raise", "selection"];
const TEXT = ["ink-1", "ink-2", "ink-3", "accent", "critical", "warning", "info", "idle"];
const SEVERITIES = ["critical", "warning", "info", "idle"];

describe.each(Object.entries(palettes()))("%s palette", (_, palette) => {
  const colour = (name: string): Rgb => {
    const found = palette[name];
    if (!found) throw new Error(`--${name} is missing from tokens.css`);
    return found;
  };

  it("has 4.5:1 between every text colour and every surface", () => {
    for (const surface of SURFACES) {
      for (const text of TEXT) {
        const ratio = contrast(colour(text), colour(surface));
        expect(ratio, `--${text} on --${surface}`).toBeGreaterThanOrEqual(4.5);
      }
    }
  });

  it.each(Object.keys(SIGHT))("keeps severities apart for %s sight", (sight) => {
    for (const [i, a] of SEVERITIES.entries()) {
      for (const b of SEVERITIES.slice(i + 1)) {
        const [l1, a1, b1] = seen(colour(a), sight);
        const [l2, a2, b2] = seen(colour(b), sight);
        const distance = Math.hypot(l1 - l2, a1 - a2, b1 - b2);
        expect(distance, `--${a} and --${b}`).toBeGreaterThan(0.08);
      }
    }
  });
});
