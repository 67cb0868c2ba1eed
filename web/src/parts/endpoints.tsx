// The endpoints of a destination: those that are kept out first.

import { now } from "../data/live.ts";
import type { Endpoint } from "../data/model.ts";
import { count, percent } from "../format/numbers.ts";
import { ago } from "../format/time.ts";
import { Badge } from "./status.tsx";
import { type Column, Table } from "./table.tsx";

function State({ of: e }: { of: Endpoint }) {
  if (e.ejected)
    return <Badge tone="bad" icon="open">{`ejected${e.ejected < e.nodes ? ` on ${e.ejected} of ${e.nodes} nodes` : ""}`}</Badge>;
  if (e.probed) return <Badge tone="warn" icon="half">{`probed on ${e.probed} of ${e.nodes} nodes`}</Badge>;
  return e.weight < 1 ? <Badge tone="warn">returning</Badge> : <span class="faint">in</span>;
}

const columns: Column<Endpoint>[] = [
  { key: "address", title: "Endpoint", part: 3, cell: (e) => <code>{e.address}</code> },
  { key: "state", title: "State", part: 3, cell: (e) => <State of={e} /> },
  { key: "since", title: "Since", width: 90, only: "medium", cell: (e) => ago(e.since, now.value) },
  { key: "until", title: "Probed", width: 90, only: "medium", cell: (e) => ago(e.until, now.value) },
  {
    key: "weight",
    only: "medium",
    title: "Share",
    width: 120,
    number: true,
    cell: (e) => <Meter share={e.weight} text={percent(e.weight)} />,
  },
  { key: "outstanding", small: 84, title: "Under way", width: 92, number: true, cell: (e) => count(e.outstanding) },
  { key: "ejections", title: "Ejections", width: 86, number: true, only: "medium", cell: (e) => count(e.ejections ?? 0) },
  { key: "nodes", title: "Nodes", width: 70, number: true, only: "wide", cell: (e) => count(e.nodes) },
];

/** Meter shows a share as a bar, beside its figure. */
export function Meter({ share, text, tone }: { share: number; text: string; tone?: string }) {
  return (
    <span class={`meter ${tone ?? ""}`}>
      <span class="meter-box" aria-hidden="true">
        <span class="meter-fill" style={{ width: `${Math.max(0, Math.min(1, share)) * 100}%` }} />
      </span>
      {text}
    </span>
  );
}

const rank = (e: Endpoint) => (e.ejected ? 3 : e.probed ? 2 : e.weight < 1 ? 1 : 0);

export function Endpoints({ of }: { of: readonly Endpoint[] }) {
  const rows = [...of].sort((a, b) => rank(b) - rank(a));
  return (
    <Table
      label="Endpoints"
      rows={rows}
      columns={columns}
      id={(e) => e.address}
      most={12}
      tone={(e) => (e.ejected ? "row-bad" : e.probed ? "row-warn" : undefined)}
      empty="Agents choose no endpoints for it: its address is called as it is, or no call is under way."
    />
  );
}
