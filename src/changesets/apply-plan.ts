import type { DatasetRef } from "../datasets/dataset.ts";
import { findWriteDataset } from "../datasets/dataset-store.ts";
import type { Client, Pool, Queryable } from "../db/pool.ts";
import { transaction } from "../db/transaction.ts";
import { type Failure, failure } from "../failure.ts";
import type { DatasetHandle, ProjectId } from "../handles.ts";
import { type Changeset, type MirrorGuard, notReady } from "./changeset.ts";
import { findChangeset, lockChangeset, lockTarget, updateChangeset } from "./changeset-store.ts";
import { recheckStagedRows } from "./check-rows.ts";
import { publish } from "./publish.ts";
import { deleteRevisions, deleteTouchedItems } from "./staging-store.ts";
import { expiry } from "./write-once.ts";

/** Names a write. */
export interface WriteName {
  readonly projectId: ProjectId;
  readonly ref: DatasetRef;
  readonly requestId: string;
}

/** Options of ApplyUpsert. */
export interface ApplyOptions {
  readonly allowRebase: boolean;
  /** Replaces the bounds that the plan was made with. */
  readonly guard: MirrorGuard | undefined;
}

/** Returns a write in any state. @throws Failure DATASET_NOT_FOUND, UPSERT_NOT_FOUND */
export async function getUpsert({ pool }: { readonly pool: Pool }, name: WriteName): Promise<Changeset> {
  const datasetId = await findWriteDataset(pool, name.projectId, name.ref);
  return found(await findChangeset(pool, datasetId, name.requestId), datasetId, name);
}

/** Returns a planned write. @throws Failure UPSERT_NOT_FOUND, UPSERT_NOT_READY in any other state */
export async function getPlan(
  db: Queryable,
  datasetId: DatasetHandle,
  requestId: string,
): Promise<Changeset> {
  const changeset = found(await findChangeset(db, datasetId, requestId), datasetId, { requestId });
  if (changeset.state !== "planned") throw notReady(changeset);
  return changeset;
}

/**
 * Publishes a planned write; returns one that is already published.
 *
 * @throws Failure VERSION_CONFLICT, UPSERT_NOT_READY, DELETE_LIMIT_EXCEEDED, SCHEMA_VIOLATION
 */
export async function applyUpsert(
  { pool, importTtlSeconds }: { readonly pool: Pool; readonly importTtlSeconds: number },
  name: WriteName,
  { allowRebase, guard }: ApplyOptions,
): Promise<Changeset> {
  await recheckStagedRows(pool, {
    datasetId: await findWriteDataset(pool, name.projectId, name.ref),
    requestId: name.requestId,
  });
  const outcome = await transaction(
    pool,
    async (client): Promise<{ changeset: Changeset; refusal: Failure | undefined }> => {
      const datasetId = await findWriteDataset(client, name.projectId, name.ref);
      const target = await lockTarget(client, datasetId);
      if (target === undefined) throw failure("DATASET_NOT_FOUND", { dataset_id: datasetId });
      const changeset = await lock(client, datasetId, name);
      if (changeset.state === "published") return { changeset, refusal: undefined };
      if (changeset.state !== "planned") throw notReady(changeset);
      if (changeset.baseVersion !== target.headVersion && !allowRebase) {
        throw failure("VERSION_CONFLICT", {
          expected_version: changeset.baseVersion,
          latest_version: target.headVersion,
        });
      }
      if (guard !== undefined) changeset.guard = guard;
      changeset.expireTime = expiry(target.time, importTtlSeconds);
      return publish(client, changeset, target, { planOnly: false });
    },
  );
  if (outcome.refusal !== undefined) throw outcome.refusal;
  return outcome.changeset;
}

/** Discards an open or planned write. @throws Failure UPSERT_NOT_READY if it is published */
export async function discardUpsert({ pool }: { readonly pool: Pool }, name: WriteName): Promise<Changeset> {
  return transaction(pool, async (client) => {
    const datasetId = await findWriteDataset(client, name.projectId, name.ref);
    const changeset = await lock(client, datasetId, name);
    if (changeset.state === "published") throw notReady(changeset);
    if (changeset.state !== "discarded") await discard(client, changeset);
    return changeset;
  });
}

/** Discards a write whose lock is held: deletes its rows and keeps its receipt. */
export async function discard(client: Client, changeset: Changeset): Promise<void> {
  changeset.state = "discarded";
  changeset.expireTime = undefined;
  await deleteRevisions(client, changeset);
  await deleteTouchedItems(client, changeset);
  await updateChangeset(client, changeset);
}

async function lock(client: Client, datasetId: DatasetHandle, name: WriteName): Promise<Changeset> {
  return found(await lockChangeset(client, datasetId, name.requestId), datasetId, name);
}

function found(
  changeset: Changeset | undefined,
  datasetId: DatasetHandle,
  { requestId }: Pick<WriteName, "requestId">,
): Changeset {
  if (changeset === undefined) {
    throw failure("UPSERT_NOT_FOUND", { dataset_id: datasetId, request_id: requestId });
  }
  return changeset;
}
