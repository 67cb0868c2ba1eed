// One policy: what is wrong with it, how its calls fare, what it comes to and where each field comes from.

import { urlOf, useAnswer } from "../data/answer.ts";
import { parseSort } from "../data/filter.ts";
import { now } from "../data/live.ts";
import type { Policy } from "../data/model.ts";
import { plural } from "../format/numbers.ts";
import { ago } from "../format/time.ts";
import { ChangeList } from "../parts/change-list.tsx";
import { Charts } from "../parts/charts.tsx";
import { Conditions } from "../parts/conditions.tsx";
import { FigureRow, figuresOf } from "../parts/figures.tsx";
import { FlowTable } from "../parts/flows.tsx";
import { linkTo, route, setQuery, since } from "../parts/location.ts";
import { Merges } from "../parts/merges.tsx";
import { Empty, Notes, Waiting } from "../parts/notes.tsx";
import { useReady } from "../parts/ready.ts";
import { Section } from "../parts/section.tsx";
import { Badge, Breaker, StateBadge } from "../parts/status.tsx";
import { Targets } from "../parts/targets.tsx";
import { Timeline } from "../parts/timeline.tsx";
import { Troubles } from "../parts/troubles.tsx";

function Facts({ of: p }: { of: Policy }) {
  return (
    <dl class="facts">
      <div>
        <dt>Governs</dt>
        <dd>
          {plural(p.pods, "pod")}: {p.selects}
        </dd>
      </div>
      <div>
        <dt>Nodes</dt>
        <dd>
          {p.programmed} of {p.nodes} have it in force{p.failed ? `, ${p.failed} refuse it` : ""}
        </dd>
      </div>
      <div>
        <dt>Generation</dt>
        <dd>
          {p.generation}
          {p.inForce < p.generation ? `, of which ${p.inForce} is in force` : ""}
        </dd>
      </div>
      <div>
        <dt>Created</dt>
        <dd>{ago(p.created, now.value)}</dd>
      </div>
    </dl>
  );
}

function Calls({ of: p }: { of: Policy }) {
  return (
    <Section
      title="Calls"
      more={
        <>
          <a href={linkTo("calls", "", { policy: p.key })}>Live calls</a>
          <a href={linkTo("calls", "", { policy: p.key, outcome: "failed" })}>Those that fail</a>
          <a href={linkTo("changes", "", { policy: p.key })}>All changes</a>
        </>
      }
    >
      {p.figures ? (
        <FigureRow figures={figuresOf(p.figures)} label="Calls of the last minute" />
      ) : (
        <Empty>No calls in the last minute.</Empty>
      )}
      <Charts series={p.series} changes={p.changes} />
      {p.changes.length > 0 && (
        <div>
          <Timeline changes={p.changes} from={p.series.from} to={p.series.to} times />
        </div>
      )}
    </Section>
  );
}

export function PolicyPage({ name }: { name: string }) {
  const q = route.value.query;
  const answer = useAnswer<Policy>(urlOf("api/v1/policy", { name, since: since.value }), "policies", "traffic", "changes");
  useReady(Boolean(answer.data || answer.error));
  const p = answer.data;
  const slash = name.indexOf("/");
  return (
    <>
      <h1>
        <span class="kind">{p?.kind ?? (slash < 0 ? "ClusterRetryPolicy" : "RetryPolicy")}</span>
        {slash < 0 ? (
          name
        ) : (
          <>
            <span class="faint">{name.slice(0, slash + 1)}</span>
            {name.slice(slash + 1)}
          </>
        )}
        {p && (
          <span class="badges">
            <StateBadge state={p.state} />
            {p.mode && p.mode !== "Enforce" && <Badge tone="warn">{p.mode === "DryRun" ? "Dry run: changes no call" : p.mode}</Badge>}
            {p.breaker && p.breaker !== "closed" && (
              <>
                breaker <Breaker state={p.breaker} />
              </>
            )}
          </span>
        )}
      </h1>
      <Notes of={answer} />
      {!p && !answer.error && <Waiting />}
      {p && (
        <>
          <Troubles of={p} />
          <Facts of={p} />
          <Section title="Destinations">
            <Targets of={p.targets} flows={p.flows} />
          </Section>
          <Calls of={p} />
          <Section title="In force" more={<span class="faint">merged with the other policies that select the same pods</span>}>
            <Merges of={p} />
          </Section>
          <Section title="Who calls">
            <FlowTable
              flows={p.flows}
              without={["policy"]}
              sort={parseSort(q.sort, "-rps")}
              onSort={(s) => setQuery({ sort: s })}
              most={10}
            />
          </Section>
          <Section title="Changes">
            <ChangeList changes={p.changes} />
          </Section>
          <Section title="Conditions">
            <Conditions of={p.conditions} />
          </Section>
        </>
      )}
    </>
  );
}
