// One call, step by step: why it ended as it did, and each of its attempts.

import type { Attempt } from "../data/model.ts";
import type { SeenCall } from "../data/tap-state.ts";
import { decisionOf, endOf, goodAttempt, resultOf, starts } from "../data/words.ts";
import { plural } from "../format/numbers.ts";
import { clock, duration } from "../format/time.ts";
import { VerdictBadge, whatOf } from "./call-table.tsx";
import { Icon } from "./icon.tsx";
import { linkTo } from "./location.ts";

function Attempts({ of: c }: { of: SeenCall }) {
  const tried = c.tried ?? [];
  if (tried.length === 0)
    return (
      <p class="faint">
        {c.attempts === 0
          ? "No attempt was made."
          : `${plural(c.attempts, "attempt")}; nothing more is known of ${c.attempts === 1 ? "it" : "them"}.`}
      </p>
    );
  const longest = Math.max(...tried.map((a) => a.tookSeconds), 1e-9);
  return (
    <>
      <ol class="attempts">
        {tried.map((a, i) => (
          <li key={i} class={goodAttempt(a.result) ? "good" : "bad"}>
            <One of={a} share={a.tookSeconds / longest} />
          </li>
        ))}
      </ol>
      {c.attempts > tried.length && <p class="faint">{plural(c.attempts - tried.length, "attempt")} before the last are not listed.</p>}
    </>
  );
}

function One({ of: a, share }: { of: Attempt; share: number }) {
  return (
    <>
      <div>
        <Icon name={goodAttempt(a.result) ? "ok" : "bad"} />
        <strong>{a.result}</strong> <span class="faint">{starts[a.start] ?? a.start}</span>
        <span class="right">{duration(a.tookSeconds)}</span>
      </div>
      <div class="bar" aria-hidden="true">
        <span style={{ width: `${Math.max(1, share * 100)}%` }} />
      </div>
      <div class="faint">
        {a.endpoint ? `to ${a.endpoint}` : "went nowhere"}
        {a.reused ? ", on a kept connection" : ""}
        {a.detail ? `: ${a.detail}` : ""}
      </div>
    </>
  );
}

function Fact({ name, children }: { name: string; children: preact.ComponentChildren }) {
  return children ? (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  ) : null;
}

export function CallDetail({ call: c, onClose }: { call: SeenCall; onClose: () => void }) {
  const { why, change } = decisionOf(c);
  return (
    <aside class="detail" aria-label="The chosen call">
      <header>
        <VerdictBadge call={c} />
        <strong>{resultOf(c)}</strong>
        <span class="faint">in {duration(c.tookSeconds)}</span>
        <button type="button" class="plain" onClick={onClose} aria-label="Close">
          <Icon name="close" />
        </button>
      </header>
      <p class="what">{whatOf(c)}</p>
      <div class="why" aria-live="polite">
        <p>{why}</p>
        {endOf(c.kind) && c.kind !== "response" && c.decision !== "refused" && <p>{endOf(c.kind)}</p>}
        {c.detail && <p class="faint">Detail: {c.detail}</p>}
        {change && <p class="faint">If that is not wished: {change}</p>}
        {c.dryRun && (
          <p>{`The dry run of ${c.dryRun.policy} would ${c.dryRun.would.replaceAll("_", " ")} after ${duration(c.dryRun.afterSeconds)}${c.dryRun.detail ? ` (${c.dryRun.detail})` : ""}.`}</p>
        )}
      </div>
      <h2>{plural(c.attempts, "attempt")}</h2>
      <Attempts of={c} />
      <dl class="facts tight">
        <Fact name="Policy">
          <a href={linkTo("policy", c.policy)}>{c.policy}</a>
          {c.rule ? ` rule ${c.rule}` : ""}
        </Fact>
        <Fact name="Target">{c.target}</Fact>
        <Fact name="Pod">{c.pod}</Fact>
        <Fact name="Workload">{c.workload}</Fact>
        <Fact name="Node">{c.node}</Fact>
        <Fact name="Ended">{clock(Date.parse(c.at), true)}</Fact>
        <Fact name="Sent to">{c.to}</Fact>
        <Fact name="Kind">{c.kind}</Fact>
        <Fact name="Cause">{c.cause}</Fact>
        <Fact name="Retry decision">{c.decision}</Fact>
        <Fact name="Fallback">{c.fallback}</Fact>
        <Fact name="To the head">{c.headSeconds > 0 ? duration(c.headSeconds) : ""}</Fact>
        <Fact name="Broke off">{c.truncated ? "yes" : ""}</Fact>
        <Fact name="Trace">{c.traceId && <code>{c.traceId}</code>}</Fact>
      </dl>
      <p>
        <a href={linkTo("calls", "", { ns: c.pod.split("/")[0], pod: c.pod.split("/")[1] })}>Calls of this pod</a>
      </p>
    </aside>
  );
}
