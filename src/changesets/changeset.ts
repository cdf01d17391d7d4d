import type { Instant } from "../db/instant.ts";
import { type Failure, failure } from "../failure.ts";
import type { DatasetHandle, UploadHandle } from "../handles.ts";
import { newItemIdPrefix } from "../ids.ts";
import { emptyDigest } from "../versions/digest.ts";

/** The state of a write. `published` and `discarded` are final. */
export type ChangesetState = "open" | "planned" | "published" | "discarded";

/**
 * How a write treats items that are not among its rows: `merge` keeps them, `mirror` deletes them. `edit` is the mode of
 * ItemService's calls; `restore` mirrors an older version, whose items are its rows.
 */
export type ChangesetMode = "merge" | "mirror" | "edit" | "restore";

/** Bounds on the deletions of a mirror. */
export interface MirrorGuard {
  readonly maxDeleteCount: bigint | undefined;
  /** 0 to 1, of the items before the write. */
  readonly maxDeleteRatio: number | undefined;
  readonly allowEmpty: boolean;
}

export const noGuard: MirrorGuard = {
  maxDeleteCount: undefined,
  maxDeleteRatio: undefined,
  allowEmpty: false,
};

/** The effect of a write, done or planned, in items. */
export interface ChangeCounts {
  created: bigint;
  updated: bigint;
  unchanged: bigint;
  deleted: bigint;
}

/** A request that begins a write. */
export interface ChangesetRequest {
  readonly requestId: string;
  /** The call; with the hash of its arguments it distinguishes a repetition from a reuse of the request_id. */
  readonly method: string;
  readonly fingerprint: Uint8Array;
  readonly mode: ChangesetMode;
  readonly replaceSplits: boolean;
  readonly validateOnly: boolean;
  /** The definition of the dataset if the write creates it, as JSON; undefined if the dataset must exist. */
  readonly newDataset: string | undefined;
  readonly expectedVersion: bigint | undefined;
  readonly guard: MirrorGuard;
  readonly note: string;
  readonly author: string;
  /** The upload that the rows come from, if they come from one. */
  readonly uploadId?: string | undefined;
}

/** One write to the items of a dataset: first it collects rows, afterwards it is the receipt. */
export interface Changeset {
  readonly datasetId: DatasetHandle;
  readonly changesetId: bigint;
  readonly requestId: string;
  readonly method: string;
  readonly fingerprint: Uint8Array;
  state: ChangesetState;
  readonly mode: ChangesetMode;
  readonly replaceSplits: boolean;
  readonly validateOnly: boolean;
  /** Whether the dataset did not exist when the write was last compared; once published, whether the write created it. */
  createsDataset: boolean;
  readonly newDataset: string | undefined;
  readonly expectedVersion: bigint | undefined;
  guard: MirrorGuard;
  baseVersion: bigint;
  /** The version to restore; undefined in other modes. */
  restoredVersion: bigint | undefined;
  readonly itemIdPrefix: string;
  streamNumber: bigint;
  received: bigint;
  receivedBytes: bigint;
  missingBodies: bigint;
  counts: ChangeCounts;
  /** Rows without an id, and the effect of those that were matched. The others count as created. */
  unidentified: { rows: bigint; updated: bigint; unchanged: bigint };
  digestChange: Uint8Array;
  /** The schemas that all staged rows were checked against; undefined if there were none. */
  schemaHash: Buffer | undefined;
  version: bigint | undefined;
  outcomeVersion: bigint | undefined;
  itemCount: bigint | undefined;
  digest: Uint8Array | undefined;
  readonly note: string;
  readonly author: string;
  /** The upload that publishing uses up. */
  readonly uploadId: UploadHandle | undefined;
  readonly createTime: Instant;
  publishTime: Instant | undefined;
  expireTime: Instant | undefined;
}

/** The dataset that a write goes to, under its row lock. */
export interface Target {
  readonly datasetId: DatasetHandle;
  /** False while the dataset is only reserved: publishing creates it. */
  readonly exists: boolean;
  readonly headVersion: bigint;
  readonly itemCount: bigint;
  readonly digest: Uint8Array;
  /** Identifies its schemas; undefined if it has none. */
  readonly schemaHash: Buffer | undefined;
  /** The number of its items that were purged. */
  readonly purgeCount: bigint;
  /** The current time, at least one microsecond after the previous version. */
  readonly time: Instant;
}

/** A write that is about to begin. */
export type NewChangeset = Omit<Changeset, "changesetId" | "uploadId"> & Pick<ChangesetRequest, "uploadId">;

/** Arguments of `newChangeset`. */
export interface Beginning {
  readonly target: Target;
  readonly request: ChangesetRequest;
  /** The schemas that its rows are checked against; undefined if there are none. */
  readonly schemaHash: Buffer | undefined;
  readonly expireTime: Instant;
}

/** Returns a write without rows, to be compared with the current head. */
export function newChangeset({ target, request, schemaHash, expireTime }: Beginning): NewChangeset {
  return {
    datasetId: target.datasetId,
    requestId: request.requestId,
    method: request.method,
    fingerprint: request.fingerprint,
    state: "open",
    mode: request.mode,
    replaceSplits: request.replaceSplits,
    validateOnly: request.validateOnly,
    createsDataset: !target.exists,
    newDataset: request.newDataset,
    expectedVersion: request.expectedVersion,
    guard: request.guard,
    baseVersion: target.headVersion,
    restoredVersion: undefined,
    itemIdPrefix: newItemIdPrefix(),
    streamNumber: 0n,
    received: 0n,
    receivedBytes: 0n,
    missingBodies: 0n,
    counts: { created: 0n, updated: 0n, unchanged: 0n, deleted: 0n },
    unidentified: { rows: 0n, updated: 0n, unchanged: 0n },
    digestChange: emptyDigest,
    schemaHash,
    version: undefined,
    outcomeVersion: undefined,
    itemCount: undefined,
    digest: undefined,
    note: request.note,
    author: request.author,
    uploadId: request.uploadId,
    createTime: target.time,
    publishTime: undefined,
    expireTime,
  };
}

/** Returns the name of a state in the contract. */
function stateName(state: ChangesetState): string {
  return `STATE_${state.toUpperCase()}`;
}

/** Returns the failure of a call that needs the write in another state. */
export function notReady({ requestId, state }: Pick<Changeset, "requestId" | "state">): Failure {
  return failure("UPSERT_NOT_READY", { request_id: requestId, state: stateName(state) });
}

/** Returns whether the write may have revisions of purged items, which have no content: a restore copies them as they are. */
export function bringsBackPurged({ mode }: Pick<Changeset, "mode">): boolean {
  return mode === "restore";
}

/** Replaces the schema hash if rows are not checked while they are staged, or not all against the same schemas. */
export const unchecked = Buffer.alloc(32);

/** Returns whether the write deletes items that no row stands for. */
export function isMirror({ mode }: Pick<Changeset, "mode">): boolean {
  return mode === "mirror" || mode === "restore";
}

/** Returns whether these counts contain no change. */
export function isNoOp({ created, updated, deleted }: ChangeCounts): boolean {
  return created + updated + deleted === 0n;
}

/**
 * Resets the matching of rows without an id: they count as created again. Matching depends on the version, so it is repeated
 * whenever the write is compared.
 */
export function unmatch(changeset: Changeset): void {
  const { counts, unidentified } = changeset;
  counts.created += unidentified.updated + unidentified.unchanged;
  counts.updated -= unidentified.updated;
  counts.unchanged -= unidentified.unchanged;
  unidentified.updated = 0n;
  unidentified.unchanged = 0n;
}

/**
 * Returns the number of items that a mirror deletes: those that no row stands for. Each row that updates an item or leaves it
 * unchanged stands for one item, and no two rows stand for the same one, so the counts suffice; no item is read.
 */
export function mirrorDeletions(itemCount: bigint, counts: ChangeCounts): bigint {
  return itemCount - counts.updated - counts.unchanged;
}

/** Returns the failure that names the bound which a mirror exceeds; undefined if it may be published. */
export function guardFailure(
  changeset: Pick<Changeset, "mode" | "guard" | "received" | "counts" | "requestId">,
  itemCount: bigint,
): Failure | undefined {
  const { guard, received, counts, requestId } = changeset;
  if (!isMirror(changeset)) return undefined;
  const { deleted } = counts;
  const refuse = (bound: "max_delete_count" | "max_delete_ratio" | "allow_empty") =>
    failure("DELETE_LIMIT_EXCEEDED", {
      request_id: requestId,
      would_delete: deleted,
      item_count: itemCount,
      bound,
    });
  if (received === 0n && !guard.allowEmpty) return refuse("allow_empty");
  if (guard.maxDeleteCount !== undefined && deleted > guard.maxDeleteCount) return refuse("max_delete_count");
  // Compare quotients: they are as exact as the caller's number, while 0.29 * 100 is less than 29.
  if (guard.maxDeleteRatio !== undefined && Number(deleted) / Number(itemCount) > guard.maxDeleteRatio) {
    return refuse("max_delete_ratio");
  }
  return undefined;
}
