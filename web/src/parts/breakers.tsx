// The breakers that are not closed, and endpoints that are kept out.

import { useMemo } from "preact/hooks";
import { useAnswer } from "../data/answer.ts";
import { byState, stateOf } from "../data/breakers.ts";
import type { Breakers, Traffic } from "../data/model.ts";
import { count, plural } from "../format/numbers.ts";
import { duration } from "../format/time.ts";
import { linkTo } from "./location.ts";
import { Breaker } from "./status.tsx";

/** useBreakers has all that are not closed, the open ones first; undefined as long as they are awaited. missing says what of them cannot be read, if anything. */
export function useBreakers(): { all: Traffic[] | undefined; missing: string | undefined } {
  const { data, error } = useAnswer<Breakers>("api/v1/breakers", "traffic");
  const all = useMemo(() => data && [...data.items].sort(byState), [data]);
  return { all, missing: error ?? data?.notes?.[0] };
}

function One({ of: t }: { of: Traffic }) {
  const state = stateOf(t);
  const many = state === "open" ? (t.breakersOpen ?? 0) : (t.breakersHalfOpen ?? 0);
  return (
    <li>
      <span class="who">
        <a href={linkTo("policy", t.policy)} title={`${t.policy} at ${t.target}`}>
          {t.policy}
        </a>{" "}
        <span class="faint">{t.target}</span>
      </span>
      {state === "closed" ? <span class="value warn">{plural(t.ejected ?? 0, "endpoint")} ejected</span> : <Breaker state={state} />}
      {state !== "closed" && (
        <span class="faint" title={`${plural(many, "breaker")} of all nodes; the worst state has lasted ${duration(t.breakerSeconds)}`}>
          {many > 1 ? `×${count(many)} ` : ""}
          {t.breakerSeconds ? duration(t.breakerSeconds) : ""}
        </span>
      )}
    </li>
  );
}

export function BreakerList({ of }: { of: readonly Traffic[] }) {
  if (of.length === 0) return <p class="faint">All destinations may be called.</p>;
  return (
    <ul>
      {of.map((t) => (
        <One key={`${t.policy} ${t.target}`} of={t} />
      ))}
    </ul>
  );
}
