// What every page shows of the cluster, and the names that the search has: asked for once, and kept current.

import { computed, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { type Answer, useAnswer } from "../data/answer.ts";
import type { Cluster } from "../data/model.ts";

export const cluster = signal<Answer<Cluster>>({ loading: true });

export const names = computed(() => cluster.value.data?.names);

/** useCluster keeps cluster current. One component of the page calls it. */
export function useCluster(): void {
  const answer = useAnswer<Cluster>("api/v1/cluster", "traffic", "policies", "nodes");
  useEffect(() => {
    cluster.value = answer;
  }, [answer]);
}
