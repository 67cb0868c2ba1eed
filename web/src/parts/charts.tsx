// How calls fared over time: success, calls, latency, and the same as a table.

import { useState } from "preact/hooks";
import { toneOf } from "../data/changes.ts";
import type { Change, Series } from "../data/model.ts";
import { columnsOf, floorOf, latest, lowest } from "../data/series.ts";
import { count, percent, rate } from "../format/numbers.ts";
import { clock, latency, parse } from "../format/time.ts";
import { Plot } from "./plot.tsx";
import { type Column, Table } from "./table.tsx";

interface Props {
  series: Series;
  changes?: readonly Change[];
  /** Only the chart of success. */
  brief?: boolean;
}

const mostMarks = 24;
const markColours = { bad: "bad", warn: "warn", good: "good", plain: "faint" } as const;

interface Step {
  at: number;
  calls: number;
  share: number | undefined;
  retries: number;
  p50: number | undefined;
  p99: number | undefined;
}

const stepColumns: Column<Step>[] = [
  { key: "at", title: "Time", cell: (s) => clock(s.at) },
  { key: "calls", title: "Calls", number: true, cell: (s) => count(s.calls) },
  { key: "success", title: "Success", number: true, cell: (s) => (s.share === undefined ? "–" : percent(s.share)) },
  { key: "retries", title: "Retries", number: true, cell: (s) => count(s.retries) },
  { key: "p50", title: "P50", number: true, cell: (s) => latency(s.p50) },
  { key: "p99", title: "P99", number: true, cell: (s) => latency(s.p99) },
];

function stepsOf(series: Series): Step[] {
  const from = Date.parse(series.from);
  return series.points
    .map((p, i) => ({
      at: from + i * series.stepSeconds * 1000,
      calls: p.calls,
      share: p.calls > 0 ? p.successes / p.calls : undefined,
      retries: p.retries ?? 0,
      p50: p.p50Seconds,
      p99: p.p99Seconds,
    }))
    .reverse();
}

/** worthMarking are the changes that the charts mark: where there are many, those for the worse alone, and none where these are many. */
function worthMarking(changes: readonly Change[]): readonly Change[] {
  if (changes.length <= mostMarks) return changes;
  const bad = changes.filter((c) => toneOf(c.kind) === "bad");
  return bad.length <= mostMarks ? bad : [];
}

const show = (v: number | undefined, of: (n: number) => string) => (v === undefined ? "none" : of(v));
const showPercent = (v: number) => `${Number(v.toFixed(2))}%`;

export function Charts({ series, changes = [], brief }: Props) {
  const c = columnsOf(series);
  const range: [number, number] = [Date.parse(series.from) / 1000, Date.parse(series.to) / 1000];
  const least = lowest(c.success);
  const marks = worthMarking(changes).flatMap((change) => {
    const ms = parse(change.at);
    return ms === undefined ? [] : [{ at: ms / 1000, colour: markColours[toneOf(change.kind)] }];
  });
  const successSummary = least
    ? `Success: ${show(latest(c.success), showPercent)} at last, at least ${showPercent(least.value)} at ${clock((c.at[least.index] ?? 0) * 1000)}`
    : "Success: no calls";
  const common = { at: c.at, range, marks };
  return (
    <div class={brief ? "charts brief" : "charts"}>
      <Plot
        {...common}
        title="Success"
        summary={successSummary}
        floor={floorOf(c.success)}
        ceiling={100}
        show={showPercent}
        lines={[{ title: "Success", values: c.success, colour: "accent", fill: true }]}
      />
      {!brief && (
        <>
          <Plot
            {...common}
            title="Calls per second"
            summary={`Calls per second: ${show(latest(c.calls), rate)} at last, of which ${show(latest(c.failed), rate)} failed; ${show(latest(c.retries), rate)} retries`}
            show={rate}
            lines={[
              { title: "Calls", values: c.calls, colour: "accent", fill: true },
              { title: "Failed", values: c.failed, colour: "bad", fill: true },
              { title: "Retries", values: c.retries, colour: "warn", dash: true },
            ]}
          />
          <Plot
            {...common}
            title="Latency"
            summary={`Latency: P50 ${latency(latest(c.p50))} at last, P99 ${latency(latest(c.p99))}`}
            show={(s) => (s === 0 ? "0" : latency(s))}
            lines={[
              { title: "P99", values: c.p99, colour: "accent" },
              { title: "P50", values: c.p50, colour: "faint" },
            ]}
          />
        </>
      )}
      <Figures series={series} />
    </div>
  );
}

function Figures({ series }: { series: Series }) {
  const [open, setOpen] = useState(false);
  return (
    <details class="figures" onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary>Figures as a table</summary>
      {open && (
        <Table
          label="Calls over time"
          rows={stepsOf(series)}
          columns={stepColumns}
          id={(s) => String(s.at)}
          most={10}
          empty="There are no figures."
        />
      )}
    </details>
  );
}
