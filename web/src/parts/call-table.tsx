// Calls in one line each, the latest first.

import type { SeenCall } from "../data/tap-state.ts";
import { resultOf, type Verdict, verdict } from "../data/words.ts";
import { clock, duration } from "../format/time.ts";
import { Badge, type Tone } from "./status.tsx";
import { type Column, Table } from "./table.tsx";

const tones: Record<Verdict, Tone> = { ok: "good", recovered: "good", failed: "bad", rejected: "bad", abandoned: "warn" };

export function VerdictBadge({ call }: { call: SeenCall }) {
  const v = verdict(call);
  if (v === "ok") return <span class="faint">ok</span>;
  return (
    <Badge tone={tones[v]} {...(v === "recovered" ? { icon: "retry" as const } : {})}>
      {v}
    </Badge>
  );
}

/** whatOf is what was called: the method, the host and the path, or the address. */
export function whatOf(c: SeenCall): string {
  return `${c.method ?? ""} ${c.host || c.to}${c.path ?? ""}`.trim();
}

const columns: Column<SeenCall>[] = [
  { key: "at", title: "Time", width: 116, cell: (c) => <time dateTime={c.at}>{clock(Date.parse(c.at), true)}</time> },
  { key: "verdict", title: "Call", width: 108, cell: (c) => <VerdictBadge call={c} /> },
  { key: "result", title: "Result", width: 92, cell: (c) => <span title={c.kind}>{resultOf(c)}</span> },
  {
    key: "decision",
    title: "Retry decision",
    width: 116,
    only: "wide",
    cell: (c) => <span class={c.decision === "not_needed" ? "faint" : ""}>{c.decision}</span>,
  },
  { key: "pod", title: "Pod", part: 3, only: "medium", cell: (c) => <span title={`${c.pod} ${c.workload ?? ""}`}>{c.pod}</span> },
  { key: "what", title: "What", part: 5, cell: (c) => <span title={whatOf(c)}>{whatOf(c)}</span> },
  {
    key: "attempts",
    title: "Attempts",
    width: 78,
    number: true,
    only: "medium",
    cell: (c) => <span class={c.attempts > 1 ? "value warn" : "faint"}>{c.attempts}</span>,
  },
  { key: "took", title: "Took", width: 72, number: true, cell: (c) => duration(c.tookSeconds) },
];

const narrowColumns: Column<SeenCall>[] = [
  {
    key: "verdict",
    title: "Call",
    width: 104,
    cell: (c) => (
      <span class="two">
        <VerdictBadge call={c} />
        <time class="faint" dateTime={c.at}>
          {clock(Date.parse(c.at))}
        </time>
      </span>
    ),
  },
  {
    key: "what",
    title: "What, pod",
    cell: (c) => (
      <span class="two" title={whatOf(c)}>
        <span>{whatOf(c)}</span>
        <span class="faint">{c.pod}</span>
      </span>
    ),
  },
  {
    key: "result",
    title: "Result",
    width: 80,
    number: true,
    cell: (c) => (
      <span class="two">
        <span>{resultOf(c)}</span>
        <span class="faint">{duration(c.tookSeconds)}</span>
      </span>
    ),
  },
];

interface Props {
  calls: readonly SeenCall[];
  picked: SeenCall | undefined;
  onPick: (c: SeenCall) => void;
  empty: string;
}

export function CallTable({ calls, picked, onPick, empty }: Props) {
  return (
    <Table
      label="Calls"
      rows={calls}
      columns={columns}
      narrowColumns={narrowColumns}
      id={(c) => String(c.id)}
      onPick={onPick}
      growsAbove
      picked={picked && String(picked.id)}
      rowHeight={30}
      most={Math.max(8, Math.floor((innerHeight - 300) / 30))}
      tone={(c) => {
        const t = tones[verdict(c)];
        return t === "bad" ? "row-bad" : undefined;
      }}
      empty={empty}
    />
  );
}
