// Changes: what kind of thing each is, and when breakers were open.

import { parse } from "../format/time.ts";
import type { Change } from "./model.ts";

export type Lane = "policies" | "breakers" | "rollouts" | "agents" | "other";

export const lanes: readonly { lane: Lane; title: string }[] = [
  { lane: "policies", title: "Policies" },
  { lane: "breakers", title: "Breakers" },
  { lane: "rollouts", title: "Rollouts" },
  { lane: "agents", title: "Agents" },
  { lane: "other", title: "Other" },
];

const laneOfKind: Record<string, Lane> = {
  PolicyChanged: "policies",
  PolicyDeleted: "policies",
  PolicyRefused: "policies",
  Programmed: "policies",
  PartiallyEnforced: "policies",
  FaultsStarted: "policies",
  FaultsEnded: "policies",
  BreakerOpened: "breakers",
  BreakerClosed: "breakers",
  BreakerGone: "breakers",
  BreakerForced: "breakers",
  BreakerReleased: "breakers",
  EndpointsEjected: "breakers",
  EndpointsReturned: "breakers",
  RolloutStarted: "rollouts",
  RolloutFinished: "rollouts",
  RolledBack: "rollouts",
  AgentConnected: "agents",
  AgentGone: "agents",
  NodesFailing: "agents",
  CaptureNotice: "agents",
  DryRunBreakerOpened: "other",
  DryRunDiffers: "other",
};

/** kinds are those of all changes that a manager of this version keeps, sorted. */
export const kinds: readonly string[] = Object.keys(laneOfKind).sort();

export function laneOf(kind: string): Lane {
  return laneOfKind[kind] ?? "other";
}

/** noteOf is the note of a change, and who has made it, as far as that is known. */
export function noteOf(c: Change): string {
  const by = c.fieldManager && `by ${c.fieldManager}${c.operation ? ` (${c.operation})` : ""}`;
  return [c.note, by].filter(Boolean).join(", ");
}

export type Tone = "bad" | "warn" | "good" | "plain";

const tones: Record<string, Tone> = {
  BreakerOpened: "bad",
  PolicyRefused: "bad",
  NodesFailing: "bad",
  RolledBack: "bad",
  EgressCAInvalid: "bad",
  AgentGone: "warn",
  EndpointsEjected: "warn",
  BreakerForced: "warn",
  PartiallyEnforced: "warn",
  FaultsStarted: "warn",
  CaptureNotice: "warn",
  EgressCAExpiresSoon: "warn",
  BreakerClosed: "good",
  EndpointsReturned: "good",
  BreakerReleased: "good",
  RolloutFinished: "good",
};

/** toneOf says whether a change is for the worse or the better. */
export function toneOf(kind: string): Tone {
  return tones[kind] ?? "plain";
}

/** A mark on a lane: changes that stand too close together are one. */
export interface Mark {
  /** Where, from 0 to 1. */
  at: number;
  changes: Change[];
  tone: Tone;
}

const worst: Record<Tone, number> = { plain: 0, good: 1, warn: 2, bad: 3 };

/** marksOf places the changes of a lane on a time from..to, joining those that are closer than a share of it. */
export function marksOf(changes: readonly Change[], lane: Lane, from: number, to: number, closer: number): Mark[] {
  const marks: Mark[] = [];
  const placed = changes
    .filter((c) => laneOf(c.kind) === lane)
    .flatMap((change) => {
      const ms = parse(change.at);
      return ms === undefined || ms < from || ms > to ? [] : [{ change, at: to > from ? (ms - from) / (to - from) : 0 }];
    })
    .sort((a, b) => a.at - b.at);
  for (const { change, at } of placed) {
    const last = marks.at(-1);
    const tone = toneOf(change.kind);
    if (last && at - last.at < closer) {
      last.changes.push(change);
      if (worst[tone] > worst[last.tone]) last.tone = tone;
    } else marks.push({ at, changes: [change], tone });
  }
  return marks;
}

/** A time in which something was so: a breaker was open, endpoints were ejected. */
export interface Span {
  /** From 0 to 1. */
  from: number;
  to: number;
  /** In milliseconds; undefined: before what the changes say, or still so. */
  beganAt: number | undefined;
  endedAt: number | undefined;
  policy: string;
  /** Empty where it is about all destinations of the policy. */
  target: string;
  kind: "open" | "ejected";
  /** Its beginning is not among the changes: it was so before. */
  before: boolean;
  /** It is still so, as far as is known. */
  goesOn: boolean;
}

const begins: Record<string, Span["kind"]> = { BreakerOpened: "open", EndpointsEjected: "ejected" };
const ends: Record<string, Span["kind"]> = { BreakerClosed: "open", BreakerGone: "open", EndpointsReturned: "ejected" };

/** spansOf pairs the beginnings and ends of breakers' openings and ejections. */
export function spansOf(changes: readonly Change[], from: number, to: number): Span[] {
  const spans: Span[] = [];
  const open = new Map<string, Span>();
  const place = (ms: number) => Math.max(0, Math.min(1, to > from ? (ms - from) / (to - from) : 0));
  const inOrder = changes
    .flatMap((c) => {
      const ms = parse(c.at);
      return ms === undefined || ms > to ? [] : [{ c, ms }];
    })
    .sort((a, b) => a.ms - b.ms);
  for (const { c, ms } of inOrder) {
    const policy = c.policy ?? "";
    const begun = begins[c.kind];
    const ended = ends[c.kind];
    const target = c.target ?? "";
    const key = `${begun ?? ended} ${policy} ${target}`;
    if (begun && !open.has(key)) {
      open.set(key, { from: place(ms), to: 1, beganAt: ms, endedAt: undefined, policy, target, kind: begun, before: false, goesOn: true });
    } else if (c.kind === "PolicyDeleted") {
      for (const [k, span] of open) {
        if (span.policy !== policy) continue;
        open.delete(k);
        if (ms >= from) spans.push({ ...span, to: place(ms), endedAt: ms, goesOn: false });
      }
    } else if (ended) {
      const span = open.get(key);
      open.delete(key);
      if (ms < from) continue;
      const began = { from: span?.from ?? 0, beganAt: span?.beganAt, before: !span };
      spans.push({ ...began, to: place(ms), endedAt: ms, policy, target, kind: ended, goesOn: false });
    }
  }
  spans.push(...open.values());
  return spans.sort((a, b) => a.from - b.from || a.policy.localeCompare(b.policy) || a.target.localeCompare(b.target));
}

/** latestOf are the spans that ended last, or go on: at most so many. */
export function latestOf(spans: readonly Span[], most: number): Span[] {
  return [...spans].sort((a, b) => b.to - a.to).slice(0, most);
}
