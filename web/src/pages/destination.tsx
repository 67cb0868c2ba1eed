// One destination: which of its breakers are open and until when, its endpoints, its limits, who calls it.

import { urlOf, useAnswer } from "../data/answer.ts";
import { parseSort } from "../data/filter.ts";
import { caller, failing } from "../data/flows.ts";
import type { Destination } from "../data/model.ts";
import { plural, rate } from "../format/numbers.ts";
import { ChangeList } from "../parts/change-list.tsx";
import { Charts } from "../parts/charts.tsx";
import { Endpoints } from "../parts/endpoints.tsx";
import { FigureRow, figuresOf } from "../parts/figures.tsx";
import { FlowTable } from "../parts/flows.tsx";
import { Limits } from "../parts/limits.tsx";
import { linkTo, route, setQuery, since } from "../parts/location.ts";
import { BreakerSummary, NodeBreakers } from "../parts/node-breakers.tsx";
import { Notes, Waiting } from "../parts/notes.tsx";
import { Openings } from "../parts/openings.tsx";
import { useReady } from "../parts/ready.ts";
import { Section } from "../parts/section.tsx";
import { Timeline } from "../parts/timeline.tsx";

/** hostOf is what a tap of a destination's calls asks for: its host; of a Service, whatever name it was called by. */
function hostOf(name: string): string | undefined {
  return name.includes("/") ? undefined : name.replace(/:\d+$/, "");
}

/** Hammering says in a sentence who calls most, and whose calls fail most. */
function Hammering({ of: d }: { of: Destination }) {
  const top = [...d.flows].sort((a, b) => b.perSecond - a.perSecond)[0];
  if (!top) return null;
  const worst = [...d.flows].sort((a, b) => failing(b) - failing(a))[0];
  const share = d.total.perSecond > 0 ? Math.round((top.perSecond / d.total.perSecond) * 100) : 0;
  return (
    <p class="lead">
      {caller(top) || "An unknown workload"} calls it most: {rate(top.perSecond)} per second, {share}% of its calls.
      {worst &&
        failing(worst) > 0 &&
        ` Most failures are of ${caller(worst) || "an unknown workload"}: ${rate(failing(worst))} per second.`}
    </p>
  );
}

export function DestinationPage({ name }: { name: string }) {
  const q = route.value.query;
  const answer = useAnswer<Destination>(urlOf("api/v1/destination", { name, since: since.value }), "traffic", "changes");
  useReady(Boolean(answer.data || answer.error));
  const d = answer.data;
  const policies = [...new Set(d?.flows.flatMap((f) => (f.policy ? [f.policy] : [])) ?? [])];
  const host = hostOf(name);
  return (
    <>
      <h1>
        <span class="kind">destination</span>
        {name}
        {d && <BreakerSummary of={d} />}
      </h1>
      <Notes of={answer} />
      {!d && !answer.error && <Waiting />}
      {d && (
        <>
          <Hammering of={d} />
          {d.asked < d.agents && (
            <p class="note">{`${d.asked} of ${plural(d.agents, "agent")} were asked for breakers, endpoints and limits, or have answered.`}</p>
          )}
          <NodeBreakers of={d} />
          <Openings changes={d.timeline} from={d.series.from} to={d.series.to} />
          <Section
            title="Calls"
            more={
              <>
                {d.service && <span class="faint">Service {d.service}</span>}
                {policies.slice(0, 4).map((p) => (
                  <a key={p} href={linkTo("policy", p)}>
                    {p}
                  </a>
                ))}
                <a href={linkTo("calls", "", host ? { host } : { policy: policies.length === 1 ? policies[0] : undefined })}>Live calls</a>
              </>
            }
          >
            <FigureRow figures={figuresOf(d.total)} label="Calls" />
            <Charts series={d.series} changes={d.timeline} />
            {d.timeline.length > 0 && (
              <div>
                <Timeline changes={d.timeline} from={d.series.from} to={d.series.to} times />
              </div>
            )}
          </Section>
          <Section title="Endpoints" more={<span class="faint">as {plural(d.asked, "agent")} see them; each judges for itself</span>}>
            <Endpoints of={d.endpoints} />
          </Section>
          {d.limits.length > 0 && (
            <Section title="Limits">
              <Limits of={d.limits} />
            </Section>
          )}
          <Section title="Who calls">
            <FlowTable
              flows={d.flows}
              without={["destination"]}
              sort={parseSort(q.sort, "-rps")}
              onSort={(s) => setQuery({ sort: s })}
              most={12}
            />
          </Section>
          <Section title="Changes" more={<span class="faint">of the policies that govern its calls</span>}>
            <ChangeList changes={d.timeline} />
          </Section>
        </>
      )}
    </>
  );
}
