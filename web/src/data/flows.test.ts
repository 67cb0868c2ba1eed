import assert from "node:assert/strict";
import { test } from "node:test";
import { byState, countBreakers, stateOf } from "./breakers.ts";
import { Bad, byDestination, byTrouble, failing, healthOf, Idle, Warning, Well } from "./flows.ts";
import { graphOf, nameOf, place } from "./graph.ts";
import { layout, nodeHeight, nodeWidth } from "./layout.ts";
import type { Flow, NodeBreaker } from "./model.ts";

const flow = (f: Partial<Flow>): Flow => ({
  namespace: "shop",
  workload: "checkout",
  destination: "billing/payments:80",
  calls: 100,
  successes: 100,
  perSecond: 10,
  retries: 0,
  ...f,
});

test("calls are judged by success and by the breaker", () => {
  assert.equal(healthOf(flow({})), Well);
  assert.equal(healthOf(flow({ calls: 0, successes: 0 })), Idle);
  assert.equal(healthOf(flow({ successes: 98 })), Warning);
  assert.equal(healthOf(flow({ successes: 94 })), Bad);
  assert.equal(healthOf(flow({ breaker: "open" })), Bad);
  assert.equal(healthOf(flow({ breaker: "half_open" })), Warning);
  assert.equal(healthOf(flow({ calls: 0, successes: 0, breaker: "open" })), Bad);
});

test("what fails is a share of the rate", () => {
  assert.equal(failing(flow({ successes: 75 })), 2.5);
  assert.equal(failing(flow({ calls: 0, successes: 0, perSecond: 0 })), 0);
});

test("the worst flow comes first, then the one that fails most, then the busiest", () => {
  const flows = [
    flow({ workload: "idle", calls: 0, successes: 0, perSecond: 0 }),
    flow({ workload: "busy", perSecond: 500 }),
    flow({ workload: "warn", successes: 98 }),
    flow({ workload: "bad", successes: 10 }),
    flow({ workload: "open", calls: 0, successes: 0, perSecond: 0, breaker: "open" }),
  ];
  assert.deepEqual(
    [...flows].sort(byTrouble).map((f) => f.workload),
    ["bad", "open", "warn", "busy", "idle"],
  );
});

test("a destination sums its flows up, and has the worst of what does not sum up", () => {
  const rows = byDestination([
    flow({ policy: "a", p99Seconds: 0.2, protocol: "HTTP" }),
    flow({ workload: "cart", policy: "b", successes: 50, retries: 7, p99Seconds: 1, breaker: "half_open", protocol: "HTTP" }),
    flow({ destination: "x:1", breaker: "closed" }),
    flow({ destination: "", target: "" }),
  ]);
  assert.equal(rows.length, 2);
  const { calls, successes, retries, p99Seconds, breaker, policies, callers, protocols } = rows[0] ?? assert.fail();
  assert.deepEqual(
    { calls, successes, retries, p99Seconds, breaker, policies, callers, protocols },
    {
      calls: 200,
      successes: 150,
      retries: 7,
      p99Seconds: 1,
      breaker: "half_open",
      policies: ["a", "b"],
      callers: ["shop/checkout", "shop/cart"],
      protocols: ["HTTP"],
    },
  );
});

test("the graph joins flows of one pair, and keeps what is wrong when it is cut", () => {
  const busy = Array.from({ length: 50 }, (_, i) => flow({ workload: `w${i}`, destination: `d${i}:80`, perSecond: 1000 }));
  const g = graphOf([...busy, flow({ policy: "a" }), flow({ policy: "b", successes: 0, perSecond: 0.1, breaker: "open" })], 10);
  assert.equal(g.edges.length, 10);
  assert.equal(g.leftOut, 41);
  const first = g.edges[0] ?? assert.fail();
  assert.equal(nameOf(first.from), "shop/checkout");
  assert.equal(first.calls, 200);
  assert.equal(first.breaker, "open");
  assert.equal(first.health, Bad);
  const ids = new Set(g.nodes.map((n) => n.id));
  for (const e of g.edges) assert.ok(ids.has(e.from) && ids.has(e.to));
  assert.equal(ids.size, g.nodes.length);
});

test("the graph has who else calls what is ill, before what is only busy", () => {
  const busy = Array.from({ length: 50 }, (_, i) => flow({ workload: `w${i}`, destination: `d${i}:80`, perSecond: 1000 }));
  const g = graphOf([...busy, flow({ successes: 0 }), flow({ workload: "quiet", perSecond: 0.1 })], 4);
  assert.deepEqual(
    g.edges.map((e) => nameOf(e.from)),
    ["shop/checkout", "w0", "quiet", "w1"].map((w) => (w.includes("/") ? w : `shop/${w}`)),
  );
});

test("what calls and what is called are two nodes, though they have one name", () => {
  const g = graphOf([flow({ namespace: "a", workload: "b", destination: "a/b" })], 10);
  assert.equal(g.nodes.length, 2);
});

test("a flow without a caller, or without a destination, is in no graph", () => {
  assert.equal(graphOf([{ calls: 1, successes: 1, perSecond: 1, retries: 0 }], 10).edges.length, 0);
});

test("every graph has a layout, whatever its shape", () => {
  let seed = 7;
  const random = (n: number) => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed % n;
  };
  for (let round = 0; round < 200; round++) {
    const flows = Array.from({ length: 1 + random(60) }, () =>
      flow({
        workload: `w${random(1 + random(40))}`,
        destination: `d${random(1 + random(40))}:80`,
        perSecond: random(100_000) / 77,
        successes: random(101),
      }),
    );
    const g = graphOf(flows, 1 + random(60));
    const l = layout(g, 800);
    assert.equal(l.nodes.length, g.nodes.length);
    assert.equal(l.lines.length, g.edges.length);
    for (const p of l.nodes) assert.ok(Number.isFinite(p.y));
  }
});

test("a destination has a namespace if it is a Service", () => {
  assert.deepEqual(place("billing/payments:80"), { name: "payments:80", context: "billing" });
  assert.deepEqual(place("api.example:443"), { name: "api.example:443", context: "" });
  assert.deepEqual(place("10.0.0.0/8"), { name: "10.0.0.0/8", context: "" });
});

test("nodes stand apart, callers left and destinations right, and the same each time", () => {
  const flows = Array.from({ length: 40 }, (_, i) => flow({ workload: `w${i % 13}`, destination: `d${(i * 7) % 17}:80`, perSecond: i }));
  const l = layout(graphOf(flows, 60), 1000);
  for (const p of l.nodes) {
    assert.equal(p.x, p.node.side === "caller" ? 0 : 1000 - nodeWidth);
    assert.ok(p.y >= 0 && p.y + nodeHeight <= l.height + 0.01);
    for (const q of l.nodes) assert.ok(p === q || p.x !== q.x || Math.abs(p.y - q.y) >= nodeHeight);
  }
  assert.equal(l.lines.length, graphOf(flows, 60).edges.length);
  assert.deepEqual(layout(graphOf(flows, 60), 1000), l);
  assert.deepEqual(layout(graphOf([], 60), 1000).nodes, []);
});

test("what is open comes first, then what is probed, then what only keeps endpoints out", () => {
  const t = (policy: string, more: object) => ({ policy, target: "t", calls: 0, successes: 0, retries: 0, perSecond: 1, ...more });
  const all = [
    t("ejected", { ejected: 2 }),
    t("half", { breakersHalfOpen: 1 }),
    t("open", { breakersOpen: 1, breakersHalfOpen: 3 }),
    t("busy", { breakersOpen: 1, perSecond: 9 }),
  ];
  assert.deepEqual(
    [...all].sort(byState).map((b) => [b.policy, stateOf(b)]),
    [
      ["busy", "open"],
      ["open", "open"],
      ["half", "half_open"],
      ["ejected", "closed"],
    ],
  );
});

test("a dry run's breakers are not among the open ones", () => {
  const b = (node: string, more: Partial<NodeBreaker>): NodeBreaker => ({
    node,
    policy: "shop/p",
    target: "any",
    destination: "d:80",
    state: "open",
    opened: 1,
    ...more,
  });
  const all = [
    b("a", {}),
    b("a", { pod: "shop/x" }),
    b("b", { dryRun: true }),
    b("c", { dryRun: true }),
    b("c", { dryRun: true, state: "half_open" }),
    b("d", { state: "half_open" }),
    b("e", { state: "closed" }),
  ];
  assert.deepEqual(countBreakers(all), { open: 1, probing: 1, wouldBeOpen: 2, enforced: 4 });
  assert.deepEqual(countBreakers([]), { open: 0, probing: 0, wouldBeOpen: 0, enforced: 0 });
});
