import { failure } from "../failure.ts";
import { limits } from "../limits.ts";

/** C0 and C1 control characters: category Cc. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is its purpose
const controlCharacter = /[\u0000-\u001f\u007f-\u009f]/;

/** Returns the problem with an id that a caller chose; undefined if it is valid. */
export function itemIdProblem(itemId: string): string | undefined {
  // A text has at least as many UTF-8 bytes as UTF-16 units, and at most three times as many.
  if (itemId.length * 3 > limits.maxItemIdBytes && Buffer.byteLength(itemId) > limits.maxItemIdBytes) {
    return `has ${Buffer.byteLength(itemId)} bytes; at most ${limits.maxItemIdBytes} are allowed`;
  }
  return textProblem(itemId);
}

/** Returns the problem with the splits of an item; undefined if they are valid. */
export function splitsProblem(splits: readonly string[]): string | undefined {
  if (new Set(splits).size > limits.maxSplitsPerItem) {
    return `has ${splits.length} splits; at most ${limits.maxSplitsPerItem} are allowed`;
  }
  for (const split of splits) {
    if (split === "") return "has a split without a name";
    if (Buffer.byteLength(split) > limits.maxSplitBytes) {
      return `has a split of ${Buffer.byteLength(split)} bytes; at most ${limits.maxSplitBytes} are allowed`;
    }
    const problem = textProblem(split);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function textProblem(text: string): string | undefined {
  if (controlCharacter.test(text)) return "contains a control character";
  return text.isWellFormed() ? undefined : "contains a lone surrogate";
}

/** @throws Failure DUPLICATE_ITEM_ID if two rows have the same id. Rows without an id do not count. */
export function requireDistinctIds(rows: readonly { readonly itemId: string }[], firstNumber: number): void {
  const positions = new Map<string, number>();
  rows.forEach(({ itemId }, position) => {
    if (itemId === "") return;
    const first = positions.get(itemId);
    if (first !== undefined) {
      throw failure("DUPLICATE_ITEM_ID", {
        item_id: itemId,
        first_index: firstNumber + first,
        second_index: firstNumber + position,
      });
    }
    positions.set(itemId, position);
  });
}
