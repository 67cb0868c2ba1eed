// The stream that says what has changed: one connection for the whole page, made again when it breaks.

import { signal } from "@preact/signals";
import { notYet, reduce, retryAfter } from "./live-state.ts";
import type { Versions } from "./model.ts";

export const live = signal(notYet(Date.now()));

/** now ticks every second, for texts such as "5s ago". */
export const now = signal(Date.now());

let source: EventSource | undefined;
let timer: ReturnType<typeof setTimeout> | undefined;

function received(kind: "hello" | "changed", e: MessageEvent<string>): void {
  live.value = reduce(live.peek(), { kind, versions: JSON.parse(e.data) as Versions, at: Date.now() });
}

/** disconnect ends the connection. */
function disconnect(): void {
  clearTimeout(timer);
  source?.close();
}

/** connect makes the connection, or makes it again at once. A page in the background has none: a browser has six with one server at a time. */
export function connect(): void {
  disconnect();
  if (document.hidden) return;
  const s = new EventSource("api/v1/events");
  source = s;
  s.addEventListener("hello", (e) => received("hello", e));
  s.addEventListener("changed", (e) => received("changed", e));
  s.addEventListener("error", () => {
    s.close();
    live.value = reduce(live.peek(), { kind: "failed", at: Date.now() });
    timer = setTimeout(connect, retryAfter(live.peek().failures));
  });
}

/** start connects, and has the clock tick. */
export function start(): void {
  connect();
  setInterval(() => {
    now.value = Date.now();
  }, 1000);
  // a machine that slept has a dead connection and does not know it yet
  addEventListener("online", connect);
  document.addEventListener("visibilitychange", connect);
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", (e) => {
    if (e.persisted) connect();
  });
}
