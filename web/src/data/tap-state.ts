// The calls that a tap has shown so far, as a reducer. It keeps the latest, and counts what it does not show.

import type { Call, TapLine } from "./model.ts";
import { verdict } from "./words.ts";

export interface SeenCall extends Call {
  /** Numbers the calls in the order in which they came. */
  id: number;
  at: string;
  node: string;
}

export interface Tap {
  /** The latest first. */
  calls: SeenCall[];
  seen: number;
  /** Of those seen. */
  failed: number;
  retried: number;
  /** Calls that matched and that the server has not sent. */
  dropped: number;
  /** What cannot be read now, as the server says. */
  trouble: string[];
}

export const mostCalls = 2000;

export const noCalls: Tap = { calls: [], seen: 0, failed: 0, retried: 0, dropped: 0, trouble: [] };

/** addLines adds the lines that have come since, the earliest first. */
export function addLines(tap: Tap, lines: readonly TapLine[]): Tap {
  const fresh: SeenCall[] = [];
  let { seen, failed, retried, dropped } = tap;
  for (const l of lines) {
    dropped += l.dropped ?? 0;
    if (!l.call) continue;
    seen++;
    const v = verdict(l.call);
    if (v === "failed" || v === "rejected") failed++;
    if (l.call.tried?.some((a) => a.start === "retry") || l.call.decision === "recovered") retried++;
    fresh.push({ ...l.call, id: seen, at: l.at, node: l.node });
  }
  fresh.reverse();
  return { ...tap, calls: [...fresh, ...tap.calls].slice(0, mostCalls), seen, failed, retried, dropped };
}

/** addDropped counts calls that are not shown. */
export function addDropped(tap: Tap, calls: number): Tap {
  return { ...tap, dropped: tap.dropped + calls };
}

/** cleared is a tap whose calls are not shown any more. What cannot be read still cannot be. */
export function cleared<T extends Tap>(tap: T): T {
  return { ...tap, ...noCalls, trouble: tap.trouble };
}

/** textOf is what a filter of calls looks at. */
export function textOf(c: SeenCall): string {
  return [
    c.pod,
    c.workload,
    c.policy,
    c.target,
    c.rule,
    c.method,
    c.host,
    c.path,
    c.to,
    c.status,
    c.grpcStatus,
    c.kind,
    c.cause,
    c.decision,
    c.detail,
    c.node,
  ]
    .filter(Boolean)
    .join(" ");
}
