// What is worked out of flows: which are ill and how much, and what they sum up to for each destination.

import { success } from "../format/numbers.ts";
import type { Figures, Flow } from "./model.ts";

/** How ill something is: worse is greater. */
export type Health = 0 | 1 | 2 | 3;
export const Well: Health = 0;
export const Idle: Health = 1;
export const Warning: Health = 2;
export const Bad: Health = 3;

/** Shares of success below which calls are worth a look, and are bad. */
export const worthALook = 0.99;
export const isBad = 0.95;

/** healthOf judges calls by their success and by the breaker: an open one is bad whatever the calls do. */
export function healthOf(f: Pick<Figures, "calls" | "successes"> & { breaker?: string }): Health {
  if (f.breaker === "open") return Bad;
  const share = success(f);
  if (share !== undefined && share < isBad) return Bad;
  if (f.breaker === "half_open" || (share !== undefined && share < worthALook)) return Warning;
  return share === undefined ? Idle : Well;
}

/** failing is how many calls fail each second. */
export function failing(f: Figures): number {
  return f.calls > 0 ? (f.perSecond * (f.calls - f.successes)) / f.calls : 0;
}

/** caller names who calls; empty where the manager does not know. */
export function caller(f: Flow): string {
  return f.namespace || f.workload ? `${f.namespace ?? ""}/${f.workload ?? ""}` : "";
}

/** callee names what is called: what a policy names, where the flow has no concrete destination. */
export function callee(f: Flow): string {
  return f.destination || f.target || "";
}

/** byTrouble orders the worst first, then what fails most, then what is called most. */
export function byTrouble(a: Flow, b: Flow): number {
  return rank(b) - rank(a) || failing(b) - failing(a) || b.perSecond - a.perSecond || callee(a).localeCompare(callee(b));
}

const rank = (f: Flow) => {
  const h = healthOf(f);
  return h === Idle ? Well : h;
};

/** A destination, and what all of its flows sum up to. */
export interface DestinationRow extends Figures {
  destination: string;
  service: string;
  protocols: string[];
  policies: string[];
  callers: string[];
  /** The worst of its breakers. */
  breaker: string;
}

const order: Record<string, number> = { "": 0, closed: 1, half_open: 2, open: 3 };

/** worse is the worse of two states of breakers. */
export function worse(a: string, b: string | undefined): string {
  return (order[b ?? ""] ?? 0) > (order[a] ?? 0) ? (b ?? "") : a;
}

function add(to: string[], what: string | undefined): void {
  if (what && !to.includes(what)) to.push(what);
}

/** byDestination sums flows up. Percentiles do not sum up: those of a destination are the worst of its flows'. */
export function byDestination(flows: readonly Flow[]): DestinationRow[] {
  const rows = new Map<string, DestinationRow>();
  for (const f of flows) {
    const name = callee(f);
    if (!name) continue;
    let row = rows.get(name);
    if (!row) {
      row = {
        destination: name,
        service: "",
        protocols: [],
        policies: [],
        callers: [],
        breaker: "",
        calls: 0,
        perSecond: 0,
        successes: 0,
        retries: 0,
      };
      rows.set(name, row);
    }
    row.service ||= f.service ?? "";
    add(row.protocols, f.protocol);
    add(row.policies, f.policy);
    add(row.callers, caller(f));
    row.breaker = worse(row.breaker, f.breaker);
    row.calls += f.calls;
    row.perSecond += f.perSecond;
    row.successes += f.successes;
    row.retries += f.retries;
    row.p50Seconds = Math.max(row.p50Seconds ?? 0, f.p50Seconds ?? 0);
    row.p99Seconds = Math.max(row.p99Seconds ?? 0, f.p99Seconds ?? 0);
  }
  return [...rows.values()];
}
