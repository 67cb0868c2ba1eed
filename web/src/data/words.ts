// What the words of calls mean, in sentences: why a call was retried or not, and what to change. docs/operations/README.md and docs/guides/retries.md have the same.

import type { Call } from "./model.ts";

/** How a call ended, for a person in a hurry. */
export type Verdict = "ok" | "recovered" | "failed" | "rejected" | "abandoned";

export function verdict(c: Call): Verdict {
  switch (c.decision) {
    case "not_needed":
      return c.truncated ? "failed" : "ok";
    case "recovered":
      return "recovered";
    case "refused":
      return "rejected";
    case "abandoned":
      return "abandoned";
    default:
      return "failed";
  }
}

/** Why a call was retried or not, by its retry decision; and what to change if that is not wished. */
const decisions: Record<string, { why: string; change?: string }> = {
  not_needed: { why: "The first attempt was good enough." },
  recovered: { why: "It was retried, and the last attempt was good enough." },
  method: {
    why: "Not retried: the request may have been processed, and its method is not idempotent.",
    change: "Send an idempotency key and set retry.idempotency.mode: IdempotentOrKeyed; with generateKey: true the agent adds one.",
  },
  not_retryable: {
    why: "Not retried: the failure is not one that the policy retries.",
    change: "Add it to retry.when, statusCodes, grpcStatuses or responseHeaders.",
  },
  already_retried: {
    why: "Not retried: the call has arrived as a retry, and is left to its caller.",
    change: "Set retry.alreadyRetried: Ignore to retry it here all the same.",
  },
  budget: {
    why: "Not retried: the retries of all calls have used up the budget.",
    change: "Raise retry.budget if the destination can take more.",
  },
  deadline: {
    why: "Not retried: the wait or the next attempt did not fit the time that was left, or the server asked for a longer wait than is granted.",
    change: "Raise timeouts.overall, or retry.retryAfter.max.",
  },
  body: {
    why: "Not retried: the request's body was not at hand to be sent again.",
    change: "Raise retry.body.maxBytes.",
  },
  exhausted: { why: "All retries that the policy allows were used.", change: "Raise retry.maxRetries if the failure passes by itself." },
  refused: { why: "The agent rejected it: an attempt was not made, or not waited for." },
  abandoned: {
    why: "The caller left before there was an answer.",
    change: "Set timeouts.perTry or overall below the caller's patience, so that retries and the breaker have a say.",
  },
};

const kinds: Record<string, string> = {
  response: "The destination answered.",
  circuit_open: "The circuit breaker is open, so the destination was not called.",
  rate_limited: "A limit of the policy was reached: rateLimit or concurrency.",
  pool_overflow: "There was no free connection: connectionPool.maxPending or pendingTimeout was exceeded.",
  deadline: "timeouts.overall or maxDuration passed.",
  per_try_timeout: "The last attempt took longer than it may.",
  connect_failure: "The connection could not be made.",
  connect_timeout: "The connection was not made in time.",
  reset: "The connection broke before there was an answer.",
  refused_stream: "The server said that it did not process the request.",
  tls: "TLS with the destination cannot be made.",
  dns: "The name has no address.",
  proxy: "The proxy has no address, or refuses the call.",
  proxy_refused: "The proxy refuses the call.",
  protocol: "The destination's answer was not valid.",
  client_gone: "The caller closed the connection.",
  fault_injected: "A fault that the policy injects was the answer.",
  malformed_request: "The request broke the protocol, and was refused.",
  internal: "The agent was short of something, or made a mistake: see its log.",
};

/** endOf says how a call ended. */
export function endOf(kind: string): string {
  return kinds[kind] ?? "";
}

/** decisionOf says why a call was retried or not, and what to change if that is not wished. */
export function decisionOf(c: Call): { why: string; change?: string } {
  const d = decisions[c.decision];
  if (!d) return { why: `Retry decision ${c.decision}.` };
  if (c.decision === "refused" && kinds[c.kind]) return { why: `Not retried: ${lowerFirst(kinds[c.kind] ?? "")}` };
  if (c.decision === "not_needed" && c.truncated)
    return { why: "The first answer began well and broke off; nothing that has begun is retried." };
  return d;
}

const lowerFirst = (s: string) => s.slice(0, 1).toLowerCase() + s.slice(1);

/** resultOf is what the caller got, in a word: a status, of gRPC if there was one, or a kind. */
export function resultOf(c: Call): string {
  if (c.grpcStatus) return c.grpcStatus;
  if (c.status) return String(c.status);
  return c.kind === "response" ? "connected" : c.kind;
}

/** What starts an attempt. */
export const starts: Record<string, string> = {
  first: "first attempt",
  retry: "retry",
  hedge: "hedge, beside the one before",
  fallback: "at the fallback destination",
  repair: "again, since the kept connection had died",
};

/** goodAttempt says whether an attempt's result is a success: a status below 400, or OK of gRPC. */
export function goodAttempt(result: string): boolean {
  return result === "OK" || result === "ok" || result === "response" || /^[123]\d\d$/.test(result);
}

/** Reasons of conditions and Events in plain words, where the reason alone is hard to read. */
export function spaced(reason: string): string {
  return reason
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .replace(/([A-Z])([A-Z][a-z])/g, "$1 $2")
    .replace(/ ([A-Z])(?=[a-z ]|$)/g, (_, c: string) => ` ${c.toLowerCase()}`);
}

export const stateWords: Record<string, string> = {
  ready: "Ready",
  attention: "Needs attention",
  notReady: "Not ready",
  unseen: "Not seen yet",
};
export const breakerWords: Record<string, string> = { open: "open", half_open: "half-open", "half-open": "half-open", closed: "closed" };
