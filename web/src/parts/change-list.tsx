// Changes as a list, the latest first.

import { laneOf, noteOf, toneOf } from "../data/changes.ts";
import { now } from "../data/live.ts";
import type { Change } from "../data/model.ts";
import { spaced } from "../data/words.ts";
import { ago, parse, when } from "../format/time.ts";
import { Icon, type IconName } from "./icon.tsx";
import { linkTo } from "./location.ts";
import { type Column, Table } from "./table.tsx";

const icons: Record<string, IconName> = { policies: "policies", breakers: "open", rollouts: "changes", agents: "nodes", other: "idle" };

export const changeId = (c: Change) => `${c.at} ${c.kind} ${c.policy ?? ""} ${c.node ?? ""} ${c.target ?? ""} ${c.note ?? ""}`;

function About({ of: c }: { of: Change }) {
  if (c.policy) return <a href={linkTo("policy", c.policy)}>{c.policy}</a>;
  return c.node ? <a href={linkTo("nodes", "", { q: c.node })}>{c.node}</a> : <span class="faint">–</span>;
}

function Kind({ of: c }: { of: Change }) {
  return (
    <span class={`value ${toneOf(c.kind)}`}>
      <Icon name={icons[laneOf(c.kind)] ?? "idle"} />
      {spaced(c.kind)}
    </span>
  );
}

const narrowColumns: Column<Change>[] = [
  { key: "at", title: "When", width: 84, cell: (c) => <time dateTime={c.at}>{when(c.at, now.value)}</time> },
  {
    key: "kind",
    title: "What",
    cell: (c) => (
      <span class="two" title={noteOf(c)}>
        <Kind of={c} />
        <About of={c} />
      </span>
    ),
  },
];

const columns: Column<Change>[] = [
  {
    key: "at",
    title: "When",
    width: 150,
    cell: (c) => (
      <time dateTime={c.at}>
        {when(c.at, now.value)} <span class="faint">{ago(c.at, Math.max(now.value, parse(c.at) ?? 0))}</span>
      </time>
    ),
  },
  {
    key: "kind",
    title: "What",
    width: 180,
    cell: (c) => <Kind of={c} />,
  },
  {
    key: "about",
    title: "About",
    part: 2,
    only: "medium",
    cell: (c) => <About of={c} />,
  },
  { key: "note", title: "Note", part: 4, cell: (c) => <span title={noteOf(c)}>{noteOf(c)}</span> },
];

export function ChangeList({
  changes,
  most,
  picked,
  onPick,
}: {
  changes: readonly Change[];
  most?: number;
  picked?: string | undefined;
  onPick?: (c: Change) => void;
}) {
  return (
    <Table
      label="Changes"
      rows={changes}
      columns={columns}
      narrowColumns={narrowColumns}
      id={changeId}
      most={most ?? 8}
      picked={picked}
      {...(onPick ? { onPick } : {})}
      empty="Nothing has changed in this time."
    />
  );
}
