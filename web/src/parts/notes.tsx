// What a page says about its data: that something is missing in it, that it is not current, that it is awaited, that there is none.

import type { Answer } from "../data/answer.ts";
import type { Part } from "../data/model.ts";
import { Icon } from "./icon.tsx";

export function Notes({ of }: { of: Answer<Part> }) {
  const notes = of.data?.notes ?? [];
  return (
    <>
      {of.error && (
        <p class="note bad" role="alert">
          <Icon name="bad" />
          <span>
            {of.error}
            {of.data && " What is shown is from before."}
          </span>
        </p>
      )}
      {notes.length > 0 && (
        <ul class="note warn" aria-label="What is missing">
          {notes.map((n) => (
            <li key={n}>{n}</li>
          ))}
        </ul>
      )}
    </>
  );
}

export function Waiting() {
  return (
    <p class="empty" role="status">
      Loading…
    </p>
  );
}

export function Empty({ children }: { children: preact.ComponentChildren }) {
  return <p class="empty">{children}</p>;
}
