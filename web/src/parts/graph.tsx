// The graph of who calls what. Its table is the list of flows below it.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Bad, type Health, Idle, Warning } from "../data/flows.ts";
import { type GraphEdge, type GraphNode, graphOf, nameOf } from "../data/graph.ts";
import { layout, nodeHeight, nodeWidth, type Placed } from "../data/layout.ts";
import type { Flow } from "../data/model.ts";
import { destinationHref, workloadHref } from "../data/route.ts";
import { percent, plural, rate, success } from "../format/numbers.ts";
import { since } from "./location.ts";

const tone = (h: Health) => (h === Bad ? "bad" : h === Warning ? "warn" : h === Idle ? "plain" : "good");

function words(e: GraphEdge): string {
  const share = success(e);
  const all = [`${nameOf(e.from)} calls ${nameOf(e.to)}: ${rate(e.perSecond)} per second`];
  if (share !== undefined) all.push(`success ${percent(share)}`);
  if (e.retries > 0) all.push(plural(e.retries, "retry", "retries"));
  if (e.breaker && e.breaker !== "closed") all.push(`breaker ${e.breaker.replace("_", "-")}`);
  return all.join(", ");
}

function hrefOfNode(n: GraphNode): string {
  if (n.side === "callee") return destinationHref(nameOf(n.id), since.value);
  const name = nameOf(n.id);
  const slash = name.indexOf("/");
  return workloadHref(name.slice(0, slash), name.slice(slash + 1), since.value);
}

const cut = (s: string, most: number) => (s.length > most ? `${s.slice(0, most - 1)}…` : s);

function Node({ placed, dim, onPoint }: { placed: Placed; dim: boolean; onPoint: (id: string | undefined) => void }) {
  const { node, x, y } = placed;
  const sign = node.health === Bad ? "✕ " : node.health === Warning ? "! " : "";
  const breaker = node.breaker && node.breaker !== "closed" ? ` · breaker ${node.breaker.replace("_", "-")}` : "";
  return (
    <a
      href={hrefOfNode(node)}
      class={`node ${tone(node.health)}${dim ? " dim" : ""}`}
      onMouseEnter={() => onPoint(node.id)}
      onMouseLeave={() => onPoint(undefined)}
      onFocus={() => onPoint(node.id)}
      onBlur={() => onPoint(undefined)}
    >
      <title>{nameOf(node.id)}</title>
      <rect x={x + 0.5} y={y + 0.5} width={nodeWidth - 1} height={nodeHeight - 1} rx="5" />
      <rect class="strip" x={node.side === "caller" ? x + nodeWidth - 4 : x + 1} y={y + 1} width="3" height={nodeHeight - 2} rx="1" />
      <text x={x + 11} y={y + 16} class="name">
        {sign + cut(node.name, 26)}
      </text>
      <text x={x + 11} y={y + 30} class="context">
        {cut(node.context + breaker, 30)}
      </text>
      <text x={x + nodeWidth - 10} y={y + 30} class="figure" text-anchor="end">
        {rate(node.perSecond)}/s
      </text>
    </a>
  );
}

const widthOf = (e: GraphEdge) => Math.min(6, 1 + Math.log10(1 + e.perSecond) * 1.2);

/** useWidth follows the width of an element. */
function useWidth(unless: number) {
  const ref = useRef<HTMLDivElement>(null);
  const [width, set] = useState(unless);
  useEffect(() => {
    const el = ref.current;
    if (!el) return;
    const resized = new ResizeObserver(() => set(Math.round(el.clientWidth)));
    resized.observe(el);
    return () => resized.disconnect();
  }, []);
  return [ref, Math.max(620, width)] as const;
}

export function Graph({ flows, most }: { flows: readonly Flow[]; most: number }) {
  const [box, width] = useWidth(1000);
  const graph = useMemo(() => graphOf(flows, most), [flows, most]);
  const placed = useMemo(() => layout(graph, width), [graph, width]);
  const [pointed, setPointed] = useState<string>();
  const near = useMemo(() => {
    if (!pointed) return undefined;
    const ids = new Set([pointed]);
    for (const e of graph.edges) {
      if (e.from === pointed) ids.add(e.to);
      if (e.to === pointed) ids.add(e.from);
    }
    return ids;
  }, [graph, pointed]);
  const touches = (e: GraphEdge) => e.from === pointed || e.to === pointed;
  const sides = [...placed.nodes].sort((a, b) => a.x - b.x || a.y - b.y);
  return (
    <div class="graph" tabIndex={0} role="region" aria-label="Graph of who calls what; the list of flows has the same">
      <div ref={box}>
        <svg
          width={width}
          height={placed.height}
          viewBox={`0 0 ${width} ${placed.height}`}
          role="group"
          aria-label={`${graph.edges.length} flows`}
        >
          <g aria-hidden="true">
            {placed.lines.map((l) => (
              <path
                key={`${l.edge.from} ${l.edge.to}`}
                d={l.path}
                class={`edge ${tone(l.edge.health)}${pointed && !touches(l.edge) ? " dim" : ""}`}
                stroke-width={widthOf(l.edge)}
                stroke-dasharray={l.edge.breaker === "open" ? "6 4" : undefined}
              >
                <title>{words(l.edge)}</title>
              </path>
            ))}
          </g>
          {sides.map((p) => (
            <Node key={p.node.id} placed={p} dim={near !== undefined && !near.has(p.node.id)} onPoint={setPointed} />
          ))}
        </svg>
      </div>
    </div>
  );
}
