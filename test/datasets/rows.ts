import { randomUUID } from "node:crypto";
import type { Queryable } from "../../src/db/pool.ts";

/** Puts a run on version 1 of a dataset, with a result and a worker that holds a cell. */
export async function addRun(db: Queryable, datasetId: string): Promise<void> {
  const runId = `runs${randomUUID().replaceAll("-", "").slice(0, 26)}`;
  const { rows } = await db.query<{ run_number: bigint }>(
    `insert into run_ids (run_id, project_id, dataset_id, result_id_prefix) values ($1, 'default', $2, $1)
     returning run_number`,
    [runId, datasetId],
  );
  const runNumber = rows[0]?.run_number;
  await db.query(
    `insert into runs (
       dataset_id, run_id, run_number, project_id, dataset_version, splits, repetitions, result_id_prefix, name, description,
       target_type, target_id, item_count, expected, etag, author, create_time, update_time)
     values ($1, $2, $3, 'default', 1, '{}', 1, $2, 'run', '', '', '', 1, 1, '', '', now(), now())`,
    [datasetId, runId, runNumber],
  );
  await db.query("insert into run_labels (dataset_id, label, run_id) values ($1, $2, $2)", [
    datasetId,
    runId,
  ]);
  await db.query(
    `insert into run_results (
       dataset_id, run_id, run_number, item_id, repetition, attempt, sequence, number, item_version, output, retry_count,
       trace_id, fingerprint, create_time)
     values ($1, $2, $3, 'a', 1, 1, 1, 1, 1, '1', 0, '', decode(repeat('00', 32), 'hex'), now())`,
    [datasetId, runId, runNumber],
  );
  await db.query(
    "insert into open_cells (dataset_id, run_id, item_id, repetition, attempts) values ($1, $2, 'b', 1, 0)",
    [datasetId, runId],
  );
  await db.query(
    "insert into run_workers (dataset_id, run_id, worker_id, stream_number) values ($1, $2, 'a', 1)",
    [datasetId, runId],
  );
}

/** Adds a revision, a purge, and the notes of an open write. */
export async function addItemRows(db: Queryable, datasetId: string): Promise<void> {
  await db.query(
    `insert into item_revisions (
       dataset_id, item_id, changeset_id, row_number, content_hash, splits, keeps_splits, input)
     values ($1, 'a', 1, 0, decode(repeat('00', 32), 'hex'), '{}', false, '1')`,
    [datasetId],
  );
  await db.query("insert into purges (dataset_id, item_id, purge_time) values ($1, 'a', now())", [datasetId]);
  await db.query(
    `insert into changeset_base_hits (dataset_id, changeset_id, item_ids, row_numbers, lowest_item_id, highest_item_id, changed,
                                 keeps_splits)
     values ($1, 1, '{b}', '{1}', 'a', 'a', false, false)`,
    [datasetId],
  );
  await db.query(
    `insert into changeset_wants (
       dataset_id, changeset_id, row_number, item_id, content_hash, splits, keeps_splits)
     values ($1, 1, 2, 'c', '', '{}', false)`,
    [datasetId],
  );
}

/**
 * Counts the rows of a dataset in each table that belongs to datasets, requests included. Uploads belong to the
 * project: used ones stay and name their dataset. Snapshots stay until the sweeper has removed their files.
 */
export async function rowsOf(db: Queryable, datasetId: string): Promise<{ table: string; count: bigint }[]> {
  const { rows } = await db.query<{ name: string }>(
    `select table_name as name from information_schema.columns
     where table_schema = 'public' and column_name = 'dataset_id' and table_name not in ('uploads', 'snapshots')
     order by table_name`,
  );
  const tables = rows.map(({ name }) => ({ name, column: "dataset_id" }));
  tables.push({ name: "requests", column: "resource_id" });
  return Promise.all(
    tables.map(async ({ name, column }) => {
      const found = await db.query<{ count: bigint }>(`select count(*) from ${name} where ${column} = $1`, [
        datasetId,
      ]);
      return { table: name, count: found.rows[0]?.count ?? 0n };
    }),
  );
}
