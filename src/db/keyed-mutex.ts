/**
 * A mutex per key (a dataset, a run). Its writers would wait for each other anyway, at the lock on its row; but there
 * each of them holds a connection while it waits, and a few hundred writers of one busy dataset would leave none for
 * others. Only the row lock excludes writers in other processes.
 *
 * Written by hand: async-mutex has no keys, so a map of its mutexes would have to be kept, and cleaned up, around it.
 */
export class KeyedMutex {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Runs `work` after all earlier work under the same key. */
  async runExclusive<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve();
    // Its own caller handles its failure.
    const mine = before.then(work, work);
    this.#last.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key);
    }
  }
}
