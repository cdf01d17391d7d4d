import { newEtag } from "../datasets/dataset.ts";
import type { Client, Queryable } from "../db/pool.ts";
import { failure } from "../failure.ts";
import { newId } from "../ids.ts";
import { type Instant, instantToSql } from "../instant.ts";
import type { LockedRun, NewRun, Run, RunScope, RunState } from "./run.ts";
import { newResultIdPrefix } from "./run.ts";

/** A row of `runColumns`. */
export interface RunRow {
  dataset_id: string;
  run_id: string;
  dataset_version: bigint;
  splits: string[];
  repetitions: number;
  run_number: bigint;
  result_id_prefix: string;
  name: string;
  description: string;
  target_type: string;
  target_id: string;
  metadata: string | null;
  labels: string[];
  state: RunState;
  failure_message: string;
  item_count: bigint;
  expected: bigint;
  succeeded: bigint;
  failed: bigint;
  carried: bigint;
  sequence: bigint;
  etag: string;
  author: string;
  create_time: Instant;
  start_time: Instant | null;
  complete_time: Instant | null;
  update_time: Instant;
}

/** All of a run, its labels included, from a table or alias `runs`. */
export const runColumns = `
  runs.dataset_id, runs.run_id, runs.dataset_version, runs.splits, runs.repetitions, runs.run_number,
  runs.result_id_prefix, runs.name, runs.description, runs.target_type, runs.target_id, runs.metadata,
  array(
    select label from run_labels where dataset_id = runs.dataset_id and run_id = runs.run_id order by label
  ) as labels,
  runs.state, runs.failure_message, runs.item_count, runs.expected, runs.succeeded, runs.failed, runs.carried,
  runs.sequence, runs.etag, runs.author, runs.create_time, runs.start_time, runs.complete_time, runs.update_time`;

/** What a run is created on, beyond what its creator says. */
export interface RunBasis {
  readonly projectId: string;
  readonly datasetId: string;
  readonly datasetVersion: bigint;
  /** Items that it covers; at least 1. */
  readonly itemCount: bigint;
  readonly author: string;
}

/**
 * Keeps a dataset from being deleted until the transaction ends, and from being published to: call it late. False if there
 * is none any more.
 */
export async function keepDataset(client: Client, datasetId: string): Promise<boolean> {
  const { rowCount } = await client.query(`select from datasets where dataset_id = $1 for key share`, [
    datasetId,
  ]);
  return rowCount === 1;
}

/** Creates a run, without labels. */
export async function insertRun(client: Client, basis: RunBasis, run: NewRun): Promise<Run> {
  const runId = newId("runs");
  const resultIdPrefix = newResultIdPrefix();
  const { rows: ids } = await client.query<{ run_number: bigint }>(
    `insert into run_ids (run_id, project_id, dataset_id, result_id_prefix) values ($1, $2, $3, $4)
     returning run_number`,
    [runId, basis.projectId, basis.datasetId, resultIdPrefix],
  );
  const { rows } = await client.query<RunRow>(
    `insert into runs (
       dataset_id, run_id, project_id, dataset_version, splits, repetitions, result_id_prefix, name, description,
       target_type, target_id, metadata, item_count, expected, etag, author, run_number, create_time, update_time)
     values ($1, $2, $3, $4, $5, $6::int, $7, $8, $9, $10, $11, $12, $13::bigint, $13::bigint * $6::int, $14, $15, $16,
             now(), now())
     returning ${runColumns}`,
    [
      basis.datasetId,
      runId,
      basis.projectId,
      basis.datasetVersion,
      run.splits,
      run.repetitions,
      resultIdPrefix,
      run.name,
      run.description,
      run.targetType,
      run.targetId,
      run.metadata,
      basis.itemCount,
      newEtag(),
      basis.author,
      ids[0]?.run_number,
    ],
  );
  return runFromRow(rows[0] as RunRow);
}

/**
 * Gives labels to a run and takes them from the runs of the dataset that had them, whose update_time moves on. The order
 * of labels keeps two calls that take the same ones from waiting for each other.
 */
export async function takeLabels(
  client: Client,
  { datasetId, runId }: Pick<Run, "datasetId" | "runId">,
  labels: readonly string[],
): Promise<void> {
  if (labels.length === 0) return;
  await client.query(
    `with losers as (
       select distinct run_id from run_labels where dataset_id = $1 and label = any($3::text[]) and run_id <> $2
     ), taken as (
       insert into run_labels (dataset_id, label, run_id)
       select $1, label, $2 from unnest($3::text[]) as label order by label collate "C"
       on conflict (dataset_id, label) do update set run_id = excluded.run_id
     )
     update runs set update_time = $4
     from losers where runs.dataset_id = $1 and runs.run_id = losers.run_id`,
    [datasetId, runId, labels, instantToSql(await clockTime(client))],
  );
}

/** What the clock says. Apart from updates, since distributed tables take no volatile function in one. */
export async function clockTime(client: Client): Promise<Instant> {
  const { rows } = await client.query<{ time: Instant }>("select clock_timestamp() as time");
  return (rows[0] as { time: Instant }).time;
}

/** @throws Failure RUN_NOT_FOUND, also for a run of another project. */
export async function getRun(db: Queryable, projectId: string, runId: string): Promise<Run> {
  const { rows } = await db.query<RunRow>(
    `select ${runColumns}
     from run_ids join runs on runs.dataset_id = run_ids.dataset_id and runs.run_id = run_ids.run_id
     where run_ids.run_id = $1 and run_ids.project_id = $2`,
    [runId, projectId],
  );
  const row = rows[0];
  if (row === undefined) throw runNotFound(runId);
  return runFromRow(row);
}

/** @throws Failure RUN_NOT_FOUND, also for a run of another project. */
export async function getRunScope(db: Queryable, projectId: string, runId: string): Promise<RunScope> {
  const { rows } = await db.query<RunScopeRow>(
    `select ${runScopeColumns}
     from run_ids join runs on runs.dataset_id = run_ids.dataset_id and runs.run_id = run_ids.run_id
     where run_ids.run_id = $1 and run_ids.project_id = $2`,
    [runId, projectId],
  );
  const row = rows[0];
  if (row === undefined) throw runNotFound(runId);
  return runScopeFromRow(row);
}

/** The run whose results have ids that begin with `prefix`, within a project. */
export async function findRunScopeOfResults(
  db: Queryable,
  projectId: string,
  prefix: string,
): Promise<RunScope | undefined> {
  const { rows } = await db.query<RunScopeRow>(
    `select ${runScopeColumns}
     from run_ids join runs on runs.dataset_id = run_ids.dataset_id and runs.run_id = run_ids.run_id
     where run_ids.result_id_prefix = $1 and run_ids.project_id = $2`,
    [prefix, projectId],
  );
  return rows[0] && runScopeFromRow(rows[0]);
}

/**
 * Locks a run against everybody else who records results in it or ends it.
 *
 * @throws Failure RUN_NOT_FOUND if it was deleted.
 */
export async function lockRun(client: Client, scope: RunScope): Promise<LockedRun> {
  const { datasetId, runId } = scope;
  const { rows } = await client.query<Omit<RunRow, "labels"> & { time: Instant }>(
    `select state, item_count, expected, succeeded, failed, carried, sequence,
            clock_timestamp() as time
     from runs where dataset_id = $1 and run_id = $2 for no key update`,
    [datasetId, runId],
  );
  const row = rows[0];
  if (row === undefined) throw runNotFound(runId);
  return {
    ...scope,
    state: row.state,
    counts: countsFromRow(row),
    sequence: row.sequence,
    time: row.time,
  };
}

/** Writes back what recording changes about a locked run. The first result starts it. */
export async function advanceRun(
  client: Client,
  run: LockedRun,
  change: { succeeded: number; failed: number; carried: number; places: number },
): Promise<void> {
  await client.query(
    `update runs set
       succeeded = succeeded + $3, failed = failed + $4, carried = carried + $5, sequence = sequence + $6,
       state = case state when 'pending' then 'running' else state end,
       start_time = coalesce(start_time, $7),
       update_time = case state when 'pending' then $7 else update_time end
     where dataset_id = $1 and run_id = $2`,
    [
      run.datasetId,
      run.runId,
      change.succeeded,
      change.failed,
      change.carried,
      change.places,
      instantToSql(run.time),
    ],
  );
}

/** Puts a locked run into a final state. */
export async function endRun(
  client: Client,
  run: LockedRun,
  state: "completed" | "failed" | "cancelled",
  failureMessage: string,
): Promise<void> {
  await client.query(
    `update runs set
       state = $3, failure_message = $4, start_time = coalesce(start_time, $5), complete_time = $5, update_time = $5
     where dataset_id = $1 and run_id = $2`,
    [run.datasetId, run.runId, state, failureMessage, instantToSql(run.time)],
  );
}

export function runNotFound(runId: string) {
  return failure("RUN_NOT_FOUND", { run_id: runId });
}

export function runFromRow(row: RunRow): Run {
  return {
    ...runScopeFromRow(row),
    name: row.name,
    description: row.description,
    targetType: row.target_type,
    targetId: row.target_id,
    metadata: row.metadata ?? undefined,
    labels: row.labels,
    state: row.state,
    failureMessage: row.failure_message,
    counts: countsFromRow(row),
    sequence: row.sequence,
    etag: row.etag,
    author: row.author,
    createTime: row.create_time,
    startTime: row.start_time ?? undefined,
    completeTime: row.complete_time ?? undefined,
    updateTime: row.update_time,
  };
}

type RunScopeRow = Pick<
  RunRow,
  "run_id" | "dataset_id" | "dataset_version" | "splits" | "repetitions" | "run_number" | "result_id_prefix"
>;

const runScopeColumns =
  "runs.run_id, runs.dataset_id, runs.dataset_version, runs.splits, runs.repetitions, runs.run_number, runs.result_id_prefix";

function runScopeFromRow(row: RunScopeRow): RunScope {
  return {
    runId: row.run_id,
    datasetId: row.dataset_id,
    datasetVersion: row.dataset_version,
    splits: row.splits,
    repetitions: row.repetitions,
    runNumber: row.run_number,
    resultIdPrefix: row.result_id_prefix,
  };
}

function countsFromRow(row: Pick<RunRow, "item_count" | "expected" | "succeeded" | "failed" | "carried">) {
  return {
    itemCount: row.item_count,
    expected: row.expected,
    succeeded: row.succeeded,
    failed: row.failed,
    carried: row.carried,
  };
}
