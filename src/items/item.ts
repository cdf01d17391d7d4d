import type { Instant } from "../db/instant.ts";

/** What an item holds, as JSON texts. Absent (undefined) is not null. */
export interface ItemContent {
  readonly input: string;
  readonly expectedOutput: string | undefined;
  readonly metadata: string | undefined;
}

/** An item as some version has it. */
export interface Item extends Omit<ItemContent, "input"> {
  readonly itemId: string;
  /** Undefined once the item was purged, and in listings of keys. */
  readonly input: string | undefined;
  /** In ascending byte order. */
  readonly splits: readonly string[];
  readonly contentHash: Uint8Array;
  /** The version that wrote it as it stands here. */
  readonly version: bigint;
  readonly createTime: Instant;
  readonly updateTime: Instant;
  readonly purged: boolean;
}

/** An item as a state has it that may be only planned: then no version has written it, and `version` is 0. */
export interface ItemState extends Omit<Item, "createTime" | "updateTime"> {
  readonly createTime: Instant | undefined;
  readonly updateTime: Instant | undefined;
}

/** How much of an item an answer carries: all of it, or no payload. */
export type ItemView = "full" | "keys";

/** What became of an item from one state to another. */
export type ChangeKind = "created" | "updated" | "deleted";

/** What one version did to an item. */
export interface ItemRevision {
  readonly version: bigint;
  readonly kind: ChangeKind;
  /** The item as the version left it; undefined for a deletion. */
  readonly item: Item | undefined;
  readonly createTime: Instant;
  readonly author: string;
  readonly note: string;
}

/** A row that a caller sent, checked and hashed: what an item is to become. */
export interface Row extends ItemContent {
  /** Empty if the caller gave none. */
  readonly itemId: string;
  /** Normalized. Empty also if the caller gave none. */
  readonly splits: readonly string[];
  readonly contentHash: Uint8Array;
  /** Bytes of the payloads. */
  readonly size: number;
}

/** An item in a version, without its payloads. */
export interface ItemKey {
  readonly itemId: string;
  readonly contentHash: Uint8Array;
  readonly splits: readonly string[];
  /** The changeset that created the item or brought it back. */
  readonly originChangesetId: bigint;
}
