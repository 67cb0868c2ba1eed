// Whether what is shown is live. When it is not, a bar says so, and since when.

import { connect, live, now } from "../data/live.ts";
import { ago, clock } from "../format/time.ts";
import { Icon } from "./icon.tsx";

export function LiveMark() {
  const { state } = live.value;
  return (
    <span class={`live is-${state}`} role="status">
      <span class="dot" aria-hidden="true" />
      {state === "live" ? "Live" : state === "lost" ? "Not live" : "Connecting"}
    </span>
  );
}

export function NotLive() {
  const { state, since } = live.value;
  if (state !== "lost") return null;
  return (
    <div class="not-live" role="alert">
      <Icon name="warn" />
      <span>
        Not live since {clock(since)} ({ago(new Date(since).toISOString(), now.value)}): figures are from before. The connection is tried
        again by itself.
      </span>
      <button type="button" onClick={connect}>
        Connect now
      </button>
    </div>
  );
}
