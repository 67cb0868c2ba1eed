// Lists of nodes: their states and filters.

import type { NodeRow } from "./model.ts";

export type NodeState = "away" | "behind" | "older" | "upgrading" | "well";

/** nodeState is the worst that can be said of a node. */
export function nodeState(n: NodeRow): NodeState {
  if (n.agents.length === 0) return "away";
  if (n.notProgrammed) return "behind";
  if (n.agents.some((a) => a.missing?.length)) return "older";
  return n.agents.length > 1 ? "upgrading" : "well";
}

/** inNodeState says whether a node is in a list that shows one kind of them. */
export function inNodeState(n: NodeRow, state: string | undefined): boolean {
  return !state || nodeState(n) === state;
}

export function countNodes(items: readonly NodeRow[]): Record<NodeState | "all", number> {
  const n = { all: items.length, away: 0, behind: 0, older: 0, upgrading: 0, well: 0 };
  for (const item of items) n[nodeState(item)]++;
  return n;
}

/** versionsOf are those of a node's agents, each once. */
export function versionsOf(n: NodeRow): string[] {
  return [...new Set(n.agents.flatMap((a) => (a.version ? [a.version] : [])))];
}

/** textOfNode is what a filter looks at. */
export function textOfNode(n: NodeRow): string {
  return [n.node, ...versionsOf(n), ...n.agents.flatMap((a) => a.missing ?? [])].join(" ");
}
