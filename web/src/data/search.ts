// The search over everything that has a name.

import type { Names } from "./model.ts";
import { destinationHref, hrefOf, policyHref, workloadHref } from "./route.ts";

export interface Hit {
  kind: string;
  name: string;
  href: string;
}

/** score is how well a name answers a query: 0 not at all. All words must be in it; beginnings of names and of their parts are better. */
export function score(name: string, words: readonly string[]): number {
  const n = name.toLowerCase();
  let sum = 0;
  for (const w of words) {
    const at = n.indexOf(w);
    if (at < 0) return 0;
    const begins = at === 0 || /[^a-z0-9]/.test(n[at - 1] ?? "");
    const last = n.slice(n.lastIndexOf("/") + 1);
    sum += 10 + (begins ? 10 : 0) + (last.startsWith(w) ? 10 : 0) + (n === w || last === w ? 30 : 0);
  }
  return sum - name.length / 100;
}

function candidates(names: Names): Hit[] {
  const hits: Hit[] = [];
  for (const n of names.policies) hits.push({ kind: "policy", name: n, href: policyHref(n) });
  for (const n of names.destinations) hits.push({ kind: "destination", name: n, href: destinationHref(n) });
  for (const n of names.workloads) {
    const slash = n.indexOf("/");
    hits.push({ kind: "workload", name: n, href: workloadHref(n.slice(0, slash), n.slice(slash + 1)) });
  }
  for (const n of names.namespaces) hits.push({ kind: "namespace", name: n, href: hrefOf("overview", "", { ns: n }) });
  for (const n of names.nodes) hits.push({ kind: "node", name: n, href: hrefOf("nodes", "", { q: n }) });
  return hits;
}

/** What is looked for most often comes first among names that fit as well. */
const weights: Record<string, number> = { policy: 6, destination: 5, workload: 3, page: 2 };

const pages: Hit[] = [
  { kind: "page", name: "Overview", href: hrefOf("overview") },
  { kind: "page", name: "Policies", href: hrefOf("policies") },
  { kind: "page", name: "Policies that need attention", href: hrefOf("policies", "", { state: "attention" }) },
  { kind: "page", name: "Destinations", href: hrefOf("destinations") },
  { kind: "page", name: "Live calls", href: hrefOf("calls") },
  { kind: "page", name: "Live calls that were retried", href: hrefOf("calls", "", { outcome: "retried" }) },
  { kind: "page", name: "Live calls that failed", href: hrefOf("calls", "", { outcome: "failed" }) },
  { kind: "page", name: "Changes", href: hrefOf("changes") },
  { kind: "page", name: "Problems", href: hrefOf("problems") },
  { kind: "page", name: "Nodes", href: hrefOf("nodes") },
];

/** search returns the names that fit a query, the best first; pages alone, as long as nothing is asked for. */
export function search(names: Names | undefined, query: string, most = 40): Hit[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return pages;
  const scored: { hit: Hit; score: number }[] = [];
  for (const hit of [...pages, ...(names ? candidates(names) : [])]) {
    const s = score(hit.name, words);
    if (s > 0) scored.push({ hit, score: s + (weights[hit.kind] ?? 0) });
  }
  scored.sort((a, b) => b.score - a.score || a.hit.name.localeCompare(b.hit.name));
  return scored.slice(0, most).map((s) => s.hit);
}

/** podHit offers the live calls of a pod, whatever names there are: namespace/name can be one. */
export function podHit(query: string): Hit | undefined {
  const m = /^([a-z0-9-]+)\/([a-z0-9.-]+)$/.exec(query.trim());
  return m ? { kind: "pod", name: `Live calls of pod ${m[0]}`, href: hrefOf("calls", "", { ns: m[1], pod: m[2] }) } : undefined;
}
