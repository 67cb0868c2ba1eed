// A tap: the stream of calls, gathered into what the page shows a few times a second.

import { useEffect, useRef, useState } from "preact/hooks";
import type { TapLine } from "./model.ts";
import { addDropped, addLines, cleared, noCalls, type Tap } from "./tap-state.ts";

export interface Tapped extends Tap {
  state: "connecting" | "live" | "lost";
  /** Calls that have come while it was paused, and are not shown. */
  passed: number;
  /** Why the server does not answer with calls, as long as it does not. */
  refused?: string | undefined;
}

const gatherFor = 250; // milliseconds: faster than that nobody reads
const againAfter = 3000;

type Update = (change: (t: Tapped) => Tapped) => void;

/** A connection of a tap, made again when it breaks. */
class Connection {
  private source: EventSource | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly closed = new AbortController();

  constructor(
    private readonly url: string,
    private readonly take: (line: TapLine) => void,
    private readonly update: Update,
  ) {
    this.open();
  }

  close(): void {
    this.closed.abort();
    this.source?.close();
    clearTimeout(this.timer);
  }

  private open = (): void => {
    const s = new EventSource(this.url);
    this.source = s;
    const on = (name: string, f: (data: string) => void) => s.addEventListener(name, (e) => f((e as MessageEvent<string>).data));
    s.addEventListener("open", () => this.update((t) => ({ ...t, state: "live", refused: undefined })));
    on("call", (data) => this.take(JSON.parse(data) as TapLine));
    on("dropped", (data) => this.update((t) => ({ ...t, ...addDropped(t, (JSON.parse(data) as { calls: number }).calls) })));
    on("troubles", (data) => this.update((t) => ({ ...t, trouble: (JSON.parse(data) as { messages: string[] }).messages })));
    s.addEventListener("error", () => {
      s.close();
      this.update((t) => ({ ...t, state: "lost" }));
      void this.explain();
      this.timer = setTimeout(this.open, againAfter);
    });
  };

  /** explain asks why the server refuses, which an EventSource does not say. */
  private async explain(): Promise<void> {
    const abort = new AbortController();
    try {
      const response = await fetch(this.url, { signal: AbortSignal.any([abort.signal, this.closed.signal]) });
      if (!response.ok) {
        const { message } = (await response.json()) as { message: string };
        this.update((t) => (t.state === "live" ? t : { ...t, refused: message }));
      }
    } catch {
      // that the connection is lost is shown already
    } finally {
      abort.abort();
    }
  }
}

/** useTap shows the calls of a URL until it is another one. While paused, it takes none in. */
export function useTap(url: string, paused: boolean): [Tapped, () => void] {
  const [tap, set] = useState<Tapped>({ ...noCalls, state: "connecting", passed: 0 });
  const held = useRef<TapLine[]>([]);
  const passed = useRef(0);
  const stopped = useRef(paused);
  stopped.current = paused;
  useEffect(() => {
    held.current = [];
    passed.current = 0;
    set({ ...noCalls, state: "connecting", passed: 0 });
    const take = (line: TapLine) => {
      if (stopped.current) passed.current++;
      else held.current.push(line);
    };
    const connection = new Connection(url, take, set);
    const timer = setInterval(() => {
      const lines = held.current;
      const more = passed.current;
      if (lines.length === 0 && more === 0) return;
      held.current = [];
      passed.current = 0;
      set((t) => ({ ...t, ...addLines(t, lines), passed: stopped.current ? t.passed + more : 0 }));
    }, gatherFor);
    return () => {
      connection.close();
      clearInterval(timer);
    };
  }, [url]);
  return [tap, () => set((t) => ({ ...cleared(t), passed: 0 }))];
}
