import assert from "node:assert/strict";
import { test } from "node:test";
import { count, percent, plural, rate, retryShare, short, success } from "./numbers.ts";
import { ago, duration, latency, parse, seconds, when } from "./time.ts";

test("counts have a narrow space between thousands", () => {
  assert.equal(count(0), "0");
  assert.equal(count(999), "999");
  assert.equal(count(1000), "1\u202f000");
  assert.equal(count(1234567), "1\u202f234\u202f567");
});

test("short numbers have a unit and few figures", () => {
  const table: [number, string][] = [
    [0, "0"],
    [950, "950"],
    [999.6, "1.0k"],
    [1234, "1.2k"],
    [12_345, "12k"],
    [999_600, "1.0M"],
    [3.4e7, "34M"],
    [-1500, "−1.5k"],
  ];
  for (const [n, want] of table) assert.equal(short(n), want);
});

test("rates are never shown as 0 where there are calls", () => {
  const table: [number, string][] = [
    [0, "0"],
    [0.003, "<0.01"],
    [0.04, "0.04"],
    [3.21, "3.2"],
    [9.96, "10"],
    [140.4, "140"],
    [2100, "2.1k"],
  ];
  for (const [n, want] of table) assert.equal(rate(n), want);
});

test("only all is 100%, and only none is 0%", () => {
  const table: [number, string][] = [
    [1, "100%"],
    [0.99999, ">99.99%"],
    [0.9999, "99.99%"],
    [0.99, "99.00%"],
    [0.98999, "98.9%"],
    [0.972, "97.2%"],
    [0.5, "50.0%"],
    [0.0004, "<0.1%"],
    [0, "0%"],
  ];
  for (const [n, want] of table) assert.equal(percent(n), want);
});

test("shares of no calls are not known", () => {
  assert.equal(success({ calls: 0, successes: 0 }), undefined);
  assert.equal(success({ calls: 4, successes: 3 }), 0.75);
  assert.equal(success({ calls: 4, successes: 5 }), 1);
  assert.equal(retryShare({ calls: 0, retries: 3 }), undefined);
  assert.equal(retryShare({ calls: 2, retries: 3 }), 1.5);
});

test("nouns agree with their number", () => {
  assert.equal(plural(1, "node"), "1 node");
  assert.equal(plural(0, "node"), "0 nodes");
  assert.equal(plural(2, "policy", "policies"), "2 policies");
});

test("durations have one unit", () => {
  const table: [number | undefined, string][] = [
    [undefined, "–"],
    [Number.NaN, "–"],
    [0, "0s"],
    [0.0004, "0.4ms"],
    [0.012, "12ms"],
    [0.9994, "999ms"],
    [1, "1s"],
    [1.24, "1.2s"],
    [45.4, "45s"],
    [59.6, "1m"],
    [3600, "1h"],
    [90_000, "1d"],
  ];
  for (const [n, want] of table) assert.equal(duration(n), want);
});

test("latencies that are not measured are shown as longer than what is", () => {
  const table: [number | undefined, string][] = [
    [undefined, "–"],
    [0, "–"],
    [0.012, "12ms"],
    [49.4, "49s"],
    [50, ">50s"],
    [51.2, ">50s"],
  ];
  for (const [n, want] of table) assert.equal(latency(n), want);
});

test("times are shown by their distance", () => {
  const now = Date.parse("2026-11-27T12:00:00Z");
  assert.equal(ago("2026-11-27T11:59:59.5Z", now), "now");
  assert.equal(ago("2026-11-27T11:59:20Z", now), "40s ago");
  assert.equal(ago("2026-11-27T12:00:05Z", now), "in 5s");
  assert.equal(ago(undefined, now), "–");
  assert.equal(ago("0001-01-01T00:00:00Z", now), "–");
  assert.equal(parse("nonsense"), undefined);
  assert.match(when("2026-11-20T11:59:20Z", now), /^2026-11-20 \d\d:\d\d$/);
  assert.match(when("2026-11-27T11:59:20Z", now), /^\d\d:59:20$/);
});

test("time ranges are read as the server reads them", () => {
  assert.equal(seconds("90s"), 90);
  assert.equal(seconds("10m"), 600);
  assert.equal(seconds("1h"), 3600);
  assert.equal(seconds("10"), undefined);
  assert.equal(seconds(undefined), undefined);
});
