/** Numbers that look random and are the same on every machine. */
export interface Chance {
  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number;
  /** One of the values, of which there has to be one at least. None is more likely than another. */
  pick<T>(values: readonly T[]): T;
}

/** Mulberry32 (public domain): 32 bits of state are plenty for a few thousand draws. */
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
