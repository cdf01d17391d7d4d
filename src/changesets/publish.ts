import { createReserved } from "../datasets/dataset-store.ts";
import { notifyAfterCommit } from "../db/notifications.ts";
import type { Client } from "../db/pool.ts";
import { type Failure, failure } from "../failure.ts";
import { consumeUpload } from "../uploads/claim-store.ts";
import { DigestSum } from "../versions/digest.ts";
import { versionsChannel } from "../versions/version.ts";
import {
  bringsBackPurged,
  type Changeset,
  guardFailure,
  isMirror,
  isNoOp,
  mirrorDeletions,
  type Target,
  unmatch,
} from "./changeset.ts";
import { advanceHead, updateChangeset } from "./changeset-store.ts";
import { newDatasetDefinition, requireSchemas } from "./check-rows.ts";
import { findDuplicateSeen } from "./duplicate-store.ts";
import { applyMatches, matchUnidentified, streamMatches } from "./match-store.ts";
import { findPurgedMatch, findPurgedRevision } from "./purged-row-store.ts";
import { rebase } from "./rebase-changeset.ts";
import { streamUnrestoredItems } from "./stage-restored.ts";
import { deleteBaseHits, deleteRevisions } from "./staging-store.ts";
import { type DeletedItem, streamAbsentItems, streamChangedItemIds, supersede } from "./supersede-store.ts";

/** The result of publishing: the changeset, unless the write was refused. */
export interface PublishOutcome {
  readonly changeset: Changeset;
  /** The reason why the write stays a plan. The caller commits, then throws it. */
  readonly refusal: Failure | undefined;
}

/** Options of a call that the changeset does not contain. */
export interface PublishOptions {
  /** Whether the write ends as a plan. */
  readonly planOnly: boolean;
  /** Items to delete, distinct and present in the head version. */
  readonly deletions?: readonly DeletedItem[];
}

/**
 * Compares a write with the head version, counts, and publishes it or leaves it planned. Runs in a transaction that holds
 * the locks of the dataset (`target`) and of the changeset, acquired in this order, and writes the changeset back.
 *
 * The cost grows with the items that were changed, deleted, or touched by versions in between; a first import costs the same
 * at any size.
 *
 * @throws Failure VERSION_CONFLICT if `expectedVersion` is not the head; DUPLICATE_ITEM_ID if two rows stand for one item;
 * ITEM_PURGED if a row changes or recreates a purged item; SCHEMA_VIOLATION if the dataset's schemas have changed and rows
 * violate them.
 */
export async function publish(
  client: Client,
  changeset: Changeset,
  target: Target,
  { planOnly, deletions = [] }: PublishOptions,
): Promise<PublishOutcome> {
  requireExpectedVersion(changeset, target.headVersion);
  await requireDistinctItems(client, changeset);
  if (changeset.baseVersion < target.headVersion) await rebase(client, changeset, target);

  const { counts } = changeset;
  const matched = await match(client, changeset, target);
  if (target.purgeCount > 0n) await requireNothingPurged(client, changeset);
  await requireSchemas(client, changeset, target);
  counts.deleted = isMirror(changeset) ? mirrorDeletions(target.itemCount, counts) : BigInt(deletions.length);
  changeset.itemCount = target.itemCount + counts.created - counts.deleted;
  changeset.createsDataset = !target.exists;

  // A requested plan shows what it would delete; the guard is checked when the plan is applied.
  const refusal = planOnly ? undefined : guardFailure(changeset, target.itemCount);
  if (planOnly || refusal !== undefined) {
    changeset.state = "planned";
    await updateChangeset(client, changeset);
    return { changeset, refusal };
  }
  if (isNoOp(counts)) {
    // Every row without an id matched an item; the revisions staged in case it would not are deleted.
    if (matched) await deleteRevisions(client, changeset);
    await finish(client, changeset, target, undefined);
  } else {
    const version = target.headVersion + 1n;
    const digest = await replace(client, changeset, target, { version, matched, deletions });
    await finish(client, changeset, target, { version, digest });
    await advanceHead(client, changeset);
    notifyAfterCommit(client, versionsChannel, changeset.datasetId);
  }
  return { changeset, refusal: undefined };
}

/** Fails if the writer expects a version that is not the head. @throws Failure VERSION_CONFLICT */
export function requireExpectedVersion(
  { expectedVersion }: Pick<Changeset, "expectedVersion">,
  headVersion: bigint,
): void {
  if (expectedVersion === undefined || expectedVersion === headVersion) return;
  throw failure("VERSION_CONFLICT", { expected_version: expectedVersion, latest_version: headVersion });
}

/** Fails if two rows stand for one item of the base version. The primary key ensures it for rows that create items. */
async function requireDistinctItems(client: Client, changeset: Changeset): Promise<void> {
  const identified = changeset.counts.updated + changeset.counts.unchanged;
  if (identified - changeset.unidentified.updated - changeset.unidentified.unchanged < 2n) return;
  const duplicate = await findDuplicateSeen(client, changeset);
  if (duplicate === undefined) return;
  throw failure("DUPLICATE_ITEM_ID", {
    item_id: duplicate.itemId,
    first_index: duplicate.firstNumber,
    second_index: duplicate.secondNumber,
  });
}

/** Matches rows without an id if there are any and the dataset has items; returns whether it did. */
async function match(client: Client, changeset: Changeset, target: Target): Promise<boolean> {
  unmatch(changeset);
  if (changeset.unidentified.rows === 0n || target.itemCount === 0n) return false;
  const { updated, unchanged } = await matchUnidentified(client, changeset, target.headVersion);
  const { counts, unidentified } = changeset;
  unidentified.updated = updated;
  unidentified.unchanged = unchanged;
  counts.created -= updated + unchanged;
  counts.updated += updated;
  counts.unchanged += unchanged;
  return updated + unchanged > 0n;
}

/**
 * Fails with ITEM_PURGED if the write has a revision of a purged item. Most are refused when they are staged; this finds those
 * staged before the item was purged, or assigned to it by matching and rebasing.
 */
async function requireNothingPurged(client: Client, changeset: Changeset): Promise<void> {
  if (bringsBackPurged(changeset)) return;
  const { unidentified } = changeset;
  const row =
    (await findPurgedRevision(client, changeset)) ??
    (unidentified.updated > 0n ? await findPurgedMatch(client, changeset) : undefined);
  if (row !== undefined) throw failure("ITEM_PURGED", { index: row.rowNumber, item_id: row.itemId });
}

/** Ends the revisions that the new version replaces or deletes, and returns the digest of the new version. */
async function replace(
  client: Client,
  changeset: Changeset,
  target: Target,
  { version, matched, deletions }: { version: bigint; matched: boolean; deletions: readonly DeletedItem[] },
): Promise<Uint8Array> {
  const digest = new DigestSum(target.digest);
  digest.addSum(changeset.digestChange);
  if (matched) {
    for await (const matches of streamMatches(client)) {
      for (const { assignedId, itemId, contentHash, stagedSplits, oldSplits, newSplits } of matches) {
        digest.subtract(assignedId, contentHash, stagedSplits);
        digest.subtract(itemId, contentHash, oldSplits);
        digest.add(itemId, contentHash, newSplits);
      }
    }
    await applyMatches(client, changeset);
  }
  let superseded = 0;
  const { counts } = changeset;
  if (counts.updated > 0n) {
    for await (const itemIds of streamChangedItemIds(client, changeset)) {
      superseded += await supersede(client, changeset, itemIds, version);
    }
  }
  const remove = async (items: readonly DeletedItem[]) => {
    superseded += await supersede(
      client,
      changeset,
      items.map((item) => item.itemId),
      version,
    );
    for (const item of items) digest.subtract(item.itemId, item.contentHash, item.splits);
  };
  if (deletions.length > 0) await remove(deletions);
  if (isMirror(changeset) && counts.deleted > 0n) {
    const absent =
      changeset.mode === "restore"
        ? streamUnrestoredItems(client, changeset, target.headVersion)
        : streamAbsentItems(client, changeset);
    for await (const items of absent) await remove(items);
  }
  if (BigInt(superseded) !== counts.updated + counts.deleted) {
    throw new Error(
      `changeset ${changeset.changesetId} counts ${counts.updated} updates and ${counts.deleted} deletions, but replaces ${superseded} revisions`,
    );
  }
  return digest.bytes();
}

/** Turns the changeset into the receipt of the write. */
async function finish(
  client: Client,
  changeset: Changeset,
  target: Target,
  made: { version: bigint; digest: Uint8Array } | undefined,
): Promise<void> {
  changeset.state = "published";
  changeset.version = made?.version;
  changeset.outcomeVersion = made?.version ?? target.headVersion;
  changeset.digest = made?.digest;
  changeset.publishTime = target.time;
  changeset.expireTime = undefined;
  if (!target.exists) {
    await createReserved(
      client,
      changeset.datasetId,
      newDatasetDefinition(changeset.newDataset),
      target.time,
    );
  }
  if (changeset.uploadId !== undefined) {
    await consumeUpload(client, changeset.uploadId, {
      datasetId: changeset.datasetId,
      requestId: changeset.requestId,
      version: changeset.outcomeVersion,
      time: target.time,
    });
  }
  await deleteBaseHits(client, changeset);
  await updateChangeset(client, changeset);
}
