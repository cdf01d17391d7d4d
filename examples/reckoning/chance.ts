/** Pseudo-random values, the same on every machine. */
export interface Chance {
  /** Returns an integer from `low` to `high`, inclusive. */
  between(low: number, high: number): number;
  /** Returns one of the values, each with equal probability. There has to be at least one. */
  pick<T>(values: readonly T[]): T;
}

/** Mulberry32 (public domain): 32 bits of state suffice for a few thousand draws. */
export function newChance(seed: number): Chance {
  let state = seed;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const between = (low: number, high: number) => low + Math.floor(next() * (high - low + 1));
  return { between, pick: <T>(values: readonly T[]) => values[between(0, values.length - 1)] as T };
}
