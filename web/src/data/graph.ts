// The graph of who calls what: which flows are drawn, and what they come to as nodes and edges. data/layout.ts says where they stand.

import { byTrouble, callee, caller, failing, type Health, healthOf, Idle, worse } from "./flows.ts";
import type { Flow } from "./model.ts";

export interface GraphNode {
  id: string;
  side: "caller" | "callee";
  /** What is shown: the name, and beside it the namespace or what kind of thing it is. */
  name: string;
  context: string;
  perSecond: number;
  health: Health;
  breaker: string;
}

export interface GraphEdge {
  from: string;
  to: string;
  perSecond: number;
  failing: number;
  retries: number;
  calls: number;
  successes: number;
  health: Health;
  breaker: string;
}

export interface Graph {
  nodes: GraphNode[];
  edges: GraphEdge[];
  /** How many pairs of caller and destination are not drawn. */
  leftOut: number;
}

const worst = (a: Health, b: Health): Health => {
  if (a === Idle || b === Idle) return a === Idle ? b : a;
  return a > b ? a : b;
};

/** place splits a destination into its name and where it is: the namespace of a Service, else nothing. */
export function place(destination: string): { name: string; context: string } {
  const slash = destination.indexOf("/");
  const block = /^[0-9a-f.:[\]]+\/\d+/.test(destination);
  if (slash < 0 || block) return { name: destination, context: "" };
  return { name: destination.slice(slash + 1), context: destination.slice(0, slash) };
}

function edgesOf(flows: readonly Flow[]): Map<string, { edge: GraphEdge; flow: Flow }> {
  const edges = new Map<string, { edge: GraphEdge; flow: Flow }>();
  for (const f of flows) {
    const from = caller(f);
    const to = callee(f);
    if (!from || !to) continue;
    const key = `${from}\n${to}`;
    let e = edges.get(key)?.edge;
    if (!e) {
      e = {
        from: `caller:${from}`,
        to: `callee:${to}`,
        perSecond: 0,
        failing: 0,
        retries: 0,
        calls: 0,
        successes: 0,
        health: Idle,
        breaker: "",
      };
      edges.set(key, { edge: e, flow: f });
    }
    e.perSecond += f.perSecond;
    e.failing += failing(f);
    e.retries += f.retries;
    e.calls += f.calls;
    e.successes += f.successes;
    e.breaker = worse(e.breaker, f.breaker);
  }
  for (const { edge } of edges.values()) edge.health = healthOf(edge);
  return edges;
}

/**
 * chosen are the pairs that are drawn: the worst, as half of them; then who else calls what these call, for that is who suffers or
 * causes it; then the rest, the worst and the busiest first.
 */
function chosen(all: readonly { edge: GraphEdge; flow: Flow }[], most: number): { edge: GraphEdge; flow: Flow }[] {
  const seeds = all.slice(0, Math.ceil(most / 2));
  const called = new Set(seeds.map((s) => s.edge.to));
  const others = all.slice(seeds.length);
  const beside = others.filter((o) => called.has(o.edge.to));
  return [...seeds, ...beside, ...others.filter((o) => !called.has(o.edge.to))].slice(0, most);
}

/** graphOf draws at most so many pairs of caller and destination. What is wrong is always among them. */
export function graphOf(flows: readonly Flow[], most: number): Graph {
  const all = [...edgesOf(flows).values()].sort((a, b) => byTrouble({ ...a.flow, ...a.edge }, { ...b.flow, ...b.edge }));
  const drawn = chosen(all, most);
  const nodes = new Map<string, GraphNode>();
  const meet = (id: string, side: GraphNode["side"], name: string, context: string, e: GraphEdge) => {
    let n = nodes.get(id);
    if (!n) {
      n = { id, side, name, context, perSecond: 0, health: Idle, breaker: "" };
      nodes.set(id, n);
    }
    n.perSecond += e.perSecond;
    n.health = worst(n.health, e.health);
    if (side === "callee") n.breaker = worse(n.breaker, e.breaker);
  };
  for (const { edge, flow } of drawn) {
    meet(edge.from, "caller", flow.workload || "unknown workload", flow.namespace ?? "", edge);
    const to = place(callee(flow));
    meet(edge.to, "callee", to.name, to.context || (flow.service ? `Service ${flow.service}` : (flow.protocol ?? "")), edge);
  }
  return { nodes: [...nodes.values()], edges: drawn.map((d) => d.edge), leftOut: all.length - drawn.length };
}

/** nameOf is what a node's id stands for. */
export function nameOf(id: string): string {
  return id.slice(id.indexOf(":") + 1);
}
