import { equalSplits } from "../items/splits.ts";

/** What a row does to the item it stands for. */
export type RowKind = "created" | "updated" | "unchanged";

/** What a row says. */
interface SentState {
  readonly contentHash: Uint8Array;
  readonly splits: readonly string[];
  /** Whether the row leaves the splits of an item that exists as they are. */
  readonly keepsSplits: boolean;
}

/** What an item is. */
export interface HashedItem {
  readonly contentHash: Uint8Array;
  readonly splits: readonly string[];
}

/** The verdict on a row, and the splits that the item then has. */
export interface Classified {
  readonly kind: RowKind;
  readonly splits: readonly string[];
}

/** Tells what a row does to its item; `item` is undefined if there is none. Both lists of splits are normalized. */
export function classify(row: SentState, item: HashedItem | undefined): Classified {
  if (item === undefined) return { kind: "created", splits: row.splits };
  const splits = row.keepsSplits ? item.splits : row.splits;
  const same = equalBytes(row.contentHash, item.contentHash) && equalSplits(splits, item.splits);
  return { kind: same ? "unchanged" : "updated", splits };
}

/** Whether two hashes are the same. */
export function equalBytes(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}
