// Pods by a part of their name, for the search. There are too many of them to have their names here.

import { useEffect, useState } from "preact/hooks";
import { ask, urlOf } from "../data/answer.ts";
import type { Part } from "../data/model.ts";
import { hrefOf } from "../data/route.ts";
import type { Hit } from "../data/search.ts";

interface Pods extends Part {
  items: { pod: string; node?: string; workload?: string }[];
}

const none: Hit[] = [];
const wait = 150; // milliseconds without another letter
const least = 3; // letters

/** usePods asks for pods while a name is written; where the server has none, there are none. */
export function usePods(query: string): Hit[] {
  const [hits, set] = useState(none);
  const q = query.trim();
  useEffect(() => {
    set(none);
    if (q.length < least) return;
    const abort = new AbortController();
    const timer = setTimeout(() => {
      ask<Pods>(urlOf("api/v1/pods", { q }), abort.signal).then(
        (answer) => set(answer.items.map(hitOf)),
        () => set(none),
      );
    }, wait);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [q]);
  return hits;
}

function hitOf({ pod }: { pod: string }): Hit {
  const slash = pod.indexOf("/");
  return { kind: "pod", name: pod, href: hrefOf("calls", "", { ns: pod.slice(0, slash), pod: pod.slice(slash + 1) }) };
}
