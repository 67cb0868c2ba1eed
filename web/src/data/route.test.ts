import assert from "node:assert/strict";
import { test } from "node:test";
import { hrefOf, parseRoute } from "./route.ts";

test("an address and what it stands for are the same, both ways", () => {
  const names = [
    "shop/payments",
    "base",
    "billing/payments:80",
    "10.0.0.0/8",
    "[2001:db8::1]:443",
    "*.example.com",
    "a b%c?d#e&f/<script>",
  ];
  for (const name of names) {
    const route = { page: "destination" as const, name, query: { since: "5m", q: "a&b=c #?<" } };
    assert.deepEqual(parseRoute(hrefOf(route.page, route.name, route.query)), route);
  }
});

test("filters are in one order, and empty ones are left out", () => {
  assert.equal(hrefOf("policies", "", { state: "breaker", q: "x", sort: undefined, mode: "" }), "#/policies?q=x&state=breaker");
});

test("an address without a page is the overview, and one of no page is unknown", () => {
  for (const hash of ["", "#", "#/", "#/?since=5m"]) assert.equal(parseRoute(hash).page, "overview", hash);
  for (const hash of ["#/nothing", "#/policy", "#/destination/", "#javascript:alert(1)", "#/unknown"]) {
    assert.equal(parseRoute(hash).page, "unknown", hash);
  }
  assert.equal(parseRoute("#/no/such%20page?q=1").name, "no/such page");
  assert.deepEqual(parseRoute("#/overview?since=5m").query, { since: "5m" });
});

test("what cannot be decoded stays as it is", () => {
  assert.deepEqual(parseRoute("#/policy/100%"), { page: "policy", name: "100%", query: {} });
});
