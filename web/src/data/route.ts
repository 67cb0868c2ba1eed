// Addresses of pages: what stands after # names a page, what it is about, and its filters. It is pure; parts/location.ts has the one that is open.

export type Page =
  | "overview"
  | "policies"
  | "policy"
  | "destinations"
  | "destination"
  | "calls"
  | "changes"
  | "problems"
  | "nodes"
  | "unknown";

export interface Route {
  page: Page;
  /** What the page is about: a policy's key, a destination's name; of an unknown page, what the address has in its place. */
  name: string;
  query: Record<string, string>;
}

const pages: readonly Page[] = ["overview", "policies", "policy", "destinations", "destination", "calls", "changes", "problems", "nodes"];

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** parseRoute reads what stands after #: without anything the overview. What is no page is unknown. */
export function parseRoute(hash: string): Route {
  const [path = "", search = ""] = hash.replace(/^#?\/?/, "").split(/\?(.*)/s);
  const [first = "", ...rest] = path.split("/");
  const query: Record<string, string> = {};
  for (const [k, v] of new URLSearchParams(search)) if (v !== "") query[k] = v;
  const page = pages.find((p) => p === first);
  const name = rest.map(decode).join("/");
  if (!path) return { page: "overview", name: "", query };
  if (!page || ((page === "policy" || page === "destination") && !name))
    return { page: "unknown", name: path.split("/").map(decode).join("/"), query };
  return { page, name, query };
}

/** hrefOf is the address of a page. Filters are in the order of their names, so that one page has one address. */
export function hrefOf(page: Page, name = "", query: Record<string, string | undefined> = {}): string {
  const path = name ? `/${name.split("/").map(encodeURIComponent).join("/")}` : "";
  const search = new URLSearchParams();
  for (const k of Object.keys(query).sort()) {
    const v = query[k];
    if (v) search.set(k, v);
  }
  const text = search.toString();
  return `#/${page}${path}${text ? `?${text}` : ""}`;
}

/** policyHref and destinationHref link what tables name; since is kept from page to page. */
export const policyHref = (key: string, since?: string) => hrefOf("policy", key, { since });
export const destinationHref = (name: string, since?: string) => hrefOf("destination", name, { since });

/** workloadHref is the overview of what one workload calls. */
export function workloadHref(namespace: string, workload: string, since?: string): string {
  return hrefOf("overview", "", { ns: namespace, workload, since });
}
