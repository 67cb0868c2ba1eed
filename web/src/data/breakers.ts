// The list of what is open: destinations of policies with breakers that are not closed, or with endpoints that are kept out.

import type { Traffic } from "./model.ts";

/** stateOf is the worst state of its breakers: closed where only endpoints are kept out. */
export function stateOf(t: Traffic): "open" | "half_open" | "closed" {
  return t.breakersOpen ? "open" : t.breakersHalfOpen ? "half_open" : "closed";
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
