// The page that is open.

import { computed, signal } from "@preact/signals";
import { hrefOf, type Page, parseRoute } from "../data/route.ts";

const hash = signal(location.hash);

export const route = computed(() => parseRoute(hash.value));

/** since is the time range that is chosen, as the address has it; every page has the same. */
export const since = computed(() => route.value.query.since ?? "10m");

addEventListener("hashchange", () => {
  hash.value = location.hash;
});

/** go opens a page. */
export function go(href: string): void {
  if (location.hash !== href) location.hash = href;
}

/** goOn opens a page in the time range that is chosen. */
export function goOn(href: string): void {
  const { page, name, query } = parseRoute(href);
  go(linkTo(page, name, query));
}

/** setQuery changes filters of the open page, without a step in the history: going back leaves the page, and not one letter. */
export function setQuery(changes: Record<string, string | undefined>): void {
  const { page, name, query } = route.peek();
  const href = hrefOf(page, name, { ...query, ...changes });
  history.replaceState(null, "", href);
  hash.value = href;
}

/** linkTo is the address of a page in the time range that is chosen. */
export function linkTo(page: Page, name = "", query: Record<string, string | undefined> = {}): string {
  return hrefOf(page, name, { since: route.value.query.since, ...query });
}
