import type { ChangeKind, ItemState } from "../items/item.ts";

/** Where the content of an item is stored: the write that brought it, and the id it has there. */
export interface RevisionRef {
  readonly itemId: string;
  readonly changesetId: bigint;
}

/** An item that differs between two states, without what it holds. */
export interface Difference {
  readonly itemId: string;
  /** Undefined if the item is only in the later state. */
  readonly before: RevisionRef | undefined;
  /** Undefined if it is only in the earlier one. */
  readonly after: RevisionRef | undefined;
  /** Whether the later state has the splits of the earlier one, none if it has no such item, in place of the stored ones. */
  readonly keepsSplits: boolean;
  /** Bytes of ids and splits, in both states. */
  readonly keyBytes: number;
  /** Bytes of the payloads, in both states. */
  readonly payloadBytes: number;
}

/** Some differences, in ascending byte order of item_id, and how far they reach: `through` an item_id, or to the end. */
export interface DifferenceWindow {
  readonly differences: readonly Difference[];
  readonly through: string | undefined;
}

/** An item that differs between two states. */
export interface ItemChange {
  readonly kind: ChangeKind;
  readonly itemId: string;
  readonly before: ItemState | undefined;
  readonly after: ItemState | undefined;
  /** Of an update. */
  readonly changedPaths: readonly string[];
}

/** Changes in numbers. */
export interface DiffCounts {
  readonly created: bigint;
  readonly updated: bigint;
  readonly deleted: bigint;
}

/** What became of an item. */
export function kindOf({ before, after }: Pick<Difference, "before" | "after">): ChangeKind {
  if (before === undefined) return "created";
  return after === undefined ? "deleted" : "updated";
}

/** The counts with some more changes in them. */
export function countChanges(counts: DiffCounts, changes: readonly Pick<ItemChange, "kind">[]): DiffCounts {
  const more = { created: 0, updated: 0, deleted: 0 };
  for (const { kind } of changes) more[kind]++;
  return {
    created: counts.created + BigInt(more.created),
    updated: counts.updated + BigInt(more.updated),
    deleted: counts.deleted + BigInt(more.deleted),
  };
}

/** What lies between two versions, in numbers. */
export interface Span {
  /** Items that these versions created, updated and deleted, each counted as often as that happened. */
  readonly touched: number;
  /** Items of both states. */
  readonly items: number;
}

/**
 * Whether to look for differences among what the versions in between touched, which is gone through once for each window,
 * rather than walk through all items once.
 */
export function isCloseBy({ touched, items }: Span, windowSize: number): boolean {
  return touched * Math.ceil(touched / windowSize) <= items;
}
