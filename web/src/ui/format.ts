/** Numbers as people read them: three significant digits, IEC units, unknown `?`, zero `–`. */

export const UNKNOWN = "?";
export const ZERO = "–";
export const LOADING = "…";

const IEC = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

export function significant(value: number): string {
  if (value >= 99.95) return value.toFixed(0);
  return value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}

export function bytes(value: number | null | undefined): string {
  if (!known(value)) return UNKNOWN;
  if (value === 0) return ZERO;
  let unit = 0;
  let scaled = value;
  // 1023.5 would print as 1024 of the smaller unit.
  while (scaled >= 1023.5 && unit < IEC.length - 1) {
    scaled /= 1024;
    unit++;
  }
  return `${unit === 0 ? scaled.toFixed(0) : significant(scaled)} ${IEC[unit]}`;
}

export function bytesPerSecond(value: number | null | undefined): string {
  const text = bytes(value);
  return text === UNKNOWN || text === ZERO ? text : `${text}/s`;
}

export function percent(value: number | null | undefined): string {
  if (!known(value)) return UNKNOWN;
  if (value === 0) return ZERO;
  if (value < 0.05) return "<0.1";
  return value >= 99.95 ? value.toFixed(0) : value.toFixed(1);
}

export function count(value: number | null | undefined): string {
  if (!known(value)) return UNKNOWN;
  return value === 0 ? ZERO : grouped(value);
}

/** Thin spaces between thousands: neither a decimal point nor a comma to anybody. */
export function grouped(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u2009");
}

export function duration(ms: number | null | undefined): string {
  if (!known(ms)) return UNKNOWN;
  if (ms === 0) return ZERO;
  if (ms < 1) return `${Math.max(1, Math.round(ms * 1000))} µs`;
  if (ms < 999.5)
    return `${Number.isInteger(ms) || ms >= 99.95 ? ms.toFixed(0) : significant(ms)} ms`;
  if (ms < 60_000) return `${ms % 1000 === 0 ? ms / 1000 : significant(ms / 1000)} s`;
  const s = Math.floor(ms / 1000);
  if (s < 3600) return pair(s, 60, "m", "s");
  if (s < 86_400) return pair(Math.floor(s / 60), 60, "h", "m");
  return pair(Math.floor(s / 3600), 24, "d", "h");
}

function pair(value: number, base: number, big: string, small: string): string {
  const rest = value % base;
  const head = `${Math.floor(value / base)}${big}`;
  return rest === 0 ? head : `${head} ${rest}${small}`;
}

/** An offset of clocks, with its sign. */
export function signedDuration(ms: number | null | undefined): string {
  if (!known(ms)) return UNKNOWN;
  if (ms === 0) return ZERO;
  return `${ms < 0 ? "−" : "+"}${duration(Math.abs(ms))}`;
}

function known(value: number | null | undefined): value is number {
  return value !== null && value !== undefined && !Number.isNaN(value);
}

const two = (value: number) => String(value).padStart(2, "0");

/** 24-hour time of day, in UTC or the browser's zone; see `zoneName`. */
export function clock(time: Date, utc: boolean, millis = false): string {
  const [h, m, s] = utc
    ? [time.getUTCHours(), time.getUTCMinutes(), time.getUTCSeconds()]
    : [time.getHours(), time.getMinutes(), time.getSeconds()];
  const fraction = millis ? `.${String(time.getMilliseconds()).padStart(3, "0")}` : "";
  return `${two(h)}:${two(m)}:${two(s)}${fraction}`;
}

export function day(time: Date, utc: boolean): string {
  return utc
    ? `${time.getUTCFullYear()}-${two(time.getUTCMonth() + 1)}-${two(time.getUTCDate())}`
    : `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
}

export function zoneName(time: Date, utc: boolean): string {
  const offset = utc ? 0 : -time.getTimezoneOffset();
  if (offset === 0) return "UTC";
  const size = Math.abs(offset);
  const minutes = size % 60 === 0 ? "" : `:${two(size % 60)}`;
  return `UTC${offset < 0 ? "−" : "+"}${Math.floor(size / 60)}${minutes}`;
}

export function instant(iso: string | null | undefined, utc: boolean): string {
  const time = new Date(iso ?? Number.NaN);
  if (Number.isNaN(time.getTime())) return UNKNOWN;
  return `${day(time, utc)} ${clock(time, utc, true)} ${zoneName(time, utc)}`;
}
