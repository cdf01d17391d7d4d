/**
 * Lets the writers of one run in one after the other. They would wait for each other anyway, at the lock on the run; but
 * there each of them holds a connection while it waits, and a few hundred writers of one busy run would leave none for
 * anybody else.
 */
export class RunQueue {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Runs `work` once all work that was given before it for the run is done. */
  async enter<T>(runId: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(runId) ?? Promise.resolve();
    // Whether it failed is for its own caller to hear.
    const mine = before.then(work, work);
    this.#last.set(runId, mine);
    try {
      return await mine;
    } finally {
      if (this.#last.get(runId) === mine) this.#last.delete(runId);
    }
  }
}
