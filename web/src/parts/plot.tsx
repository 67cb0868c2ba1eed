// One chart, painted by uPlot. A sentence says what it shows to those who do not see it; charts.tsx has its figures as a table.

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { latest } from "../data/series.ts";
import { clock } from "../format/time.ts";
import { dark } from "./theme.ts";

export interface Line {
  title: string;
  values: (number | null)[];
  /** The name of a colour in style/colours.css, without its dashes. */
  colour: string;
  fill?: boolean;
  dash?: boolean;
  /** Drawn as bars. */
  bars?: boolean;
}

interface Props {
  title: string;
  summary: string;
  at: number[];
  lines: Line[];
  /** From and to, in seconds. */
  range: [number, number];
  floor?: number;
  ceiling?: number;
  show: (value: number) => string;
  /** Vertical marks, in seconds, with the names of their colours. */
  marks?: { at: number; colour: string }[];
  height?: number;
}

/** Where the area of values begins and ends, beside which timelines stand. */
export const leftSide = 56;
export const rightSide = 10;

function colourOf(el: Element, name: string): string {
  return getComputedStyle(el).getPropertyValue(`--${name}`).trim();
}

function faded(colour: string): string {
  return /^#[0-9a-f]{6}$/i.test(colour) ? `${colour}26` : colour;
}

const shown = (v: number | null | undefined, show: (n: number) => string) => (v === null || v === undefined ? "–" : show(v));

function seriesOf(el: Element, props: Props): uPlot.Series[] {
  const { bars } = uPlot.paths;
  return props.lines.map((l) => {
    const stroke = colourOf(el, l.colour);
    return {
      label: l.title,
      stroke,
      width: 1.5,
      points: { show: false },
      value: (u: uPlot, v: number | null, line: number, at: number | null) =>
        shown(at === null ? (latest(u.data[line] ?? []) ?? null) : v, props.show),
      ...(l.fill ? { fill: faded(stroke) } : {}),
      ...(l.dash ? { dash: [4, 3] } : {}),
      ...(l.bars && bars ? { paths: bars({ size: [0.7, 40] }), fill: stroke, width: 0 } : {}),
    };
  });
}

function optionsOf(el: HTMLElement, props: Props, current: () => Props): uPlot.Options {
  const axis = {
    stroke: colourOf(el, "faint"),
    grid: { stroke: colourOf(el, "line"), width: 1 },
    ticks: { show: false },
    font: "11px system-ui, sans-serif",
  };
  return {
    width: Math.max(160, el.clientWidth),
    height: props.height ?? 150,
    padding: [8, rightSide, 0, 0],
    cursor: { sync: { key: "charts" }, y: false, points: { size: 6 }, drag: { x: false, y: false } },
    legend: { live: true },
    scales: {
      x: { time: true, range: () => current().range },
      y: {
        range: (_, least, most) => [current().floor ?? Math.min(0, least ?? 0), current().ceiling ?? ((most ?? 0) > 0 ? most * 1.1 : 1)],
      },
    },
    axes: [
      { ...axis, size: 24, space: 70, values: (_, ticks) => ticks.map((t) => clock(t * 1000).slice(0, 5)) },
      { ...axis, size: leftSide, space: 32, values: (_, ticks) => ticks.map((t) => props.show(t)) },
    ],
    series: [{ label: "Time", value: (_, v: number | null) => (v === null ? "" : `at ${clock(v * 1000)}`) }, ...seriesOf(el, props)],
    hooks: { drawAxes: [(u) => drawMarks(u, el, current().marks ?? [])] },
  };
}

function drawMarks(u: uPlot, el: Element, marks: { at: number; colour: string }[]): void {
  u.ctx.save();
  u.ctx.lineWidth = devicePixelRatio;
  for (const m of marks) {
    const x = Math.round(u.valToPos(m.at, "x", true)) + 0.5;
    if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) continue;
    u.ctx.strokeStyle = colourOf(el, m.colour);
    u.ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    u.ctx.beginPath();
    u.ctx.moveTo(x, u.bbox.top);
    u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
    u.ctx.stroke();
  }
  u.ctx.restore();
}

export function Plot(props: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const current = useRef(props);
  current.current = props;
  const isDark = dark.value;
  const data: uPlot.AlignedData = [props.at, ...props.lines.map((l) => l.values)];

  useEffect(() => {
    const el = box.current;
    if (!el) return;
    const u = new uPlot(
      optionsOf(el, current.current, () => current.current),
      data,
      el,
    );
    plot.current = u;
    const resized = new ResizeObserver(() => u.setSize({ width: Math.max(160, el.clientWidth), height: current.current.height ?? 150 }));
    resized.observe(el);
    return () => {
      resized.disconnect();
      u.destroy();
      plot.current = undefined;
    };
  }, [isDark]);

  useEffect(() => {
    plot.current?.setData(data);
  });

  return (
    <figure class="plot" aria-label={props.title}>
      <figcaption>{props.title}</figcaption>
      <div role="img" aria-label={props.summary}>
        <div ref={box} aria-hidden="true" />
      </div>
    </figure>
  );
}
