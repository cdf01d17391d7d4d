import { type Instant, instantToSql } from "../db/instant.ts";
import type { Client, Queryable } from "../db/pool.ts";
import type { DatasetHandle, RunHandle } from "../handles.ts";
import type { RunScope } from "./run.ts";

/** A run that is deleted except for its results. */
export type DeletedRun = Pick<RunScope, "datasetId" | "runId" | "runNumber">;

/**
 * Deletes a locked run with its labels, all other rows that refer to its row, and the stored answers of the calls that wrote it.
 * Its results remain, invisible to all readers, for `listDeletedRuns`.
 */
export async function deleteRunRow(
  client: Client,
  { datasetId, runId }: Pick<RunScope, "datasetId" | "runId">,
  time: Instant,
): Promise<void> {
  await client.query("delete from requests where resource_id = $1", [runId]);
  await client.query("delete from runs where dataset_id = $1 and run_id = $2", [datasetId, runId]);
  await client.query("update run_ids set delete_time = $2 where run_id = $1", [runId, instantToSql(time)]);
}

/** Lists runs of which only results are left, in the order of their deletion. */
export async function listDeletedRuns(db: Queryable): Promise<DeletedRun[]> {
  const { rows } = await db.query<{ dataset_id: DatasetHandle; run_id: RunHandle; run_number: bigint }>(
    "select dataset_id, run_id, run_number from run_ids where delete_time is not null order by delete_time",
  );
  return rows.map((row) => ({ datasetId: row.dataset_id, runId: row.run_id, runNumber: row.run_number }));
}

/** Locks the rest of a deleted run. Returns false without waiting if it is locked already, or if nothing is left. */
export async function lockDeletedRun(client: Client, { runId }: DeletedRun): Promise<boolean> {
  const { rowCount } = await client.query(
    "select from run_ids where run_id = $1 and delete_time is not null for update skip locked",
    [runId],
  );
  return rowCount === 1;
}

/** Deletes the next results after the sequence number `after`, and returns the last number; undefined if there were none. */
export async function deleteResultBatch(
  client: Client,
  { datasetId, runNumber }: DeletedRun,
  after: bigint,
  limit: number,
): Promise<bigint | undefined> {
  const { rows } = await client.query<{ through: bigint | null }>(
    `with batch as (
       select sequence from run_results
       where run_number = $2 and sequence > $3 and dataset_id = $1
       order by sequence
       limit $4
     ), deleted as (
       delete from run_results
       where run_number = $2 and sequence > $3 and sequence <= (select max(sequence) from batch) and dataset_id = $1
     )
     select max(sequence) as through from batch`,
    [datasetId, runNumber, after, limit],
  );
  return rows[0]?.through ?? undefined;
}

/** Deletes the next replaced scores, by the numbers of their results; otherwise like `deleteResultBatch`. */
export async function deleteScoreBatch(
  client: Client,
  { datasetId, runId }: DeletedRun,
  after: bigint,
  limit: number,
): Promise<bigint | undefined> {
  const { rows } = await client.query<{ through: bigint | null }>(
    `with batch as (
       select number from replaced_scores
       where dataset_id = $1 and run_id = $2 and number > $3
       order by number
       limit $4
     ), deleted as (
       delete from replaced_scores
       where dataset_id = $1 and run_id = $2 and number > $3 and number <= (select max(number) from batch)
     )
     select max(number) as through from batch`,
    [datasetId, runId, after, limit],
  );
  return rows[0]?.through ?? undefined;
}

/** Deletes the last trace of a run whose results are all deleted. */
export async function deleteRunId(client: Client, { runId }: DeletedRun): Promise<void> {
  await client.query("delete from run_ids where run_id = $1", [runId]);
}
