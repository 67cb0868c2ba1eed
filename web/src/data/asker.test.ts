import assert from "node:assert/strict";
import { test } from "node:test";
import { Asker } from "./asker.ts";

/** A server whose answers are given when the test says so. */
function server() {
  const waiting: { answer: (n: number) => void; fail: (e: Error) => void; signal: AbortSignal }[] = [];
  const got: (number | string)[] = [];
  const asker = new Asker<number>(
    (signal) => new Promise((answer, fail) => waiting.push({ answer, fail, signal })),
    (n) => got.push(n),
    (m) => got.push(m),
  );
  return { waiting, got, asker };
}

test("what is asked while an answer is awaited is asked once, and then", async () => {
  const { waiting, got, asker } = server();
  const done = asker.ask();
  await asker.ask();
  await asker.ask();
  assert.equal(waiting.length, 1);
  waiting[0]?.answer(1);
  while (waiting.length < 2) await Promise.resolve();
  assert.deepEqual(got, [1]);
  waiting[1]?.answer(2);
  await done;
  assert.deepEqual(got, [1, 2]);
  assert.equal(waiting.length, 2);
});

test("a failure is said, and asked anew the next time", async () => {
  const { waiting, got, asker } = server();
  let done = asker.ask();
  waiting[0]?.fail(new Error("no"));
  await done;
  done = asker.ask();
  waiting[1]?.answer(7);
  await done;
  assert.deepEqual(got, ["no", 7]);
});

test("who is closed hears nothing any more", async () => {
  const { waiting, got, asker } = server();
  const done = asker.ask();
  await asker.ask();
  asker.close();
  assert.equal(waiting[0]?.signal.aborted, true);
  waiting[0]?.answer(1);
  await done;
  assert.deepEqual(got, []);
  assert.equal(waiting.length, 1);
});
