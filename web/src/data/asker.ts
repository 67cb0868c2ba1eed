/**
 * Asker asks one question at a time: what changes meanwhile is asked for when the answer is there. So an answer that takes longer than things stay
 * as they are comes all the same.
 */
export class Asker<T> {
  private readonly abort = new AbortController();
  private busy = false;
  private again = false;

  constructor(
    private readonly question: (signal: AbortSignal) => Promise<T>,
    private readonly answered: (data: T) => void,
    private readonly failed: (message: string) => void,
  ) {}

  /** close ends it: nothing is answered any more. */
  close(): void {
    this.abort.abort();
  }

  async ask(): Promise<void> {
    this.again = this.busy;
    if (this.busy) return;
    this.busy = true;
    try {
      const data = await this.question(this.abort.signal);
      if (!this.abort.signal.aborted) this.answered(data);
    } catch (e) {
      if (!this.abort.signal.aborted) this.failed((e as Error).message);
    }
    this.busy = false;
    if (this.again && !this.abort.signal.aborted) await this.ask();
  }
}
