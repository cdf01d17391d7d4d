/**
 * Lets the writers of one thing (a dataset, a run) in one after the other. They would wait for each other anyway, at the lock
 * on its row; but there each of them holds a connection while it waits, and a few hundred writers of one busy dataset would
 * leave none for anybody else. Writers in other processes are kept apart by the lock alone.
 *
 * Written by hand: async-mutex has no keys, so a map of its mutexes would have to be kept, and cleared, around it.
 */
export class KeyedMutex {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Runs `work` once all work that was given before it under the same key is done. */
  async runExclusive<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve();
    // Whether it failed is for its own caller to hear.
    const mine = before.then(work, work);
    this.#last.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key);
    }
  }
}
