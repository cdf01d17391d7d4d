import { setTimeout as sleep } from "node:timers/promises";

/** The least time from one statement to the next: not noticeable to who asks, and a bound on how many there are. */
const restMilliseconds = 10;

/**
 * Looks up what many callers ask for with one statement at a time: those who ask while one is under way share the next. So
 * thousands who ask at once, or again and again, cost the database no more than a few.
 *
 * Written by hand: the package dataloader collects the keys of one turn of the event loop and sends any number of statements at a
 * time; here those who ask while a statement is under way wait for the next, and nothing is remembered.
 */
export class DataLoader<V> {
  readonly #read: (keys: readonly string[]) => Promise<ReadonlyMap<string, V>>;
  #next: { readonly keys: Set<string>; readonly found: Promise<ReadonlyMap<string, V>> } | undefined;
  #rested: Promise<unknown> = Promise.resolve();

  /** @param read gives what there is for keys; those without anything are left out. */
  constructor(read: (keys: readonly string[]) => Promise<ReadonlyMap<string, V>>) {
    this.#read = read;
  }

  /** What there is for a key, by a statement that begins after this call; undefined if nothing. */
  async load(key: string): Promise<V | undefined> {
    this.#next ??= this.#begin();
    this.#next.keys.add(key);
    return (await this.#next.found).get(key);
  }

  #begin() {
    const keys = new Set<string>();
    const found = this.#rested.then(() => {
      this.#next = undefined;
      return this.#read([...keys]);
    });
    const rest = () => sleep(restMilliseconds);
    this.#rested = found.then(rest, rest);
    return { keys, found };
  }
}
