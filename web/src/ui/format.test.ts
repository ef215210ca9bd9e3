import { describe, expect, it } from "vitest";
import {
  bytes,
  clock,
  duration,
  grouped,
  instant,
  percent,
  signedDuration,
  zoneName,
} from "./format.ts";

describe("format", () => {
  it("tells unknown from zero", () => {
    expect([bytes(null), bytes(Number.NaN), bytes(0)]).toEqual(["?", "?", "–"]);
    expect([percent(undefined), percent(0), percent(0.01)]).toEqual(["?", "–", "<0.1"]);
    expect([duration(null), duration(0)]).toEqual(["?", "–"]);
  });

  it("writes bytes in IEC units with three significant digits", () => {
    expect([1, 1023, 1024, 1536, 10_485_760, 1_073_741_823].map(bytes)).toEqual([
      "1 B",
      "1023 B",
      "1.00 KiB",
      "1.50 KiB",
      "10.0 MiB",
      "1.00 GiB",
    ]);
  });

  it("writes durations from microseconds to days", () => {
    expect([0.25, 8, 8.4, 999.6, 1240, 61_000, 7_500_000, 273_600_000].map(duration)).toEqual([
      "250 µs",
      "8 ms",
      "8.40 ms",
      "1.00 s",
      "1.24 s",
      "1m 1s",
      "2h 5m",
      "3d 4h",
    ]);
    expect(signedDuration(-12)).toBe("−12 ms");
  });

  it("writes times with their zone", () => {
    const time = new Date("2026-03-04T05:06:07.089Z");
    expect(clock(time, true)).toBe("05:06:07");
    expect(zoneName(time, true)).toBe("UTC");
    expect(instant("2026-03-04T05:06:07.089Z", true)).toBe("2026-03-04 05:06:07.089 UTC");
    expect(instant("nonsense", true)).toBe("?");
    expect(grouped(1234567)).toBe("1\u2009234\u2009567");
  });
});
