// Calls while they end: what was called, what came of it, every attempt, and why it was retried or not.

import { useMemo, useState } from "preact/hooks";
import { urlOf } from "../data/answer.ts";
import { matcher } from "../data/filter.ts";
import { useTap } from "../data/tap.ts";
import { mostCalls, type SeenCall, textOf } from "../data/tap-state.ts";
import { count, plural } from "../format/numbers.ts";
import { CallDetail } from "../parts/call-detail.tsx";
import { CallTable } from "../parts/call-table.tsx";
import { names } from "../parts/cluster.ts";
import { Select, TextFilter } from "../parts/fields.tsx";
import { Icon } from "../parts/icon.tsx";
import { route, setQuery } from "../parts/location.ts";
import { useReady } from "../parts/ready.ts";

const outcomes = [
  { value: "", title: "all" },
  { value: "failed", title: "failed" },
  { value: "retried", title: "retried" },
  { value: "recovered", title: "recovered by a retry" },
  { value: "succeeded", title: "succeeded" },
  { value: "circuit_open", title: "rejected by a breaker" },
  { value: "rate_limited", title: "rejected by a limit" },
  { value: "method", title: "not retried: method" },
  { value: "not_retryable", title: "not retried: failure not listed" },
  { value: "budget", title: "not retried: budget" },
  { value: "deadline", title: "not retried: deadline" },
  { value: "body", title: "not retried: body" },
  { value: "exhausted", title: "retries exhausted" },
  { value: "abandoned", title: "abandoned by the caller" },
];

const asked = ["ns", "pod", "workload", "policy", "host", "status", "outcome", "node"] as const;

function Filters() {
  const q = route.value.query;
  const known = names.value;
  return (
    <search class="filters" aria-label="Filters">
      <Select label="Calls that" name="outcome" value={q.outcome} options={outcomes} />
      <TextFilter label="Namespace" name="ns" value={q.ns} offer={known?.namespaces} />
      <TextFilter label="Workload" name="workload" value={q.workload} />
      <TextFilter label="Pod" name="pod" value={q.pod} />
      <TextFilter label="Policy" name="policy" value={q.policy} offer={known?.policies} />
      <TextFilter label="Host" name="host" value={q.host} hint="*.example.com" />
      <TextFilter label="Status" name="status" value={q.status} hint="503, 5xx" />
      <TextFilter label="Node" name="node" value={q.node} offer={known?.nodes} />
      {asked.some((f) => q[f]) && (
        <button type="button" class="plain" onClick={() => setQuery(Object.fromEntries(asked.map((f) => [f, undefined])))}>
          Clear
        </button>
      )}
    </search>
  );
}

function State({ state, paused }: { state: string; paused: boolean }) {
  if (state === "lost") return <span class="live is-lost">Not connected: tried again every few seconds</span>;
  if (paused) return <span class="live is-connecting">Paused</span>;
  return <span class={`live is-${state}`}>{state === "live" ? "Listening" : "Connecting"}</span>;
}

export function CallsPage() {
  const q = route.value.query;
  const [paused, setPaused] = useState(false);
  const [picked, setPicked] = useState<SeenCall>();
  const url = urlOf("api/v1/calls", {
    namespace: q.ns,
    pod: q.pod,
    workload: q.workload,
    policy: q.policy,
    host: q.host,
    status: q.status,
    outcome: q.outcome,
    node: q.node,
  });
  const [tap, clear] = useTap(url, paused);
  useReady(tap.state === "live");
  const trouble = tap.refused ? [tap.refused] : tap.trouble;
  const calls = useMemo(() => {
    const fits = matcher(q.q);
    return q.q ? tap.calls.filter((c) => fits(textOf(c))) : tap.calls;
  }, [tap.calls, q.q]);
  return (
    <>
      <h1>Live calls</h1>
      <Filters />
      {trouble.length > 0 && (
        <div role="alert">
          <ul class="note warn">
            {trouble.map((t) => (
              <li key={t}>{t}</li>
            ))}
          </ul>
        </div>
      )}
      <div class="tap-bar">
        <button type="button" class="strong" onClick={() => setPaused(!paused)} aria-pressed={paused}>
          <Icon name={paused ? "play" : "pause"} />
          {paused ? "Go on" : "Pause"}
        </button>
        <button type="button" onClick={clear} disabled={tap.calls.length === 0}>
          Clear list
        </button>
        <TextFilter label="In the list" name="q" value={q.q} hint="contains" now />
        <State state={tap.state} paused={paused} />
        <span class="faint">
          {plural(tap.seen, "call")}, {count(tap.failed)} failed, {count(tap.retried)} retried
          {tap.seen > mostCalls && `; the latest ${count(mostCalls)} are here`}
          {paused && tap.passed > 0 && `; ${count(tap.passed)} more while paused`}
        </span>
        {tap.dropped > 0 && (
          <span class="value warn">{`${plural(tap.dropped, "call")} matched and ${tap.dropped === 1 ? "was" : "were"} not sent: more than the rate, or than this page took. Filter to see all.`}</span>
        )}
      </div>
      <div class={picked ? "calls with-detail" : "calls"}>
        <CallTable
          calls={calls}
          picked={picked}
          onPick={(c) => {
            setPicked(c.id === picked?.id ? undefined : c);
          }}
          empty={
            tap.state === "live"
              ? q.q && tap.calls.length > 0
                ? "No call in the list fits."
                : "No call that fits has ended yet. Calls show as they end."
              : "Connecting to the agents…"
          }
        />
        {picked && <CallDetail call={picked} onClose={() => setPicked(undefined)} />}
      </div>
    </>
  );
}
