// Times and durations as the dashboard shows them.

/** duration shows seconds as people say them: 0.4ms, 12ms, 1.2s, 45s, 3m, 2h, 4d. Nothing is shown as a dash. */
export function duration(seconds: number | undefined): string {
  if (seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds === 0) return "0s";
  const ms = seconds * 1000;
  if (ms < 1) return `${ms.toFixed(1)}ms`;
  if (ms < 999.5) return `${Math.round(ms)}ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1).replace(/\.0$/, "")}s`;
  if (seconds < 59.5) return `${Math.round(seconds)}s`;
  if (seconds < 3570) return `${Math.round(seconds / 60)}m`;
  if (seconds < 84600) return `${Math.round(seconds / 3600)}h`;
  return `${Math.round(seconds / 86400)}d`;
}

/** The API's LongestSeconds: from there on it is not measured how long a call takes. */
const longest = 50;

/** latency is duration for figures of which 0 means that there are none, and longest or more that it was not measured. */
export function latency(seconds: number | undefined): string {
  if (!seconds) return "–";
  return seconds >= longest ? `>${duration(longest)}` : duration(seconds);
}

/** parse reads a time in milliseconds; undefined where there is none, or Go's zero time. */
export function parse(time: string | undefined): number | undefined {
  if (!time || time.startsWith("0001-")) return undefined;
  const ms = Date.parse(time);
  return Number.isNaN(ms) ? undefined : ms;
}

/** ago shows how long before now a time was; a time to come is "in 5s". */
export function ago(time: string | undefined, now: number): string {
  const ms = parse(time);
  if (ms === undefined) return "–";
  const s = (now - ms) / 1000;
  if (s < -0.5) return `in ${duration(Math.max(1, -s))}`;
  return s < 1.5 ? "now" : `${duration(Math.max(1, Math.round(s)))} ago`;
}

const two = (n: number) => n.toString().padStart(2, "0");

/** clock shows the local time of day: 14:03:07. */
export function clock(ms: number, withMillis = false): string {
  const d = new Date(ms);
  const s = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  return withMillis ? `${s}.${d.getMilliseconds().toString().padStart(3, "0")}` : s;
}

/** when shows a time of the last day by its clock, and an earlier one with its date. */
export function when(time: string | undefined, now: number): string {
  const ms = parse(time);
  if (ms === undefined) return "–";
  if (Math.abs(now - ms) < 86_400_000) return clock(ms);
  const d = new Date(ms);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}`;
}

/** seconds reads a duration such as 90s, 10m, 1h; undefined if it is none. */
export function seconds(text: string | undefined): number | undefined {
  const m = /^(\d+(?:\.\d+)?)(s|m|h)$/.exec(text ?? "");
  if (!m) return undefined;
  return Number(m[1]) * (m[2] === "h" ? 3600 : m[2] === "m" ? 60 : 1);
}
