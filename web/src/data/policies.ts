// Lists of policies: their filters and their order.

import type { PolicyRow } from "./model.ts";

/** inState says whether a policy is in a list that shows one kind of them. */
export function inState(p: PolicyRow, state: string | undefined): boolean {
  switch (state) {
    case "attention":
      return p.state !== "ready";
    case "notready":
      return p.state === "notReady" || p.state === "unseen";
    case "breaker":
      return p.breaker === "open" || p.breaker === "half_open";
    case "dryrun":
      return p.mode === "DryRun";
    default:
      return true;
  }
}

const states = ["attention", "notready", "breaker", "dryrun"] as const;

/** countStates counts how many policies each list has. */
export function countStates(items: readonly PolicyRow[]): Record<"all" | (typeof states)[number], number> {
  const n = { all: items.length, attention: 0, notready: 0, breaker: 0, dryrun: 0 };
  for (const p of items) for (const s of states) if (inState(p, s)) n[s]++;
  return n;
}

const ranks: Record<string, number> = { notReady: 0, unseen: 1, attention: 2, ready: 3 };

/** stateRank orders the worst first: not ready, with an open breaker, worth a look, ready. */
export function stateRank(p: PolicyRow): number {
  const breaker = p.breaker === "open" ? -0.6 : p.breaker === "half_open" ? -0.3 : 0;
  return (ranks[p.state] ?? 3) + breaker;
}

/** textOfPolicy is what a filter looks at. */
export function textOfPolicy(p: PolicyRow): string {
  return [p.key, p.kind, p.mode, p.to, p.state, p.breaker, ...(p.reasons ?? []), p.message].filter(Boolean).join(" ");
}
