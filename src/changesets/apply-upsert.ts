import { getWriteDatasetId } from "../datasets/dataset-store.ts";
import type { Pool } from "../db/pool.ts";
import { transaction } from "../db/transaction.ts";
import { type Failure, failure } from "../failure.ts";
import { type Changeset, type MirrorGuard, notReady } from "./changeset.ts";
import { lockTarget } from "./changeset-store.ts";
import { recheckStagedRows } from "./check-rows.ts";
import { lockUpsert, type WriteName } from "./get-upsert.ts";
import { publish } from "./publish.ts";
import { expiry } from "./write-once.ts";

/** Options of ApplyUpsert. */
export interface ApplyOptions {
  readonly allowRebase: boolean;
  /** Replaces the bounds that the plan was made with. */
  readonly guard: MirrorGuard | undefined;
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
    datasetId: await getWriteDatasetId(pool, name.projectId, name.ref),
    requestId: name.requestId,
  });
  const outcome = await transaction(
    pool,
    async (client): Promise<{ changeset: Changeset; refusal: Failure | undefined }> => {
      const datasetId = await getWriteDatasetId(client, name.projectId, name.ref);
      const target = await lockTarget(client, datasetId);
      if (target === undefined) throw failure("DATASET_NOT_FOUND", { dataset_id: datasetId });
      const changeset = await lockUpsert(client, datasetId, name);
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
