import type { Instant } from "../db/instant.ts";
import type { Queryable } from "../db/pool.ts";
import { failure } from "../failure.ts";
import type { DatasetHandle, ProjectId, RunHandle } from "../handles.ts";
import type { Run, RunCounts, RunScope, RunState } from "./run.ts";

/** A row of `runColumns`. */
export interface RunRow {
  dataset_id: DatasetHandle;
  run_id: RunHandle;
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

/** All columns of a run, including its labels, from a table or alias `runs`. */
export const runColumns = `
  runs.dataset_id, runs.run_id, runs.dataset_version, runs.splits, runs.repetitions, runs.item_count, runs.run_number,
  runs.result_id_prefix, runs.name, runs.description, runs.target_type, runs.target_id, runs.metadata,
  array(
    select label from run_labels where dataset_id = runs.dataset_id and run_id = runs.run_id order by label
  ) as labels,
  runs.state, runs.failure_message, runs.item_count, runs.expected, runs.succeeded, runs.failed, runs.carried,
  runs.sequence, runs.etag, runs.author, runs.create_time, runs.start_time, runs.complete_time, runs.update_time`;

/** Returns a run. @throws Failure RUN_NOT_FOUND, also for a run of another project. */
export async function getRun(db: Queryable, projectId: ProjectId, runId: string): Promise<Run> {
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

/** Returns the immutable facts of a run. @throws Failure RUN_NOT_FOUND, also for a run of another project. */
export async function getRunScope(db: Queryable, projectId: ProjectId, runId: string): Promise<RunScope> {
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

/** Finds the state of a run; undefined if it was deleted. */
export async function findRunState(
  db: Queryable,
  { datasetId, runId }: RunScope,
): Promise<RunState | undefined> {
  const { rows } = await db.query<{ state: RunState }>(
    "select state from runs where dataset_id = $1 and run_id = $2",
    [datasetId, runId],
  );
  return rows[0]?.state;
}

/** Finds the run of a project whose result ids begin with `prefix`. */
export async function findRunScopeOfResults(
  db: Queryable,
  projectId: ProjectId,
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
  | "run_id"
  | "dataset_id"
  | "dataset_version"
  | "splits"
  | "repetitions"
  | "item_count"
  | "run_number"
  | "result_id_prefix"
>;

const runScopeColumns =
  "runs.run_id, runs.dataset_id, runs.dataset_version, runs.splits, runs.repetitions, runs.item_count, runs.run_number, runs.result_id_prefix";

function runScopeFromRow(row: RunScopeRow): RunScope {
  return {
    runId: row.run_id,
    datasetId: row.dataset_id,
    datasetVersion: row.dataset_version,
    splits: row.splits,
    repetitions: row.repetitions,
    itemCount: row.item_count,
    runNumber: row.run_number,
    resultIdPrefix: row.result_id_prefix,
  };
}

export function countsFromRow(
  row: Pick<RunRow, "item_count" | "expected" | "succeeded" | "failed" | "carried">,
): RunCounts {
  return {
    itemCount: row.item_count,
    expected: row.expected,
    succeeded: row.succeeded,
    failed: row.failed,
    carried: row.carried,
  };
}
