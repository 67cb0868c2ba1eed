// Numbers as tables and charts show them: short, with the same number of figures wherever they stand.

import type { Figures } from "../data/model.ts";

/** count shows a whole number with a space that does not break between thousands: 12 345. */
export function count(n: number): string {
  return Math.round(n)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** short shows a number in at most four characters and a letter: 950, 1.2k, 34M. */
export function short(n: number): string {
  const units = ["", "k", "M", "G", "T"];
  let unit = 0;
  let v = Math.abs(n);
  while (v >= 999.5 && unit < units.length - 1) {
    v /= 1000;
    unit++;
  }
  const digits = unit > 0 && v < 9.95 ? 1 : 0;
  return `${n < 0 ? "−" : ""}${v.toFixed(digits)}${units[unit]}`;
}

/** rate shows calls per second: 0.04, 3.2, 140, 2.1k. */
export function rate(perSecond: number): string {
  if (perSecond === 0) return "0";
  if (perSecond < 0.01) return "<0.01";
  if (perSecond < 1) return perSecond.toFixed(2);
  if (perSecond < 9.95) return perSecond.toFixed(1);
  return short(perSecond);
}

/** percent shows a share from 0 to 1. What is not all is never shown as 100%, and what is not none never as 0%. */
export function percent(share: number): string {
  if (share >= 1) return "100%";
  if (share <= 0) return "0%";
  const p = share * 100;
  if (p > 99.99) return ">99.99%";
  if (p < 0.1) return "<0.1%";
  const digits = p >= 99 ? 2 : 1;
  return `${(Math.floor(p * 10 ** digits + 1e-9) / 10 ** digits).toFixed(digits)}%`;
}

/** success is the share of calls that ended well; undefined where there were none. */
export function success(f: { calls: number; successes: number }): number | undefined {
  return f.calls > 0 ? Math.min(1, f.successes / f.calls) : undefined;
}

/** retryShare is the number of retries for each call; undefined where there were no calls. */
export function retryShare(f: Pick<Figures, "calls" | "retries">): number | undefined {
  return f.calls > 0 ? f.retries / f.calls : undefined;
}

/** ratio shows a share that may be more than all, as retries of calls: 6.3%, 120%. */
export function ratio(share: number): string {
  return share > 1 ? `${Math.round(share * 100)}%` : percent(share);
}

/** plural joins a number and its noun: 1 node, 2 nodes; "policy" and its like are given with their plural. */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}
