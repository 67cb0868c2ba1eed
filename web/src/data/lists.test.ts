import assert from "node:assert/strict";
import { test } from "node:test";
import { matcher, parseSort, sorted } from "./filter.ts";
import type { NodeRow, PolicyRow } from "./model.ts";
import { countNodes, inNodeState, nodeState } from "./nodes.ts";
import { countStates, inState, stateRank } from "./policies.ts";
import { podHit, search } from "./search.ts";
import { scrollFor, step, windowOf } from "./window.ts";

test("all words of a filter must be there, and none of those with a dash", () => {
  const fits = matcher("Shop pay -dry");
  assert.equal(fits("shop/payments"), true);
  assert.equal(fits("payments of SHOP"), true);
  assert.equal(fits("shop/payments DryRun"), false);
  assert.equal(fits("shop/cart"), false);
  assert.equal(matcher("  ")("anything"), true);
  assert.equal(matcher(undefined)("anything"), true);
});

test("what has no figure comes last either way, and equals stay in order", () => {
  const rows = [
    { n: 2, a: "x" },
    { n: undefined, a: "u" },
    { n: 1, a: "y" },
    { n: 2, a: "z" },
  ];
  const order = (down: boolean) =>
    sorted(rows, (r) => r.n, down)
      .map((r) => r.a)
      .join("");
  assert.equal(order(false), "yxzu");
  assert.equal(order(true), "xzyu");
});

test("numbers in names are in their order", () => {
  assert.deepEqual(
    sorted(["node-10", "node-9", "Node-1"], (n) => n, false),
    ["Node-1", "node-9", "node-10"],
  );
});

test("an order is a column, and whether it descends", () => {
  assert.deepEqual(parseSort("-rps", "state"), { column: "rps", descending: true });
  assert.deepEqual(parseSort(undefined, "state"), { column: "state", descending: false });
});

test("a window has all rows in sight and few others, wherever it is scrolled", () => {
  for (const rows of [0, 1, 7, 5000]) {
    for (let top = -50; top < rows * 30 + 200; top += 37) {
      const w = windowOf(rows, 30, top, 300, 4);
      assert.ok(w.first >= 0 && w.end <= rows && w.first <= w.end);
      assert.equal(w.before + (w.end - w.first) * 30 + w.after, rows * 30);
      assert.ok(w.end - w.first <= 10 + 1 + 8);
      const at = Math.max(0, Math.min(top, rows * 30 - 300));
      if (rows > 0) assert.ok(w.before <= at && w.before + (w.end - w.first) * 30 >= Math.min(rows * 30, at + 300));
    }
  }
});

test("scrolling brings a row into sight and no further", () => {
  assert.equal(scrollFor(0, 30, 90, 300), 0);
  assert.equal(scrollFor(5, 30, 0, 300), 0);
  assert.equal(scrollFor(10, 30, 0, 300), 30);
});

test("keys lead from row to row, and not beyond", () => {
  assert.equal(step("ArrowDown", 4, 5, 3), 4);
  assert.equal(step("ArrowDown", 1, 5, 3), 2);
  assert.equal(step("ArrowUp", 0, 5, 3), 0);
  assert.equal(step("PageDown", 0, 5, 3), 3);
  assert.equal(step("PageUp", 4, 5, 3), 1);
  assert.equal(step("Home", 4, 5, 3), 0);
  assert.equal(step("End", 0, 5, 3), 4);
  assert.equal(step("x", 0, 5, 3), undefined);
  assert.equal(step("End", 0, 0, 3), undefined);
});

const policy = (p: Partial<PolicyRow>): PolicyRow => ({
  key: "shop/p",
  kind: "RetryPolicy",
  state: "ready",
  pods: 1,
  nodes: 1,
  programmed: 1,
  ...p,
});

test("policies are counted by what is wrong with them", () => {
  const items = [
    policy({}),
    policy({ state: "attention", breaker: "open" }),
    policy({ state: "notReady" }),
    policy({ state: "unseen" }),
    policy({ mode: "DryRun" }),
  ];
  assert.deepEqual(countStates(items), { all: 5, attention: 3, notready: 2, breaker: 1, dryrun: 1 });
  assert.equal(items.filter((p) => inState(p, undefined)).length, 5);
});

test("the worst policy comes first", () => {
  const order = sorted(
    [
      policy({ key: "ready" }),
      policy({ key: "open", state: "attention", breaker: "open" }),
      policy({ key: "look", state: "attention" }),
      policy({ key: "not", state: "notReady" }),
    ],
    stateRank,
    false,
  );
  assert.deepEqual(
    order.map((p) => p.key),
    ["not", "open", "look", "ready"],
  );
});

test("a node is judged by the worst that can be said of it", () => {
  const node = (n: Partial<NodeRow>): NodeRow => ({ node: "n", pods: 0, agents: [{ podUID: "a", version: "v1" }], ...n });
  const nodes = [
    node({ agents: [] }),
    node({ notProgrammed: 2 }),
    node({ agents: [{ podUID: "a", missing: ["rollout"] }] }),
    node({}),
    node({ agents: [{ podUID: "a" }, { podUID: "b" }] }),
  ];
  assert.deepEqual(nodes.map(nodeState), ["away", "behind", "older", "well", "upgrading"]);
  assert.deepEqual(countNodes(nodes), { all: 5, away: 1, behind: 1, older: 1, well: 1, upgrading: 1 });
  assert.equal(nodes.filter((n) => inNodeState(n, "away")).length, 1);
});

const names = {
  namespaces: ["shop"],
  policies: ["base", "shop/payments", "shop/payments-old"],
  workloads: ["shop/checkout"],
  destinations: ["billing/payments:80"],
  nodes: ["node-1"],
};

test("the search has pages as long as nothing is asked for, then what fits best", () => {
  assert.ok(search(names, "").every((h) => h.kind === "page"));
  assert.deepEqual(
    search(names, "payments").map((h) => h.name),
    ["shop/payments", "shop/payments-old", "billing/payments:80"],
  );
  assert.equal(search(names, "shop checkout")[0]?.href, "#/overview?ns=shop&workload=checkout");
  assert.equal(search(names, "zzz").length, 0);
  assert.equal(search(undefined, "problems")[0]?.name, "Problems");
});

test("a search is bounded, among thousands of names", () => {
  const many = { ...names, policies: Array.from({ length: 2000 }, (_, i) => `ns-${i}/retry-${i}`) };
  assert.equal(search(many, "retry").length, 40);
});

test("what could be a pod's name offers its calls", () => {
  assert.equal(podHit("shop/checkout-5d9f-x2k")?.href, "#/calls?ns=shop&pod=checkout-5d9f-x2k");
  assert.equal(podHit("checkout"), undefined);
  assert.equal(podHit("Shop/<b>"), undefined);
});
