// Flows as a table: who calls what, under which policy, and how it fares.

import { callee, caller, failing, healthOf, Idle, Well } from "../data/flows.ts";
import type { Flow } from "../data/model.ts";
import { rate, ratio, retryShare, success } from "../format/numbers.ts";
import { latency } from "../format/time.ts";
import { linkTo } from "./location.ts";
import { Breaker, Success, toneOfHealth } from "./status.tsx";
import { type Column, sortRows, Table } from "./table.tsx";

const idOf = (f: Flow) => [f.namespace, f.workload, f.policy, f.target, f.destination, f.service, f.protocol].join("\n");

export function WorkloadLink({ flow }: { flow: Flow }) {
  if (!flow.workload && !flow.namespace) return <span class="faint">unknown</span>;
  return (
    <a href={linkTo("overview", "", { ns: flow.namespace, workload: flow.workload })} title={caller(flow)}>
      <span class="faint">{flow.namespace}/</span>
      {flow.workload || "unknown"}
    </a>
  );
}

export function DestinationLink({ name, title }: { name: string; title?: string }) {
  if (!name) return <span class="faint">unknown</span>;
  return (
    <a href={linkTo("destination", name)} title={title ?? name}>
      {name}
    </a>
  );
}

const columns: Record<string, Column<Flow>> = {
  caller: { key: "caller", title: "Workload", part: 3, by: caller, cell: (f) => <WorkloadLink flow={f} /> },
  destination: {
    key: "destination",
    title: "Destination",
    part: 4,
    by: callee,
    cell: (f) => <DestinationLink name={callee(f)} title={f.service ? `${callee(f)} (Service ${f.service})` : callee(f)} />,
  },
  policy: {
    key: "policy",
    title: "Policy",
    part: 3,
    only: "wide",
    by: (f) => f.policy,
    cell: (f) => (f.policy ? <a href={linkTo("policy", f.policy)}>{f.policy}</a> : <span class="faint">–</span>),
  },
  protocol: { key: "protocol", title: "Protocol", width: 76, only: "wide", by: (f) => f.protocol, cell: (f) => f.protocol ?? "–" },
  success: {
    key: "success",
    title: "Success",
    width: 96,
    number: true,
    by: (f) => success(f),
    cell: (f) => <Success of={f} health={healthOf(f)} />,
  },
  failing: {
    key: "failing",
    title: "Failing/s",
    width: 84,
    number: true,
    down: true,
    only: "medium",
    by: failing,
    cell: (f) => (failing(f) > 0 ? rate(failing(f)) : <span class="faint">0</span>),
  },
  rps: { key: "rps", title: "Calls/s", width: 78, number: true, down: true, by: (f) => f.perSecond, cell: (f) => rate(f.perSecond) },
  retries: {
    key: "retries",
    title: "Retries",
    width: 78,
    number: true,
    down: true,
    only: "medium",
    by: (f) => retryShare(f),
    cell: (f) => (f.retries > 0 ? ratio(retryShare(f) ?? 0) : <span class="faint">0%</span>),
  },
  p50: {
    key: "p50",
    title: "P50",
    width: 66,
    number: true,
    down: true,
    only: "wide",
    by: (f) => f.p50Seconds,
    cell: (f) => latency(f.p50Seconds),
  },
  p99: {
    key: "p99",
    title: "P99",
    width: 66,
    number: true,
    down: true,
    only: "medium",
    by: (f) => f.p99Seconds,
    cell: (f) => latency(f.p99Seconds),
  },
  breaker: {
    key: "breaker",
    title: "Breaker",
    width: 104,
    down: true,
    by: (f) => ["", "closed", "half_open", "open"].indexOf(f.breaker ?? ""),
    cell: (f) => <Breaker state={f.breaker} />,
  },
};

/** Of narrow pages: both ends of the flow in one column. */
const both: Column<Flow> = {
  key: "caller",
  title: "Workload, destination",
  by: caller,
  cell: (f) => (
    <span class="two">
      <WorkloadLink flow={f} />
      <span>
        → <DestinationLink name={callee(f)} />
      </span>
    </span>
  ),
};

type Name = keyof typeof columns;

interface Props {
  flows: readonly Flow[];
  without?: Name[];
  sort: { column: string; descending: boolean };
  onSort: (sort: string) => void;
  most?: number;
  empty?: string;
}

export function FlowTable({ flows, without = [], sort, onSort, most, empty }: Props) {
  const shown = Object.entries(columns).flatMap(([name, c]) => (without.includes(name) ? [] : [c]));
  const { success: successes, rps, breaker } = columns;
  const ends = without.includes("caller") ? columns.destination : without.includes("destination") ? columns.caller : both;
  const few = [ends, successes, rps, breaker].flatMap((c) => (c ? [c === breaker ? { ...c, width: 90 } : c] : []));
  return (
    <Table
      label="Flows: who calls what"
      rows={sortRows(flows, shown, sort)}
      columns={shown}
      id={idOf}
      sort={sort}
      onSort={onSort}
      most={most ?? 16}
      narrowColumns={few}
      tone={(f) => {
        const h = healthOf(f);
        return h === Well || h === Idle ? undefined : `row-${toneOfHealth(h)}`;
      }}
      empty={empty ?? "No calls in this time. Calls are seen where a policy governs them, or a dry run looks at them."}
    />
  );
}
