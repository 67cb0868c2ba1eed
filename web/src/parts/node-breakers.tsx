// The breakers of a destination on each node that has one which is not closed, or has been open.

import { countBreakers } from "../data/breakers.ts";
import { now } from "../data/live.ts";
import type { Destination, NodeBreaker } from "../data/model.ts";
import { count, plural } from "../format/numbers.ts";
import { ago } from "../format/time.ts";
import { linkTo } from "./location.ts";
import { Section } from "./section.tsx";
import { Badge, Breaker } from "./status.tsx";
import { type Column, Table } from "./table.tsx";

const openedBy: Record<string, string> = { node: "its own calls", cluster: "the cluster", annotation: "the annotation" };

const columns: Column<NodeBreaker>[] = [
  { key: "node", title: "Node", part: 2, cell: (b) => <a href={linkTo("nodes", "", { q: b.node })}>{b.node}</a> },
  { key: "state", small: 116, title: "State", width: 156, cell: (b) => <Breaker state={b.state} dryRun={b.dryRun} /> },
  { key: "since", small: 72, title: "Since", width: 90, cell: (b) => ago(b.since, now.value) },
  { key: "until", small: 60, title: "Probes", width: 90, cell: (b) => (b.state === "open" ? ago(b.until, now.value) : "–") },
  { key: "by", title: "Opened by", width: 120, only: "medium", cell: (b) => (b.openedBy ? (openedBy[b.openedBy] ?? b.openedBy) : "–") },
  { key: "opened", title: "Times open", width: 92, number: true, only: "medium", cell: (b) => count(b.opened) },
  {
    key: "policy",
    title: "Policy",
    part: 3,
    only: "medium",
    cell: (b) => (
      <>
        <a href={linkTo("policy", b.policy)}>{b.policy}</a>
        <span class="faint">
          {[
            b.rule && ` rule ${b.rule}`,
            b.pod && ` pod ${b.pod}`,
            b.passedThrough && " connections",
            b.dryRun && " dry run: rejects nothing",
          ]
            .filter(Boolean)
            .join(",")}
        </span>
      </>
    ),
  },
];

/** BreakerSummary says in the heading whether the destination may be called. */
export function BreakerSummary({ of: d }: { of: Destination }) {
  const { open, probing, wouldBeOpen, enforced } = countBreakers(d.breakers);
  return (
    <span class="badges">
      {open > 0 && (
        <Badge tone="bad" icon="open">
          breaker open on {plural(open, "node")}
        </Badge>
      )}
      {probing > 0 && (
        <Badge tone="warn" icon="half">
          {plural(probing, "breaker")} half-open
        </Badge>
      )}
      {wouldBeOpen > 0 && (
        <Badge tone="plain" icon="open">
          dry run: breaker would be open on {plural(wouldBeOpen, "node")}
        </Badge>
      )}
      {open + probing === 0 && enforced + d.closedBreakers > 0 && <Badge tone="good">breakers closed</Badge>}
    </span>
  );
}

export function NodeBreakers({ of: d }: { of: Destination }) {
  if (d.breakers.length === 0) return null;
  const others = [
    d.closedBreakers > 0 && `and ${plural(d.closedBreakers, "breaker")} that have never been open`,
    d.breakersLeftOut && `${plural(d.breakersLeftOut, "breaker")} left out`,
  ];
  return (
    <Section title="Breakers" more={<span class="faint">{others.filter(Boolean).join(", ")}</span>}>
      <Table
        label="Breakers by node"
        rows={d.breakers}
        columns={columns}
        id={(b) => [b.node, b.policy, b.target, b.rule, b.pod, b.passedThrough, b.dryRun].join("\n")}
        most={8}
        tone={(b) => (b.state === "open" && !b.dryRun ? "row-bad" : undefined)}
        empty=""
      />
    </Section>
  );
}
