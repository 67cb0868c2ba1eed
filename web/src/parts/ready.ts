// Says on the document that a page shows what it was opened for: tests wait for it, and nothing else has to guess.

import { useEffect } from "preact/hooks";

/** useReady marks the page as ready, or as still waiting for what it shows. */
export function useReady(ready: boolean): void {
  useEffect(() => {
    if (!ready) return;
    document.body.dataset.ready = "true";
    return () => {
      delete document.body.dataset.ready;
    };
  }, [ready]);
}
