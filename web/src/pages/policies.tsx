// All policies; those that need attention first.

import { useMemo } from "preact/hooks";
import { useAnswer } from "../data/answer.ts";
import { matcher, parseSort } from "../data/filter.ts";
import { healthOf } from "../data/flows.ts";
import type { Policies, PolicyRow } from "../data/model.ts";
import { countStates, inState, stateRank, textOfPolicy } from "../data/policies.ts";
import { spaced } from "../data/words.ts";
import { plural, rate, success } from "../format/numbers.ts";
import { latency } from "../format/time.ts";
import { Choice, TextFilter } from "../parts/fields.tsx";
import { linkTo, route, setQuery } from "../parts/location.ts";
import { Notes, Waiting } from "../parts/notes.tsx";
import { useReady } from "../parts/ready.ts";
import { Badge, Breaker, StateBadge, Success } from "../parts/status.tsx";
import { type Column, sortRows, Table } from "../parts/table.tsx";

const none = <span class="faint">–</span>;

const columns: Column<PolicyRow>[] = [
  {
    key: "name",
    title: "Policy",
    part: 5,
    by: (p) => p.key,
    cell: (p) => (
      <span class="two">
        <a href={linkTo("policy", p.key)} title={p.key}>
          {p.key}
        </a>
        <span class={p.message ? "" : "faint"} title={p.message || p.to}>
          {p.message || p.to}
        </span>
      </span>
    ),
  },
  {
    key: "state",
    title: "State",
    width: 170,
    by: stateRank,
    cell: (p) => (
      <span class="two">
        <StateBadge state={p.state} />
        {p.reasons?.length ? (
          <span class="faint" title={p.reasons.join(", ")}>
            {p.reasons.map(spaced).join(", ")}
          </span>
        ) : null}
      </span>
    ),
  },
  {
    key: "mode",
    title: "Mode",
    width: 88,
    only: "wide",
    by: (p) => p.mode,
    cell: (p) => (p.mode === "DryRun" ? "dry run" : (p.mode ?? "Enforce").toLowerCase()),
  },
  { key: "pods", title: "Pods", width: 66, number: true, down: true, only: "medium", by: (p) => p.pods, cell: (p) => p.pods },
  {
    key: "nodes",
    title: "Nodes",
    width: 88,
    number: true,
    down: true,
    only: "medium",
    by: (p) => p.nodes,
    cell: (p) => (
      <span
        class={p.failed ? "value bad" : p.programmed < p.nodes ? "value warn" : "value"}
        title={`${p.programmed} of ${p.nodes} nodes have it in force${p.failed ? `, ${p.failed} refuse it` : ""}`}
      >
        {p.programmed}/{p.nodes}
      </span>
    ),
  },
  {
    key: "rps",
    title: "Calls/s",
    width: 76,
    number: true,
    down: true,
    by: (p) => p.figures?.perSecond,
    cell: (p) => (p.figures ? rate(p.figures.perSecond) : none),
  },
  {
    key: "success",
    title: "Success",
    width: 92,
    number: true,
    by: (p) => p.figures && success(p.figures),
    cell: (p) => (p.figures ? <Success of={p.figures} health={healthOf(p.figures)} /> : none),
  },
  {
    key: "p99",
    title: "P99",
    width: 66,
    number: true,
    down: true,
    only: "wide",
    by: (p) => p.figures?.p99Seconds,
    cell: (p) => (p.figures ? latency(p.figures.p99Seconds) : none),
  },
  {
    key: "breaker",
    title: "Breaker",
    width: 108,
    only: "medium",
    down: true,
    by: (p) => ["", "closed", "half_open", "open"].indexOf(p.breaker ?? ""),
    cell: (p) => <Breaker state={p.breaker} />,
  },
];

const narrowColumns = columns
  .filter((c) => c.key === "name" || c.key === "state" || c.key === "success")
  .map((c) => (c.key === "state" ? { ...c, width: 118 } : c.key === "success" ? { ...c, width: 84 } : c));

export function PoliciesPage() {
  const q = route.value.query;
  const answer = useAnswer<Policies>("api/v1/policies", "policies", "traffic");
  useReady(Boolean(answer.data || answer.error));
  const items = answer.data?.items;
  const sort = parseSort(q.sort, "state");
  const counts = useMemo(() => countStates(items ?? []), [items]);
  const rows = useMemo(() => {
    const fits = matcher(q.q);
    const chosen = (items ?? []).filter((p) => inState(p, q.state) && fits(textOfPolicy(p)));
    return sortRows(chosen, columns, sort);
  }, [items, q.q, q.state, q.sort]);
  return (
    <>
      <h1>Policies</h1>
      <search class="filters" aria-label="Filters">
        <TextFilter label="Filter" name="q" value={q.q} hint="name, destination, reason; -word leaves out" now />
        <Choice
          label="State"
          name="state"
          value={q.state}
          options={[
            { value: "", title: "All", count: counts.all },
            { value: "attention", title: "Need attention", count: counts.attention },
            { value: "notready", title: "Not ready", count: counts.notready },
            { value: "breaker", title: "Breaker not closed", count: counts.breaker },
            { value: "dryrun", title: "Dry run", count: counts.dryrun },
          ]}
        />
      </search>
      <Notes of={answer} />
      {!items && !answer.error && <Waiting />}
      {items && (
        <>
          <p class="unseen" aria-live="polite">
            {plural(rows.length, "policy", "policies")} shown
          </p>
          <Table
            label="Policies"
            rows={rows}
            columns={columns}
            id={(p) => p.key}
            sort={sort}
            onSort={(s) => setQuery({ sort: s })}
            rowHeight={46}
            narrowColumns={narrowColumns}
            most={Math.max(8, Math.floor((innerHeight - 230) / 46))}
            empty={items.length === 0 ? "There are no policies." : "No policy fits the filters."}
          />
        </>
      )}
      <NewPolicy items={items} />
    </>
  );
}

/** NewPolicy says how a first policy comes about, where there is none. */
function NewPolicy({ items }: { items: PolicyRow[] | undefined }) {
  if (!items || items.length > 0) return null;
  return (
    <p class="note">
      <Badge tone="plain">Tip</Badge> Begin with a policy that looks at calls and changes nothing: mode: DryRun and to: [{"{"}any: {"{}"}
      {"}"}].
    </p>
  );
}
