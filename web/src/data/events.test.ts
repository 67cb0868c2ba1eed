import assert from "node:assert/strict";
import { test } from "node:test";
import { laneOf, latestOf, marksOf, noteOf, spansOf, toneOf } from "./changes.ts";
import { notYet, reduce, retryAfter } from "./live-state.ts";
import type { Call, Change, Series, TapLine } from "./model.ts";
import { columnsOf, floorOf, latest, lowest } from "./series.ts";
import { addDropped, addLines, cleared, mostCalls, noCalls, textOf } from "./tap-state.ts";
import { decisionOf, goodAttempt, resultOf, spaced, verdict } from "./words.ts";

test("a topic ticks when its version differs, and not with the first word of it", () => {
  let l = reduce(notYet(0), { kind: "hello", versions: { traffic: 4, policies: 1 }, at: 1 });
  assert.equal(l.state, "live");
  assert.deepEqual([l.ticks.traffic, l.ticks.policies], [0, 0]);
  l = reduce(l, { kind: "changed", versions: { traffic: 5 }, at: 2 });
  assert.deepEqual([l.ticks.traffic, l.ticks.policies, l.since], [1, 0, 1]);
  l = reduce(l, { kind: "changed", versions: { traffic: 5 }, at: 3 });
  assert.equal(l.ticks.traffic, 1);
});

test("after a break everything ticks, for what was missed is not known", () => {
  let l = reduce(notYet(0), { kind: "hello", versions: { traffic: 4, policies: 1 }, at: 1 });
  l = reduce(l, { kind: "failed", at: 5 });
  l = reduce(l, { kind: "failed", at: 9 });
  assert.deepEqual([l.state, l.since, l.failures], ["lost", 5, 2]);
  l = reduce(l, { kind: "hello", versions: { traffic: 1, policies: 1 }, at: 12 });
  assert.deepEqual([l.state, l.since, l.failures], ["live", 12, 0]);
  assert.deepEqual([l.ticks.traffic, l.ticks.policies, l.ticks.nodes], [1, 1, 1]);
});

test("the state before is not changed", () => {
  const before = Object.freeze({ ...notYet(0), ticks: Object.freeze({ ...notYet(0).ticks }) });
  reduce(before, { kind: "changed", versions: { traffic: 1 }, at: 1 });
  assert.equal(before.ticks.traffic, 0);
});

test("a connection is made again later and later, within half a minute", () => {
  assert.deepEqual([0, 1, 2, 3, 6, 60].map(retryAfter), [1000, 1000, 2000, 4000, 30_000, 30_000]);
});

const call = (c: Partial<Call>): Call => ({
  pod: "shop/checkout-1",
  policy: "shop/payments",
  target: "t",
  to: "10.0.0.1:80",
  kind: "response",
  decision: "not_needed",
  headSeconds: 0.1,
  tookSeconds: 0.2,
  attempts: 1,
  status: 200,
  ...c,
});
const line = (c: Partial<Call>): TapLine => ({ at: "2026-11-27T12:00:00Z", node: "n", call: call(c) });

test("a tap has the latest calls first, and counts", () => {
  let t = addLines(noCalls, [
    line({ path: "/1" }),
    line({ path: "/2", decision: "budget", status: 503 }),
    line({ path: "/3", decision: "recovered", attempts: 2 }),
  ]);
  assert.deepEqual(
    t.calls.map((c) => c.path),
    ["/3", "/2", "/1"],
  );
  assert.deepEqual([t.seen, t.failed, t.retried], [3, 1, 1]);
  t = addLines(t, [{ at: "", node: "n", dropped: 7 }, line({ path: "/4" })]);
  assert.deepEqual([t.calls[0]?.path, t.dropped, t.seen], ["/4", 7, 4]);
  assert.equal(new Set(t.calls.map((c) => c.id)).size, 4);
  assert.equal(addDropped(t, 3).dropped, 10);
});

test("a tap is bounded", () => {
  const t = addLines(
    noCalls,
    Array.from({ length: mostCalls + 50 }, (_, i) => line({ path: `/${i}` })),
  );
  assert.equal(t.calls.length, mostCalls);
  assert.equal(t.calls[0]?.path, `/${mostCalls + 49}`);
  assert.equal(t.seen, mostCalls + 50);
});

test("what cannot be read stays when the calls are cleared", () => {
  const t = cleared({ ...addLines(noCalls, [line({})]), trouble: ["pod x: no"], state: "live" });
  assert.deepEqual(t, { ...noCalls, trouble: ["pod x: no"], state: "live" });
});

test("how a call ended follows from its retry decision", () => {
  const table: [Partial<Call>, string][] = [
    [{}, "ok"],
    [{ truncated: true }, "failed"],
    [{ decision: "recovered" }, "recovered"],
    [{ decision: "method", status: 502 }, "failed"],
    [{ decision: "refused", kind: "circuit_open" }, "rejected"],
    [{ decision: "abandoned", kind: "client_gone" }, "abandoned"],
  ];
  for (const [c, want] of table) assert.equal(verdict(call(c)), want);
});

test("every retry decision has its sentence, and an unknown one its name", () => {
  for (const decision of [
    "not_needed",
    "recovered",
    "method",
    "not_retryable",
    "already_retried",
    "budget",
    "deadline",
    "body",
    "exhausted",
    "refused",
    "abandoned",
  ]) {
    assert.match(decisionOf(call({ decision })).why, /\.$/, decision);
    assert.doesNotMatch(decisionOf(call({ decision })).why, /^Retry decision/, decision);
  }
  assert.match(decisionOf(call({ decision: "new_one" })).why, /new_one/);
  assert.match(decisionOf(call({ decision: "refused", kind: "circuit_open" })).why, /circuit breaker is open/);
});

test("a result is the status of gRPC, else of HTTP, else the kind", () => {
  assert.equal(resultOf(call({ grpcStatus: "UNAVAILABLE" })), "UNAVAILABLE");
  assert.equal(resultOf(call({})), "200");
  const { status: _, ...none } = call({ kind: "reset" });
  assert.equal(resultOf(none), "reset");
  assert.equal(resultOf({ ...none, kind: "response" }), "connected");
  assert.deepEqual(["200", "302", "OK", "404", "503", "reset", "UNAVAILABLE"].map(goodAttempt), [
    true,
    true,
    true,
    false,
    false,
    false,
    false,
  ]);
});

test("a filter of calls sees all that is shown", () => {
  const text = textOf({ ...call({ method: "POST", host: "h", path: "/p", detail: "no answer" }), id: 1, at: "", node: "node-7" });
  for (const part of ["POST", "/p", "no answer", "node-7", "shop/payments", "200"]) assert.ok(text.includes(part), part);
});

test("reasons are written in words", () => {
  assert.equal(spaced("BreakerOpened"), "Breaker opened");
  assert.equal(spaced("PartiallyEnforced"), "Partially enforced");
  assert.equal(spaced("EgressCAExpiresSoon"), "Egress CA expires soon");
});

const at = (s: number) => new Date(s * 1000).toISOString();
const change = (s: number, kind: string, policy = "p"): Change => ({ at: at(s), kind, policy });

test("changes have a lane, and stand where their time is", () => {
  assert.equal(laneOf("BreakerOpened"), "breakers");
  assert.equal(laneOf("SomethingNew"), "other");
  assert.equal(toneOf("RolledBack"), "bad");
  const marks = marksOf(
    [
      change(175, "BreakerClosed"),
      change(150, "BreakerOpened"),
      change(151, "BreakerClosed"),
      change(50, "BreakerOpened"),
      change(160, "AgentGone"),
    ],
    "breakers",
    100_000,
    200_000,
    0.05,
  );
  assert.deepEqual(
    marks.map((m) => [m.at, m.changes.length, m.tone]),
    [
      [0.5, 2, "bad"],
      [0.75, 1, "good"],
    ],
  );
});

test("openings and closings are spans, also where one of both is not known", () => {
  const spans = spansOf(
    [
      change(150, "BreakerOpened"),
      change(175, "BreakerClosed"),
      change(125, "BreakerClosed", "before"),
      change(190, "EndpointsEjected", "still"),
      change(50, "BreakerOpened", "long"),
      change(60, "BreakerClosed", "long"),
    ],
    100_000,
    200_000,
  );
  assert.deepEqual(
    spans.map((s) => [s.policy, s.kind, s.from, s.to, s.before, s.goesOn]),
    [
      ["before", "open", 0, 0.25, true, false],
      ["p", "open", 0.5, 0.75, false, false],
      ["still", "ejected", 0.9, 1, false, true],
    ],
  );
});

test("openings of the destinations of one policy are spans of their own", () => {
  const spans = spansOf(
    [
      { ...change(110, "BreakerOpened"), target: "host a" },
      { ...change(120, "BreakerOpened"), target: "host b" },
      { ...change(130, "BreakerClosed"), target: "host a" },
    ],
    100_000,
    200_000,
  );
  assert.deepEqual(
    spans.map((s) => [s.target, s.beganAt, s.endedAt, s.goesOn]),
    [
      ["host a", 110_000, 130_000, false],
      ["host b", 120_000, undefined, true],
    ],
  );
});

test("what was open under a policy ends when that is deleted", () => {
  const changes = [
    change(110, "BreakerOpened"),
    change(120, "BreakerOpened", "other"),
    change(130, "PolicyDeleted"),
    { ...change(140, "BreakerOpened"), target: "made anew" },
  ];
  assert.deepEqual(
    spansOf(changes, 100_000, 200_000).map((s) => [s.policy, s.target, s.endedAt, s.goesOn]),
    [
      ["p", "", 130_000, false],
      ["other", "", undefined, true],
      ["p", "made anew", undefined, true],
    ],
  );
});

test("what was open ends when its breaker is removed", () => {
  const spans = spansOf([change(110, "BreakerOpened"), change(130, "PolicyChanged"), change(131, "BreakerGone")], 100_000, 200_000);
  assert.deepEqual(
    spans.map((s) => [s.kind, s.beganAt, s.endedAt, s.goesOn]),
    [["open", 110_000, 131_000, false]],
  );
  assert.equal(laneOf("BreakerGone"), "breakers");
});

test("a change says who has made it, where that is known", () => {
  const edited = { ...change(1, "PolicyChanged"), note: "its spec was edited" };
  assert.equal(noteOf(edited), "its spec was edited");
  assert.equal(noteOf({ ...edited, fieldManager: "kubectl-edit", operation: "Update" }), "its spec was edited, by kubectl-edit (Update)");
  assert.equal(noteOf({ ...edited, fieldManager: "old" }), "its spec was edited, by old");
  assert.equal(noteOf(change(1, "AgentGone")), "");
});

test("of many spans the latest are shown, and those that go on", () => {
  const many = [change(101, "BreakerOpened", "long")];
  for (let i = 0; i < 80; i++) many.push(change(102 + i, "BreakerOpened"), change(102.5 + i, "BreakerClosed"));
  const shown = latestOf(spansOf(many, 100_000, 200_000), 60);
  assert.equal(shown.length, 60);
  assert.ok(
    shown.some((s) => s.policy === "long") && shown.some((s) => s.beganAt === 181_000) && !shown.some((s) => s.beganAt === 102_000),
  );
});

test("a series has gaps where there were no calls, and its last step may be shorter", () => {
  const series: Series = {
    from: at(100),
    to: at(125),
    stepSeconds: 10,
    points: [
      { calls: 10, successes: 9, retries: 2, p50Seconds: 0.1, p99Seconds: 0.5 },
      { calls: 0, successes: 0 },
      { calls: 5, successes: 5 },
    ],
  };
  const c = columnsOf(series);
  assert.deepEqual(c.at, [105, 115, 122.5]);
  assert.deepEqual(c.success, [90, null, 100]);
  assert.deepEqual(c.calls, [1, 0, 1]);
  assert.deepEqual(c.failed, [0.1, 0, 0]);
  assert.deepEqual(c.p99, [0.5, null, null]);
  assert.deepEqual(columnsOf(undefined).at, []);
  assert.deepEqual(lowest(c.success), { value: 90, index: 0 });
  assert.equal(latest(c.success), 100);
  assert.equal(lowest([null]), undefined);
});

test("the axis of success begins where noise does not look like an outage", () => {
  assert.equal(floorOf([100, null, 99.8]), 99);
  assert.equal(floorOf([97]), 95);
  assert.equal(floorOf([80]), 75);
  assert.equal(floorOf([20]), 0);
  assert.equal(floorOf([]), 99);
});
