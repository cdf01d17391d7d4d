import { type Classified, classify, type HashedItem, type RowKind } from "./row-classification.ts";

/** A row of a changeset whose item was touched by a version that the changeset has not seen. */
export interface TouchedRow {
  readonly itemId: string;
  readonly rowNumber: number;
  readonly keepsSplits: boolean;
  /** The changeset's own revision, unless it found the item unchanged. */
  readonly staged: HashedItem | undefined;
  /** The item at the version that the changeset was compared with. */
  readonly base: HashedItem | undefined;
  /** The item at the latest version. */
  readonly head: (HashedItem & { readonly originChangesetId: bigint }) | undefined;
}

/** The classification of a touched row before and after rebasing. */
export interface RebasedRow {
  readonly row: TouchedRow;
  readonly before: RowKind;
  readonly after: RowKind;
  /** The state of the item if the row changes it. */
  readonly becomes: HashedItem;
}

/**
 * Classifies a touched row again, as if it had been sent after the versions that touched its item. A row that found its item
 * unchanged means the content that the item had then, and may have to restore it.
 */
export function rebaseRow(row: TouchedRow): RebasedRow {
  const { staged, base, head } = row;
  const content = staged ?? base;
  if (content === undefined) {
    throw new Error(`row ${row.rowNumber} has neither a revision nor an item in the base version`);
  }
  const splits = row.keepsSplits ? [] : content.splits;
  const after: Classified = classify(
    { contentHash: content.contentHash, splits, keepsSplits: row.keepsSplits },
    head,
  );
  return {
    row,
    before: staged === undefined ? "unchanged" : base === undefined ? "created" : "updated",
    after: after.kind,
    becomes: { contentHash: content.contentHash, splits: after.splits },
  };
}
