// What charts draw of a series: columns of numbers, with gaps where there were no calls.

import type { Series } from "./model.ts";

export interface Columns {
  /** Seconds since 1970: the middle of each step. */
  at: number[];
  success: (number | null)[];
  calls: number[];
  failed: number[];
  retries: number[];
  p50: (number | null)[];
  p99: (number | null)[];
}

/** columnsOf makes columns: success in percent, calls, failures and retries per second, latencies in seconds. */
export function columnsOf(series: Series | undefined): Columns {
  const c: Columns = { at: [], success: [], calls: [], failed: [], retries: [], p50: [], p99: [] };
  if (!series) return c;
  const from = Date.parse(series.from) / 1000;
  const to = Date.parse(series.to) / 1000;
  series.points.forEach((p, i) => {
    const begin = from + i * series.stepSeconds;
    // the last step may be shorter, and its calls are of less time
    const lasts = Math.max(1, Math.min(series.stepSeconds, to - begin));
    c.at.push(begin + lasts / 2);
    c.success.push(p.calls > 0 ? Math.min(100, (p.successes / p.calls) * 100) : null);
    c.calls.push(p.calls / lasts);
    c.failed.push(Math.max(0, p.calls - p.successes) / lasts);
    c.retries.push((p.retries ?? 0) / lasts);
    c.p50.push(p.calls > 0 && p.p50Seconds ? p.p50Seconds : null);
    c.p99.push(p.calls > 0 && p.p99Seconds ? p.p99Seconds : null);
  });
  return c;
}

/** floorOf is where the axis of success begins: low enough for what there is, and never so high that noise looks like an outage. */
export function floorOf(success: readonly (number | null)[]): number {
  const least = success.reduce<number>((m, v) => (v === null ? m : Math.min(m, v)), 100);
  for (const floor of [99, 95, 90, 75, 50]) if (least >= floor + (100 - floor) * 0.1) return floor;
  return 0;
}

/** lowest is the least of values, and where it is; undefined if there are none. */
export function lowest(values: readonly (number | null)[]): { value: number; index: number } | undefined {
  let found: { value: number; index: number } | undefined;
  values.forEach((value, index) => {
    if (value !== null && (!found || value < found.value)) found = { value, index };
  });
  return found;
}

/** latest is the last value there is. */
export function latest(values: ArrayLike<number | null | undefined>): number | undefined {
  for (let i = values.length - 1; i >= 0; i--) {
    const v = values[i];
    if (v !== null && v !== undefined) return v;
  }
  return undefined;
}
