// The breakers that are not closed, and endpoints that are ejected.

import { useMemo } from "preact/hooks";
import type { Flow } from "../data/model.ts";
import { plural } from "../format/numbers.ts";
import { duration } from "../format/time.ts";
import { linkTo } from "./location.ts";
import { Breaker } from "./status.tsx";

export interface OpenBreaker {
  policy: string;
  target: string;
  /** open, half_open, or closed where endpoints are ejected. */
  state: string;
  /** How many are open, on all nodes. */
  open?: number;
  halfOpen?: number;
  /** For how long the worst state has lasted. */
  seconds?: number;
  ejected?: number;
  perSecond?: number;
}

/** useBreakers has those that are not closed, the open ones first. */
export function useBreakers(flows: readonly Flow[]): OpenBreaker[] {
  return useMemo(() => {
    const found = new Map<string, OpenBreaker>();
    for (const f of flows) {
      if (!f.policy || (f.breaker !== "open" && f.breaker !== "half_open")) continue;
      found.set(`${f.policy} ${f.target}`, { policy: f.policy, target: f.target ?? "", state: f.breaker });
    }
    return [...found.values()].sort(
      (a, b) => rank(b) - rank(a) || (b.perSecond ?? 0) - (a.perSecond ?? 0) || a.policy.localeCompare(b.policy),
    );
  }, [flows]);
}

const rank = (b: OpenBreaker) => (b.state === "open" ? 2 : b.state === "half_open" ? 1 : 0);

export function Breakers({ of }: { of: readonly OpenBreaker[] }) {
  if (of.length === 0) return <p class="faint">All destinations may be called.</p>;
  return (
    <ul>
      {of.map((b) => (
        <li key={`${b.policy} ${b.target}`}>
          <span class="who">
            <a href={linkTo("policy", b.policy)} title={`${b.policy} at ${b.target}`}>
              {b.policy}
            </a>{" "}
            <span class="faint">{b.target}</span>
          </span>
          {b.state === "closed" && b.ejected ? (
            <span class="value warn">{plural(b.ejected, "endpoint")} ejected</span>
          ) : (
            <Breaker state={b.state} />
          )}
          <span class="faint">{b.seconds ? duration(b.seconds) : ""}</span>
        </li>
      ))}
    </ul>
  );
}
