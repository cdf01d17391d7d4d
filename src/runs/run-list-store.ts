import { type Instant, instantToSql } from "../db/instant.ts";
import { type CutRow, cutPage, type Page, pageStatement } from "../db/page-cutter.ts";
import type { Queryable } from "../db/pool.ts";
import type { DatasetHandle, ProjectId } from "../handles.ts";
import type { Run, RunState } from "./run.ts";
import { type RunRow, runColumns, runFromRow } from "./run-store.ts";

/** Filters the runs to list. Undefined and empty members match all. */
export interface RunFilter {
  readonly datasetId: DatasetHandle | undefined;
  readonly datasetVersion: bigint | undefined;
  readonly states: readonly RunState[];
  readonly label: string;
  readonly targetId: string;
}

/** The cursor: the last run of the previous page. */
export interface RunPosition {
  readonly createTime: Instant;
  readonly runId: string;
}

/** The runs to list. */
export interface RunQuery {
  readonly filter: RunFilter;
  /** Undefined starts at the newest. */
  readonly after: RunPosition | undefined;
  readonly limit: number;
}

/**
 * Lists the runs of a project after `after`, newest first: as many as fit into `limit` and into the bytes of a page, at least
 * one if there is any. `more` is whether others follow.
 */
export async function listRuns(
  db: Queryable,
  projectId: ProjectId,
  { filter, after, limit }: RunQuery,
): Promise<Page<Run>> {
  const values: unknown[] = [projectId, limit];
  const parameter = (value: unknown) => `$${values.push(value)}`;
  const conditions = ["runs.project_id = $1"];
  if (filter.datasetId !== undefined) conditions.push(`runs.dataset_id = ${parameter(filter.datasetId)}`);
  if (filter.datasetVersion !== undefined) {
    conditions.push(`runs.dataset_version = ${parameter(filter.datasetVersion)}`);
  }
  if (filter.states.length > 0) conditions.push(`runs.state = any(${parameter(filter.states)}::text[])`);
  if (filter.targetId !== "") conditions.push(`runs.target_id = ${parameter(filter.targetId)}`);
  if (filter.label !== "") {
    conditions.push(
      `exists (
         select from run_labels as l
         where l.dataset_id = runs.dataset_id and l.run_id = runs.run_id and l.label = ${parameter(filter.label)})`,
    );
  }
  if (after !== undefined) {
    const time = parameter(instantToSql(after.createTime));
    conditions.push(`(runs.create_time, runs.run_id) < (${time}::timestamptz, ${parameter(after.runId)})`);
  }
  const { rows } = await db.query<RunRow & CutRow>(
    pageStatement({
      rows: `select ${runColumns} from runs where ${conditions.join(" and ")}`,
      orderBy: "create_time desc, run_id desc",
      size: `octet_length(name) + octet_length(description) + octet_length(failure_message) + octet_length(target_type)
             + octet_length(target_id) + octet_length(array_to_string(splits, ','))
             + octet_length(array_to_string(labels, ',')) + coalesce(octet_length(metadata), 0) + 1024`,
      limit: "$2",
    }),
    values,
  );
  return cutPage(rows, runFromRow);
}
