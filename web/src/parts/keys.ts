// Keys that act wherever the page is.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { hrefOf, type Page } from "../data/route.ts";
import { go, since } from "./location.ts";
import { nextTheme } from "./theme.ts";

export const searching = signal(false);
export const helping = signal(false);

export const pageKeys: readonly { key: string; page: Page; title: string }[] = [
  { key: "o", page: "overview", title: "Overview" },
  { key: "p", page: "policies", title: "Policies" },
  { key: "d", page: "destinations", title: "Destinations" },
  { key: "l", page: "calls", title: "Live calls" },
  { key: "c", page: "changes", title: "Changes" },
  { key: "x", page: "problems", title: "Problems" },
  { key: "n", page: "nodes", title: "Nodes" },
];

const writing = (e: Event) =>
  (e.target as HTMLElement | null)?.matches?.("input:not([type=radio]):not([type=checkbox]), textarea, select") ?? false;

/** useKeys listens as long as the page is there. */
export function useKeys(): void {
  useEffect(() => {
    let goes = false;
    const onKeyDown = (e: KeyboardEvent) => {
      if (e.key === "k" && (e.ctrlKey || e.metaKey)) {
        e.preventDefault();
        searching.value = true;
        return;
      }
      if (e.ctrlKey || e.metaKey || e.altKey || writing(e) || searching.peek() || helping.peek()) return;
      const page = goes ? pageKeys.find((p) => p.key === e.key) : undefined;
      goes = e.key === "g" && !goes;
      if (page) go(hrefOf(page.page, "", { since: since.peek() === "10m" ? undefined : since.peek() }));
      else if (e.key === "/") searching.value = true;
      else if (e.key === "?") helping.value = true;
      else if (e.key === "t") nextTheme();
      else return;
      e.preventDefault();
    };
    addEventListener("keydown", onKeyDown);
    return () => removeEventListener("keydown", onKeyDown);
  }, []);
}
