// Who calls what. What is wrong comes first.

import { useMemo } from "preact/hooks";
import { urlOf, useAnswer } from "../data/answer.ts";
import { parseSort } from "../data/filter.ts";
import { byTrouble } from "../data/flows.ts";
import type { Flow, Overview } from "../data/model.ts";
import { count, plural } from "../format/numbers.ts";
import { Attention } from "../parts/attention.tsx";
import { Charts } from "../parts/charts.tsx";
import { names } from "../parts/cluster.ts";
import { TextFilter } from "../parts/fields.tsx";
import { FigureRow, figuresOf } from "../parts/figures.tsx";
import { FlowTable } from "../parts/flows.tsx";
import { Graph } from "../parts/graph.tsx";
import { linkTo, route, setQuery, since } from "../parts/location.ts";
import { Notes, Waiting } from "../parts/notes.tsx";
import { useReady } from "../parts/ready.ts";
import { Section } from "../parts/section.tsx";

const drawn = [24, 60, 150];

function Filters() {
  const q = route.value.query;
  const workloads = useMemo(() => {
    const all = names.value?.workloads ?? [];
    const inNamespace = q.ns ? all.filter((w) => w.startsWith(`${q.ns}/`)) : all;
    return [...new Set(inNamespace.map((w) => w.slice(w.indexOf("/") + 1)))];
  }, [names.value, q.ns]);
  return (
    <search class="filters" aria-label="Filters">
      <TextFilter label="Namespace" name="ns" value={q.ns} offer={names.value?.namespaces} />
      <TextFilter label="Workload" name="workload" value={q.workload} offer={workloads} />
      <TextFilter label="Destination" name="dest" value={q.dest} hint="contains" />
      <TextFilter label="Policy" name="policy" value={q.policy} offer={names.value?.policies} />
      {(q.ns || q.workload || q.dest || q.policy) && (
        <button
          type="button"
          class="plain"
          onClick={() => setQuery({ ns: undefined, workload: undefined, dest: undefined, policy: undefined })}
        >
          Clear
        </button>
      )}
    </search>
  );
}

function GraphSection({ flows }: { flows: Flow[] }) {
  const chosen = Number(route.value.query.draw);
  const most = drawn.includes(chosen) ? chosen : (drawn[0] ?? 24);
  const pairs = useMemo(() => new Set(flows.map((f) => `${f.namespace}/${f.workload}\n${f.destination || f.target}`)).size, [flows]);
  const more = (
    <>
      <span class="faint">{pairs > most ? `the ${most} worst and busiest of ${count(pairs)}` : plural(pairs, "flow")}</span>
      {pairs > (drawn[0] ?? 0) &&
        drawn.map((n) => (
          <button
            key={n}
            type="button"
            class={n === most ? "chip chosen" : "chip"}
            aria-pressed={n === most}
            onClick={() => setQuery({ draw: n === drawn[0] ? undefined : String(n) })}
          >
            {n}
          </button>
        ))}
    </>
  );
  return (
    <Section title="Who calls what" more={more}>
      <Graph flows={flows} most={most} />
    </Section>
  );
}

export function OverviewPage() {
  const q = route.value.query;
  const answer = useAnswer<Overview>(
    urlOf("api/v1/overview", {
      since: since.value,
      namespace: q.ns,
      workload: q.workload,
      destination: q.dest,
      policy: q.policy,
      limit: "2000",
    }),
    "traffic",
  );
  useReady(Boolean(answer.data || answer.error));
  const data = answer.data;
  const flows = useMemo(() => [...(data?.flows ?? [])].sort(byTrouble), [data]);
  const sort = parseSort(q.sort, "");
  const filtered = Boolean(q.ns || q.workload || q.dest || q.policy);
  return (
    <>
      <h1>{filtered ? "Calls" : "Overview"}</h1>
      <Filters />
      <Notes of={answer} />
      {!data && !answer.error && <Waiting />}
      {data && !filtered && <Attention flows={flows} missing={answer.error ?? data.notes?.[0]} />}
      {data && (
        <>
          <Section
            title="Calls"
            more={
              <>
                <a href={linkTo("changes")}>What changed</a>
                <a href={linkTo("calls", "", { ns: q.ns, workload: q.workload, policy: q.policy, outcome: "failed" })}>
                  Calls that fail now
                </a>
                <a href={linkTo("calls", "", { ns: q.ns, workload: q.workload, policy: q.policy, outcome: "retried" })}>
                  Calls that are retried now
                </a>
              </>
            }
          >
            <FigureRow figures={figuresOf(data.total)} label="Calls" />
            <Charts series={data.series} />
          </Section>
          {flows.length > 0 && <GraphSection flows={flows} />}
          <Section title="Flows" more={<LeftOut of={data} />}>
            <FlowTable flows={flows} sort={sort} onSort={(s) => setQuery({ sort: s })} />
          </Section>
        </>
      )}
    </>
  );
}

function LeftOut({ of }: { of: Overview }) {
  const parts = [plural(of.flows.length, "flow")];
  if (of.leftOut)
    parts.push(`${count(of.leftOut)} with fewer calls are left out (${plural(of.leftOutCalls ?? 0, "call")}): filter to see them`);
  if (of.other) parts.push(`${plural(of.other, "call")} that the manager does not keep apart`);
  return <span class="faint">{parts.join("; ")}</span>;
}
