// What to do about a problem, and a button that copies it.

import { useEffect, useState } from "preact/hooks";
import { Icon } from "./icon.tsx";

const shownFor = 1500; // milliseconds

export function Fix({ text }: { text: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), shownFor);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = () => {
    navigator.clipboard?.writeText(text).then(
      () => setCopied(true),
      () => setCopied(false),
    );
  };
  return (
    <p class="fix">
      <span>{text}</span>
      <button type="button" class="plain" onClick={copy} aria-label={`Copy: ${text}`} title="Copy">
        <Icon name={copied ? "ok" : "copy"} />
        <span class="unseen" aria-live="polite">
          {copied ? "copied" : ""}
        </span>
      </button>
    </p>
  );
}
