// How something is: a colour, an icon and a word, so that none of them is needed alone.

import { Bad, type Health, Idle, Warning } from "../data/flows.ts";
import type { PolicyState } from "../data/model.ts";
import { breakerWords, stateWords } from "../data/words.ts";
import { percent, success } from "../format/numbers.ts";
import { Icon, type IconName } from "./icon.tsx";

export type Tone = "good" | "warn" | "bad" | "plain";

const icons: Record<Tone, IconName> = { good: "ok", warn: "warn", bad: "bad", plain: "idle" };

export function Badge({ tone, icon, children }: { tone: Tone; icon?: IconName; children: preact.ComponentChildren }) {
  return (
    <span class={`badge ${tone}`}>
      <Icon name={icon ?? icons[tone]} />
      <span>{children}</span>
    </span>
  );
}

export const toneOfState: Record<PolicyState, Tone> = { ready: "good", attention: "warn", notReady: "bad", unseen: "bad" };

export function StateBadge({ state }: { state: PolicyState }) {
  return <Badge tone={toneOfState[state] ?? "plain"}>{stateWords[state] ?? state}</Badge>;
}

export const toneOfHealth = (h: Health): Tone => (h === Bad ? "bad" : h === Warning ? "warn" : h === Idle ? "plain" : "good");

/** Breaker shows a breaker's state; a closed one is quiet, and none is a dash. A dry run's rejects nothing, and would only be open. */
export function Breaker({ state, dryRun }: { state: string | undefined; dryRun?: boolean | undefined }) {
  if (!state) return <span class="faint">–</span>;
  if (state === "closed") return <span class="faint">closed</span>;
  const half = state !== "open";
  return (
    <Badge tone={dryRun ? "plain" : half ? "warn" : "bad"} icon={half ? "half" : "open"}>
      {dryRun && "would be "}
      {breakerWords[state] ?? state}
    </Badge>
  );
}

/** Success shows the share of calls that ended well, with a sign where that is too few. */
export function Success({ of, health }: { of: { calls: number; successes: number }; health: Health }) {
  const share = success(of);
  if (share === undefined) return <span class="faint">–</span>;
  const few = health >= Warning && share < 0.99;
  return (
    <span class={few ? `value ${toneOfHealth(health)}` : "value"}>
      {few && <Icon name={toneOfHealth(health) === "bad" ? "bad" : "warn"} />}
      {percent(share)}
    </span>
  );
}
