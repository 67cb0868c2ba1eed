// The state of the stream that says what has changed, as a reducer: the pages' part in data/live.ts feeds it.

import type { Topic, Versions } from "./model.ts";

export interface Live {
  /** connecting: none was made yet. live: changes arrive. lost: it broke, and is made again. */
  state: "connecting" | "live" | "lost";
  /** When the state began, in milliseconds. */
  since: number;
  /** How often it failed in a row. */
  failures: number;
  /** What the server has said last about each topic. */
  versions: Versions;
  /** Counts for each topic how often it has changed, as far as is known: pages ask anew where it differs. */
  ticks: Record<Topic, number>;
}

export type LiveEvent =
  | { kind: "hello"; versions: Versions; at: number }
  | { kind: "changed"; versions: Versions; at: number }
  | { kind: "failed"; at: number };

const topics: readonly Topic[] = ["traffic", "policies", "nodes", "changes", "problems"];

export const notYet = (at: number): Live => ({
  state: "connecting",
  since: at,
  failures: 0,
  versions: {},
  ticks: { traffic: 0, policies: 0, nodes: 0, changes: 0, problems: 0 },
});

/** reduce returns the state after an event. A server that was started anew counts from the beginning, so every difference is a change. */
export function reduce(live: Live, event: LiveEvent): Live {
  if (event.kind === "failed") {
    return { ...live, state: "lost", since: live.state === "lost" ? live.since : event.at, failures: live.failures + 1 };
  }
  const ticks = { ...live.ticks };
  for (const t of topics) {
    const v = event.versions[t];
    const known = live.versions[t];
    // what was missed while there was no connection is not known
    const missed = live.state === "lost";
    if (missed || (v !== undefined && v !== known && !(event.kind === "hello" && known === undefined))) ticks[t]++;
  }
  const versions = event.kind === "hello" ? event.versions : { ...live.versions, ...event.versions };
  return { state: "live", since: live.state === "live" ? live.since : event.at, failures: 0, versions, ticks };
}

/** retryAfter is how many milliseconds to wait before the connection is made again: a second at first, half a minute at most. */
export function retryAfter(failures: number): number {
  return Math.min(30_000, 1000 * 2 ** Math.max(0, failures - 1));
}
