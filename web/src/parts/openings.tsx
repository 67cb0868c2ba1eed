// When breakers of a destination were open and endpoints of its policies were kept out, on the time that the page is about: as bars, and as a list.

import { type Span, spansOf } from "../data/changes.ts";
import { now } from "../data/live.ts";
import type { Change } from "../data/model.ts";
import { ago, duration, parse, when } from "../format/time.ts";
import { linkTo } from "./location.ts";
import { Section } from "./section.tsx";
import { type Column, Table } from "./table.tsx";
import { Timeline } from "./timeline.tsx";

const at = (ms: number | undefined) => (ms === undefined ? undefined : new Date(ms).toISOString());

function Since({ of: s }: { of: Span }) {
  const time = at(s.beganAt);
  if (!time) return <>before</>;
  return (
    <time dateTime={time}>
      {when(time, now.value)} <span class="faint">{ago(time, now.value)}</span>
    </time>
  );
}

function took(s: Span): string {
  if (s.beganAt === undefined) return "–";
  return duration(Math.max(0, ((s.endedAt ?? now.value) - s.beganAt) / 1000));
}

const columns: Column<Span>[] = [
  {
    key: "kind",
    title: "What",
    width: 160,
    small: 110,
    cell: (s) => (
      <span class={`value ${s.kind === "open" ? "bad" : "warn"}`}>{s.kind === "open" ? "Breaker open" : "Endpoints ejected"}</span>
    ),
  },
  { key: "from", title: "From", width: 150, small: 84, cell: (s) => <Since of={s} /> },
  { key: "to", title: "Until", width: 90, small: 72, cell: (s) => (s.endedAt === undefined ? "goes on" : when(at(s.endedAt), now.value)) },
  { key: "took", title: "For", width: 72, small: 56, number: true, cell: took },
  { key: "target", title: "Target", part: 2, only: "medium", cell: (s) => s.target || "–" },
  { key: "policy", title: "Policy", part: 2, only: "medium", cell: (s) => <a href={linkTo("policy", s.policy)}>{s.policy}</a> },
];

export function Openings({ changes, from, to }: { changes: readonly Change[]; from: string; to: string }) {
  const spans = spansOf(changes, parse(from) ?? 0, parse(to) ?? 0).reverse();
  if (spans.length === 0) return null;
  return (
    <Section title="Breaker timeline" more={<span class="faint">of the targets that its calls are under</span>}>
      <Timeline changes={changes} from={from} to={to} only="breakers" times />
      <Table
        label="When breakers were open"
        rows={spans}
        columns={columns}
        id={(s) => `${s.kind} ${s.policy} ${s.target} ${s.from} ${s.to}`}
        most={6}
        tone={(s) => (s.goesOn && s.kind === "open" ? "row-bad" : undefined)}
        empty=""
      />
    </Section>
  );
}
