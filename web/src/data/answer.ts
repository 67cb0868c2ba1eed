// What pages ask the server for: useAnswer keeps an answer current while a component shows it.

import { useEffect, useRef, useState } from "preact/hooks";
import { Asker } from "./asker.ts";
import { live } from "./live.ts";
import type { Part, Topic } from "./model.ts";

export interface Answer<T> {
  /** The latest answer; that of before while the next one is under way. */
  data?: T;
  /** Why there is none, or why it is not current. */
  error?: string;
  loading: boolean;
}

interface Kept {
  etag: string | null;
  data: unknown;
}

/** Answers of before, the latest last: going back shows them at once. */
const kept = new Map<string, Kept>();
const mostKept = 24;

function keep(url: string, value: Kept): void {
  kept.delete(url);
  kept.set(url, value);
  for (const oldest of kept.keys()) {
    if (kept.size <= mostKept) break;
    kept.delete(oldest);
  }
}

/** urlOf joins a path and parameters, in the order of their names; empty ones are left out. */
export function urlOf(path: string, params: Record<string, string | undefined>): string {
  const search = new URLSearchParams();
  for (const k of Object.keys(params).sort()) {
    const v = params[k];
    if (v) search.set(k, v);
  }
  const text = search.toString();
  return text ? `${path}?${text}` : path;
}

/** ask gets an answer once. It throws an Error with the server's sentence, or with one about the connection. */
export async function ask<T>(url: string, signal?: AbortSignal): Promise<T> {
  let response: Response;
  try {
    response = await fetch(url, { headers: { accept: "application/json" }, ...(signal ? { signal } : {}) });
  } catch (e) {
    if (signal?.aborted) throw e;
    throw new Error("The dashboard's server does not answer: see whether kubectl fairlead dashboard still runs.");
  }
  const etag = response.headers.get("etag");
  const before = kept.get(url);
  if (response.ok && before && etag && before.etag === etag) {
    await response.body?.cancel();
    return before.data as T;
  }
  const text = await response.text();
  if (!response.ok) throw new Error(messageOf(text) || `The dashboard's server answers ${response.status}.`);
  const data = JSON.parse(text) as T;
  keep(url, { etag, data });
  return data;
}

function messageOf(text: string): string {
  try {
    const parsed = JSON.parse(text) as { message?: unknown };
    return typeof parsed.message === "string" ? parsed.message : "";
  } catch {
    return "";
  }
}

/** useAnswer asks for a URL, and again when one of the topics has changed. */
export function useAnswer<T extends Part>(url: string, ...topics: Topic[]): Answer<T> {
  const [answer, set] = useState<Answer<T> & { url: string }>(() => first<T>(url));
  const asker = useRef<Asker<T> | undefined>(undefined);
  const tick = topics.reduce((sum, t) => sum + live.value.ticks[t], 0);
  useEffect(() => {
    const a = new Asker<T>(
      (signal) => ask<T>(url, signal),
      (data) => set((was) => (was.url === url && was.data === data && !was.error && !was.loading ? was : { url, data, loading: false })),
      (error) => set((was) => ({ ...(was.url === url ? was : first<T>(url)), error, loading: false })),
    );
    asker.current = a;
    return () => a.close();
  }, [url]);
  useEffect(() => {
    void asker.current?.ask();
  }, [url, tick]);
  return answer.url === url ? answer : first<T>(url);
}

function first<T>(url: string): Answer<T> & { url: string } {
  const before = kept.get(url);
  return before ? { url, data: before.data as T, loading: false } : { url, loading: true };
}
