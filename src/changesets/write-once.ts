import type { DatasetRef } from "../datasets/dataset.ts";
import { getDataset, reserveDataset } from "../datasets/dataset-store.ts";
import type { Instant } from "../db/instant.ts";
import type { KeyedMutex } from "../db/keyed-mutex.ts";
import type { Client, Pool } from "../db/pool.ts";
import { transaction } from "../db/transaction.ts";
import { type Failure, failure } from "../failure.ts";
import type { ProjectId } from "../handles.ts";
import {
  type Changeset,
  type ChangesetRequest,
  guardFailure,
  newChangeset,
  notReady,
  type Target,
} from "./changeset.ts";
import { findChangeset, insertChangeset, lockTarget } from "./changeset-store.ts";
import { schemaHashInForce } from "./check-rows.ts";
import { insertRowOutcomes, listRowOutcomes, type RowOutcome } from "./outcome-store.ts";
import { requireExpectedVersion } from "./publish.ts";
import { equalBytes } from "./row-classification.ts";

/** The resources of writes. */
export interface WriteResources {
  readonly pool: Pool;
  readonly mutex: KeyedMutex;
  /** Seconds for which an open or planned write is kept. */
  readonly importTtlSeconds: number;
}

/** The dataset that a write goes to. */
export interface WriteTarget {
  readonly projectId: ProjectId;
  readonly ref: DatasetRef;
  /** Whether to create the dataset if it does not exist. */
  readonly createIfMissing: boolean;
}

/** A write and the outcome of each of its rows. */
export interface WriteResult {
  readonly changeset: Changeset;
  readonly rows: readonly RowOutcome[];
  /** The reason why the write stays a plan. */
  readonly refusal: Failure | undefined;
}

/**
 * Runs a whole write in one transaction: begins it, lets `work` stage and publish it, and stores the outcomes of its rows.
 * Idempotent: a repetition returns the first answer without running `work`.
 *
 * @throws Failure DATASET_NOT_FOUND, REQUEST_ID_REUSED, VERSION_CONFLICT, DELETE_LIMIT_EXCEEDED, and those of `work`.
 */
export async function writeOnce(
  { pool, mutex, importTtlSeconds }: WriteResources,
  writeTarget: WriteTarget,
  request: ChangesetRequest,
  work: (client: Client, changeset: Changeset, target: Target) => Promise<WriteResult>,
): Promise<WriteResult> {
  const write = async (client: Client): Promise<WriteResult> => {
    const target = await lockWriteTarget(client, writeTarget);
    const known = await findChangeset(client, target.datasetId, request.requestId);
    if (known !== undefined) return replay(client, known, request);
    requireExpectedVersion(request, target.headVersion);
    const expireTime = expiry(target.time, importTtlSeconds);
    const schemaHash = schemaHashInForce(target, request.newDataset);
    const changeset = await insertChangeset(
      client,
      newChangeset({ target, request, schemaHash, expireTime }),
    );
    const done = await work(client, changeset, target);
    await insertRowOutcomes(client, changeset, done.rows);
    return done;
  };
  const result = await mutex.runExclusive(mutexKey(writeTarget), () => transaction(pool, write));
  // The plan that a guard stopped must persist, so the failure is thrown after the commit.
  if (result.refusal !== undefined) throw result.refusal;
  return result;
}

/** Returns the mutex key of a dataset's writers. It differs between name and id; the row lock covers that case. */
export function mutexKey({ projectId, ref }: Pick<WriteTarget, "projectId" | "ref">): string {
  return `${projectId}/${"name" in ref ? `name/${ref.name}` : ref.datasetId}`;
}

/** Returns when a write that begins or continues now expires unless it is continued. */
export function expiry(time: Instant, ttlSeconds: number): Instant {
  return time + BigInt(ttlSeconds) * 1_000_000n;
}

async function replay(client: Client, known: Changeset, request: ChangesetRequest): Promise<WriteResult> {
  requireSameRequest(known, request);
  if (known.state === "discarded") throw notReady(known);
  return {
    changeset: known,
    rows: await listRowOutcomes(client, known),
    refusal: standingRefusal(known),
  };
}

/** Returns why a write that was not requested as a plan is one; undefined if it is not a plan. */
export function standingRefusal(known: Changeset): Failure | undefined {
  if (known.state !== "planned" || known.validateOnly) return undefined;
  const itemCount = (known.itemCount ?? 0n) - known.counts.created + known.counts.deleted;
  return guardFailure(known, itemCount);
}

/** Fails with REQUEST_ID_REUSED unless the request is the one that began the write. */
export function requireSameRequest(
  known: Changeset,
  request: Pick<ChangesetRequest, "method" | "fingerprint">,
): void {
  if (known.method === request.method && equalBytes(known.fingerprint, request.fingerprint)) return;
  throw failure("REQUEST_ID_REUSED", { request_id: known.requestId });
}

/** Finds the dataset that a write goes to, or reserves it, and locks it. @throws Failure DATASET_NOT_FOUND */
export async function lockWriteTarget(
  client: Client,
  { projectId, ref, createIfMissing }: WriteTarget,
): Promise<Target> {
  const { datasetId } =
    createIfMissing && "name" in ref
      ? await reserveDataset(client, projectId, ref.name)
      : await getDataset(client, projectId, ref);
  const target = await lockTarget(client, datasetId);
  if (target === undefined || !(target.exists || createIfMissing)) {
    throw failure("DATASET_NOT_FOUND", "name" in ref ? { name: ref.name } : { dataset_id: ref.datasetId });
  }
  return target;
}
