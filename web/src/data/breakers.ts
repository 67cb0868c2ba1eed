// The list of what is open: destinations of policies with breakers that are not closed, or with endpoints that are kept out.

import type { NodeBreaker, Traffic } from "./model.ts";

/** stateOf is the worst state of its breakers: closed where only endpoints are kept out. */
export function stateOf(t: Traffic): "open" | "half_open" | "closed" {
  return t.breakersOpen ? "open" : t.breakersHalfOpen ? "half_open" : "closed";
}

/** What the breakers of a destination come to. Those of dry runs reject nothing, and are counted apart. */
export interface BreakerCounts {
  /** Nodes with one that is open, and half-open breakers. */
  open: number;
  probing: number;
  /** Nodes with one of a dry run that would be open. */
  wouldBeOpen: number;
  /** Breakers that reject or may reject calls. */
  enforced: number;
}

/** countBreakers counts the breakers of a destination on all nodes. */
export function countBreakers(all: readonly NodeBreaker[]): BreakerCounts {
  const nodes = (of: readonly NodeBreaker[]) => new Set(of.filter((b) => b.state === "open").map((b) => b.node)).size;
  const enforced = all.filter((b) => !b.dryRun);
  return {
    open: nodes(enforced),
    probing: enforced.filter((b) => b.state === "half_open").length,
    wouldBeOpen: nodes(all.filter((b) => b.dryRun)),
    enforced: enforced.length,
  };
}

const ranks = { open: 2, half_open: 1, closed: 0 };

/** byState orders the open ones first, and those with the most calls among them. */
export function byState(a: Traffic, b: Traffic): number {
  return (
    ranks[stateOf(b)] - ranks[stateOf(a)] ||
    b.perSecond - a.perSecond ||
    a.policy.localeCompare(b.policy) ||
    a.target.localeCompare(b.target)
  );
}
