import type { KeyedMutex } from "./keyed-mutex.ts";

/** Something that waits to be written, and who waits for what becomes of it. */
interface Waiting<T, R> {
  readonly item: T;
  readonly resolve: (result: R) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Writes what comes for one key (a run, say) while another write of it is under way together, once its turn has come: a lock
 * and a commit cost the same for one item as for a hundred. Nothing waits longer for that than it would for its own turn.
 */
export class Batcher<T, R> {
  readonly #mutex: KeyedMutex;
  readonly #write: (items: readonly T[]) => Promise<readonly R[]>;
  readonly #sizeOf: (item: T) => number;
  readonly #maxSize: number;
  readonly #waiting = new Map<string, Waiting<T, R>[]>();

  /**
   * @param write Writes items of one key and gives one result for each. If it throws, all of them fail.
   * @param maxSize Bounds the sum of the sizes of what is written together. At least one item is.
   */
  constructor(
    mutex: KeyedMutex,
    write: (items: readonly T[]) => Promise<readonly R[]>,
    sizeOf: (item: T) => number,
    maxSize: number,
  ) {
    this.#mutex = mutex;
    this.#write = write;
    this.#sizeOf = sizeOf;
    this.#maxSize = maxSize;
  }

  /** Writes an item, behind all that was added before it under the same key or takes turns on it. */
  async add(key: string, item: T): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      const waiting = this.#waiting.get(key) ?? [];
      this.#waiting.set(key, waiting);
      waiting.push({ item, resolve, reject });
      // Each item takes a turn; those whose items went with an earlier one find less to do, or nothing.
      void this.#mutex.runExclusive(key, () => this.#writeNext(key));
    });
  }

  async #writeNext(key: string): Promise<void> {
    const next = this.#take(key);
    if (next.length === 0) return;
    try {
      const results = await this.#write(next.map(({ item }) => item));
      next.forEach(({ resolve }, index) => {
        resolve(results[index] as R);
      });
    } catch (error) {
      for (const { reject } of next) reject(error);
    }
  }

  /** The longest-waiting items, as many as may be written together. */
  #take(key: string): Waiting<T, R>[] {
    const waiting = this.#waiting.get(key) ?? [];
    let size = 0;
    const beyond = waiting.findIndex(({ item }, index) => {
      size += this.#sizeOf(item);
      return index > 0 && size > this.#maxSize;
    });
    if (beyond === -1) this.#waiting.delete(key);
    return beyond === -1 ? waiting : waiting.splice(0, beyond);
  }
}
