import type { ChangeKind, ItemState } from "../items/item.ts";

/** The place of an item's content: the write that stored it, and the id of the item there. */
export interface RevisionRef {
  readonly itemId: string;
  readonly changesetId: bigint;
}

/** An item that differs between two states, without its content. */
export interface Difference {
  readonly itemId: string;
  /** Undefined if the item is only in the later state. */
  readonly before: RevisionRef | undefined;
  /** Undefined if it is only in the earlier one. */
  readonly after: RevisionRef | undefined;
  /** Whether the later state keeps the splits of the earlier one (none if it has no such item), in place of the stored ones. */
  readonly keepsSplits: boolean;
  /** Size of ids and splits in both states, in bytes. */
  readonly keyBytes: number;
  /** Size of the payloads in both states, in bytes. */
  readonly payloadBytes: number;
}

/** Some differences, in ascending byte order of item_id, and their end: `through` an item_id, or to the last. */
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
  /** For an update. */
  readonly changedPaths: readonly string[];
}

/** Numbers of changes by kind. */
export interface DiffCounts {
  readonly created: bigint;
  readonly updated: bigint;
  readonly deleted: bigint;
}

/** Returns the kind of a change. */
export function kindOf({ before, after }: Pick<Difference, "before" | "after">): ChangeKind {
  if (before === undefined) return "created";
  return after === undefined ? "deleted" : "updated";
}

/** Adds changes to counts. */
export function countChanges(counts: DiffCounts, changes: readonly Pick<ItemChange, "kind">[]): DiffCounts {
  const more = { created: 0, updated: 0, deleted: 0 };
  for (const { kind } of changes) more[kind]++;
  return {
    created: counts.created + BigInt(more.created),
    updated: counts.updated + BigInt(more.updated),
    deleted: counts.deleted + BigInt(more.deleted),
  };
}

/** The extent of the changes between two versions. */
export interface Span {
  /** The numbers of items that these versions created, updated and deleted, each counted every time. */
  readonly touched: number;
  /** The number of items of both states. */
  readonly items: number;
}

/**
 * Whether to look for differences among the items that the versions in between touched, which are read once for each
 * window, rather than to read all items once.
 */
export function isCloseBy({ touched, items }: Span, windowSize: number): boolean {
  return touched * Math.ceil(touched / windowSize) <= items;
}
