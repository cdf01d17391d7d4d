import type { Item } from "../items/item.ts";

/** Whether an incomplete item includes the item itself. */
export type IncompleteView = "basic" | "with_item";

/** An item that lacks a success in some repetition of a run. */
export interface IncompleteItem {
  readonly itemId: string;
  /** Repetitions without a result, ascending. */
  readonly missingRepetitions: readonly number[];
  /** Repetitions whose current result is an error, ascending. */
  readonly failedRepetitions: readonly number[];
  /** Set only in the view `with_item`. */
  readonly item: Item | undefined;
}

/** Returns the repetitions from 1 to `repetitions` that are not in `recorded`, ascending. */
export function missingRepetitions(repetitions: number, recorded: Iterable<number>): number[] {
  const known = new Set(recorded);
  const all = Array.from({ length: repetitions }, (_, index) => index + 1);
  return all.filter((repetition) => !known.has(repetition));
}

/**
 * Returns how many leading entries fit on a page: at least one, however large, if there is any.
 *
 * @param sizes The bytes of each entry.
 */
export function countFitting(sizes: readonly number[], maxCount: number, maxBytes: number): number {
  let bytes = 0;
  for (const [index, size] of sizes.entries()) {
    bytes += size;
    if (index > 0 && (index >= maxCount || bytes > maxBytes)) return index;
  }
  return sizes.length;
}
