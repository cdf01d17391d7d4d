import type { DatasetRef } from "../datasets/dataset.ts";
import { getWriteDatasetId } from "../datasets/dataset-store.ts";
import type { Client, Pool, Queryable } from "../db/pool.ts";
import { failure } from "../failure.ts";
import type { DatasetHandle, ProjectId } from "../handles.ts";
import { type Changeset, notReady } from "./changeset.ts";
import { findChangeset, lockChangeset } from "./changeset-store.ts";

/** Names a write. */
export interface WriteName {
  readonly projectId: ProjectId;
  readonly ref: DatasetRef;
  readonly requestId: string;
}

/** Returns a write in any state. @throws Failure DATASET_NOT_FOUND, UPSERT_NOT_FOUND */
export async function getUpsert({ pool }: { readonly pool: Pool }, name: WriteName): Promise<Changeset> {
  const datasetId = await getWriteDatasetId(pool, name.projectId, name.ref);
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

/** Locks a write in any state. @throws Failure UPSERT_NOT_FOUND */
export async function lockUpsert(
  client: Client,
  datasetId: DatasetHandle,
  name: WriteName,
): Promise<Changeset> {
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
