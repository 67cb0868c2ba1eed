// All nodes, and whether an agent is on each; those without first.

import { useMemo } from "preact/hooks";
import { useAnswer } from "../data/answer.ts";
import { matcher, parseSort } from "../data/filter.ts";
import type { NodeRow, Nodes } from "../data/model.ts";
import { countNodes, inNodeState, nodeState, textOfNode, versionsOf } from "../data/nodes.ts";
import { count, plural } from "../format/numbers.ts";
import { Choice, TextFilter } from "../parts/fields.tsx";
import { linkTo, route, setQuery } from "../parts/location.ts";
import { Notes, Waiting } from "../parts/notes.tsx";
import { useReady } from "../parts/ready.ts";
import { Badge, type Tone } from "../parts/status.tsx";
import { type Column, sortRows, Table } from "../parts/table.tsx";

const words: Record<ReturnType<typeof nodeState>, { text: string; tone: Tone; rank: number }> = {
  away: { text: "no agent", tone: "bad", rank: 0 },
  behind: { text: "not programmed", tone: "warn", rank: 1 },
  older: { text: "older agent", tone: "warn", rank: 2 },
  upgrading: { text: "two agents", tone: "plain", rank: 3 },
  well: { text: "well", tone: "good", rank: 4 },
};

const columns: Column<NodeRow>[] = [
  { key: "node", title: "Node", part: 4, by: (n) => n.node, cell: (n) => <span title={n.node}>{n.node}</span> },
  {
    key: "state",
    small: 124,
    title: "Agent",
    width: 160,
    by: (n) => words[nodeState(n)].rank,
    cell: (n) => <Badge tone={words[nodeState(n)].tone}>{words[nodeState(n)].text}</Badge>,
  },
  {
    key: "version",
    title: "Version",
    only: "medium",
    part: 2,
    by: (n) => versionsOf(n).join(),
    cell: (n) => versionsOf(n).join(", ") || <span class="faint">–</span>,
  },
  {
    key: "missing",
    title: "Cannot enforce",
    part: 3,
    only: "medium",
    cell: (n) => n.agents.flatMap((a) => a.missing ?? []).join(", ") || <span class="faint">–</span>,
  },
  { key: "pods", small: 60, title: "Pods", width: 120, number: true, down: true, by: (n) => n.pods, cell: (n) => count(n.pods) },
  {
    key: "behind",
    title: "Not programmed",
    width: 126,
    number: true,
    down: true,
    only: "medium",
    by: (n) => n.notProgrammed ?? 0,
    cell: (n) => (n.notProgrammed ? <span class="value warn">{count(n.notProgrammed)}</span> : <span class="faint">0</span>),
  },
  {
    key: "links",
    title: "Show",
    width: 140,
    only: "medium",
    cell: (n) => (
      <>
        <a href={linkTo("calls", "", { node: n.node })}>calls</a> · <a href={linkTo("changes", "", { node: n.node })}>changes</a>
      </>
    ),
  },
];

export function NodesPage() {
  const q = route.value.query;
  const answer = useAnswer<Nodes>("api/v1/nodes", "nodes");
  useReady(Boolean(answer.data || answer.error));
  const items = answer.data?.items;
  const sort = parseSort(q.sort, "state");
  const counts = useMemo(() => countNodes(items ?? []), [items]);
  const rows = useMemo(() => {
    const fits = matcher(q.q);
    return sortRows(
      (items ?? []).filter((n) => inNodeState(n, q.state) && fits(textOfNode(n))),
      columns,
      sort,
    );
  }, [items, q.q, q.state, q.sort]);
  return (
    <>
      <h1>Nodes</h1>
      <search class="filters" aria-label="Filters">
        <TextFilter label="Filter" name="q" value={q.q} hint="name, version, feature" now />
        <Choice
          label="State"
          name="state"
          value={q.state}
          options={[
            { value: "", title: "All", count: counts.all },
            { value: "away", title: "No agent", count: counts.away },
            { value: "behind", title: "Not programmed", count: counts.behind },
            { value: "older", title: "Older agent", count: counts.older },
          ]}
        />
      </search>
      <Notes of={answer} />
      {!items && !answer.error && <Waiting />}
      {items && (
        <>
          <p class="unseen" aria-live="polite">
            {plural(rows.length, "node")} shown
          </p>
          <Table
            label="Nodes"
            rows={rows}
            columns={columns}
            id={(n) => n.node}
            sort={sort}
            onSort={(s) => setQuery({ sort: s })}
            most={Math.max(8, Math.floor((innerHeight - 230) / 34))}
            tone={(n) => (nodeState(n) === "away" ? "row-bad" : undefined)}
            empty={items.length === 0 ? "No node has an agent, or pods that policies govern." : "No node fits the filters."}
          />
        </>
      )}
    </>
  );
}
