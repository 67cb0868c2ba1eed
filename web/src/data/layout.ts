// Where the graph's nodes stand: callers left, destinations right, in an order with few crossings.

import dagre from "@dagrejs/dagre";
import type { Graph, GraphEdge, GraphNode } from "./graph.ts";

export interface Placed {
  node: GraphNode;
  x: number;
  y: number;
}

export interface Line {
  edge: GraphEdge;
  path: string;
}

export interface Layout {
  width: number;
  height: number;
  nodes: Placed[];
  lines: Line[];
}

export const nodeWidth = 232;
export const nodeHeight = 38;
const gap = 10;

/** layout places a graph in a width, of which the edges get what the nodes leave. */
export function layout(graph: Graph, width: number): Layout {
  const g = new dagre.graphlib.Graph();
  // there are two ranks, which the simplest ranker finds, too; the default one fails on some graphs whose weights are no whole numbers
  g.setGraph({ rankdir: "LR", nodesep: gap, ranksep: 100, ranker: "longest-path" });
  g.setDefaultEdgeLabel(() => ({}));
  for (const n of graph.nodes) g.setNode(n.id, { width: nodeWidth, height: nodeHeight });
  for (const e of graph.edges) g.setEdge(e.from, e.to, { weight: 1 + Math.round(Math.log1p(e.perSecond)) });
  dagre.layout(g);
  const order = (side: GraphNode["side"]) =>
    graph.nodes.filter((n) => n.side === side).sort((a, b) => (g.node(a.id)?.y ?? 0) - (g.node(b.id)?.y ?? 0) || a.id.localeCompare(b.id));
  const columns = [order("caller"), order("callee")];
  const rows = Math.max(...columns.map((c) => c.length), 1);
  const height = rows * (nodeHeight + gap) - gap;
  const at = new Map<string, Placed>();
  columns.forEach((column, c) => {
    const step = column.length > 0 ? height / column.length : 0;
    column.forEach((node, i) => {
      at.set(node.id, { node, x: c === 0 ? 0 : width - nodeWidth, y: i * step + (step - nodeHeight) / 2 });
    });
  });
  const lines = graph.edges.flatMap((edge): Line[] => {
    const from = at.get(edge.from);
    const to = at.get(edge.to);
    return from && to ? [{ edge, path: curve(from, to) }] : [];
  });
  return { width, height, nodes: [...at.values()], lines };
}

function curve(from: Placed, to: Placed): string {
  const x1 = from.x + nodeWidth;
  const x2 = to.x;
  const y1 = round(from.y + nodeHeight / 2);
  const y2 = round(to.y + nodeHeight / 2);
  const mid = round((x1 + x2) / 2);
  return `M${x1} ${y1}C${mid} ${y1} ${mid} ${y2} ${x2} ${y2}`;
}

const round = (n: number) => Math.round(n * 10) / 10;
