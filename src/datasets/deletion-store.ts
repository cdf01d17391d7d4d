import type { Client } from "../db/pool.ts";
import type { DatasetHandle } from "../handles.ts";

/** Tables whose rows belong to runs, and are found by their ids. */
const ofRuns = ["run_results", "replaced_scores"] as const;

/**
 * All tables with rows of a dataset, in the order of deletion. Every writer holds a lock on its run or changeset:
 * deleting these first waits for writers, so their rows are seen and deleted, too. `datasets` is last because runs
 * refer to it.
 */
const tables = [
  "runs",
  ...ofRuns,
  "run_ids",
  "changesets",
  "changeset_base_hits",
  "changeset_wants",
  "item_revisions",
  "purges",
  "version_tags",
  "dataset_names",
  "dataset_table_names",
  "datasets",
] as const;

/** Counts the runs on any version of a dataset. */
export async function countRuns(client: Client, datasetId: DatasetHandle): Promise<bigint> {
  const { rows } = await client.query<{ count: bigint }>("select count(*) from runs where dataset_id = $1", [
    datasetId,
  ]);
  return rows[0]?.count ?? 0n;
}

/** Lists the names of the locked tags of a dataset, in ascending byte order. */
export async function listLockedTags(client: Client, datasetId: DatasetHandle): Promise<string[]> {
  const { rows } = await client.query<{ tag: string }>(
    "select tag from version_tags where dataset_id = $1 and locked order by tag",
    [datasetId],
  );
  return rows.map((row) => row.tag);
}

/** Deletes a dataset whose row is locked, with its runs and with the answers to the calls that wrote either. */
export async function deleteDatasetRows(client: Client, datasetId: DatasetHandle): Promise<void> {
  await deleteRequests(client, datasetId);
  const runIds = "(select run_id from run_ids where dataset_id = $1)";
  for (const table of tables) {
    const byRun = ofRuns.some((one) => one === table) ? ` and run_id in ${runIds}` : "";
    await client.query(`delete from ${table} where dataset_id = $1${byRun}`, [datasetId]);
  }
}

async function deleteRequests(client: Client, datasetId: DatasetHandle): Promise<void> {
  await client.query(
    `delete from requests
     where resource_id = $1 or resource_id in (select run_id from run_ids where dataset_id = $1)`,
    [datasetId],
  );
}
