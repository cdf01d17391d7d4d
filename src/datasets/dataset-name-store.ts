import type { Client } from "../db/pool.ts";
import { failure } from "../failure.ts";
import type { DatasetHandle, ProjectId } from "../handles.ts";
import { type DatasetDefinition, numberedTableName, tableNameOf } from "./dataset.ts";

/** The owner of names. */
export interface NameOwner {
  readonly projectId: ProjectId;
  readonly datasetId: DatasetHandle;
}

/**
 * Gives a name to a dataset in place of its present one. A name that is only reserved is taken from the reservation:
 * its import fails with DATASET_NAME_TAKEN when it is about to create its dataset.
 *
 * @throws Failure DATASET_NAME_TAKEN
 */
export async function claimName(client: Client, owner: NameOwner, name: string): Promise<void> {
  await deleteOtherNames(client, owner, name);
  for (;;) {
    if (await insertName(client, owner, name)) return;
    const holder = await lockName(client, owner.projectId, name);
    if (holder === undefined) continue;
    if (holder.datasetId === owner.datasetId) return;
    if (holder.exists) throw failure("DATASET_NAME_TAKEN", { name, dataset_id: holder.datasetId });
    await moveName(client, owner, name);
    return;
  }
}

async function deleteOtherNames(client: Client, { datasetId }: NameOwner, name: string): Promise<void> {
  await client.query("delete from dataset_names where dataset_id = $1 and name <> $2", [datasetId, name]);
}

/** False if the name is taken. Waits for a transaction that is about to take it or to give it up. */
async function insertName(
  client: Client,
  { projectId, datasetId }: NameOwner,
  name: string,
): Promise<boolean> {
  const { rowCount } = await client.query(
    `insert into dataset_names (project_id, name, dataset_id) values ($1, $2, $3)
     on conflict (project_id, name) do nothing`,
    [projectId, name, datasetId],
  );
  return rowCount === 1;
}

/** Returns the dataset that holds a name. The lock makes taking a reserved name and creating its dataset exclude each other. */
async function lockName(
  client: Client,
  projectId: ProjectId,
  name: string,
): Promise<{ datasetId: DatasetHandle; exists: boolean } | undefined> {
  const { rows } = await client.query<{ dataset_id: DatasetHandle }>(
    "select dataset_id from dataset_names where project_id = $1 and name = $2 for update",
    [projectId, name],
  );
  const holder = rows[0];
  if (holder === undefined) return undefined;
  return { datasetId: holder.dataset_id, exists: await datasetExists(client, holder.dataset_id) };
}

/** A statement of its own, so that it sees transactions that committed while this one waited for the lock on the name. */
async function datasetExists(client: Client, datasetId: DatasetHandle): Promise<boolean> {
  const { rowCount } = await client.query(
    "select from datasets where dataset_id = $1 and create_time is not null",
    [datasetId],
  );
  return rowCount === 1;
}

async function moveName(client: Client, { projectId, datasetId }: NameOwner, name: string): Promise<void> {
  await client.query("update dataset_names set dataset_id = $3 where project_id = $1 and name = $2", [
    projectId,
    name,
    datasetId,
  ]);
}

/**
 * Gives a table name to a dataset in place of its present one, and returns it: the one that its definition chooses, or
 * else the first free one made from its name.
 *
 * @throws Failure TABLE_NAME_TAKEN if a chosen one is taken, in upper or lower case.
 */
export async function claimTableName(
  client: Client,
  owner: NameOwner,
  { name, tableName }: Pick<DatasetDefinition, "name" | "tableName">,
): Promise<string> {
  await deleteTableName(client, owner);
  if (tableName !== undefined) {
    while (!(await insertTableName(client, owner, tableName))) {
      const holder = await findTableNameHolder(client, owner.projectId, tableName);
      if (holder !== undefined) {
        throw failure("TABLE_NAME_TAKEN", { table_name: tableName, dataset_id: holder });
      }
    }
    return tableName;
  }
  for (;;) {
    const free = await findFreeTableName(client, owner.projectId, tableNameOf(name));
    if (await insertTableName(client, owner, free)) return free;
  }
}

async function deleteTableName(client: Client, { datasetId }: NameOwner): Promise<void> {
  await client.query("delete from dataset_table_names where dataset_id = $1", [datasetId]);
}

/** False if the table name is taken. */
async function insertTableName(
  client: Client,
  { projectId, datasetId }: NameOwner,
  tableName: string,
): Promise<boolean> {
  const { rowCount } = await client.query(
    `insert into dataset_table_names (project_id, table_key, table_name, dataset_id) values ($1, lower($2), $2, $3)
     on conflict (project_id, table_key) do nothing`,
    [projectId, tableName, datasetId],
  );
  return rowCount === 1;
}

async function findTableNameHolder(
  client: Client,
  projectId: ProjectId,
  tableName: string,
): Promise<string | undefined> {
  const { rows } = await client.query<{ dataset_id: DatasetHandle }>(
    "select dataset_id from dataset_table_names where project_id = $1 and table_key = lower($2)",
    [projectId, tableName],
  );
  return rows[0]?.dataset_id;
}

/** Candidate table names in the first statement. Nearly always the first is free. */
const candidatesAtFirst = 8;

/** Returns the first of `sales`, `sales_2`, `sales_3`, … that was free just now. */
async function findFreeTableName(client: Client, projectId: ProjectId, tableName: string): Promise<string> {
  // With doubling, a name that a thousand datasets share takes a handful of statements.
  for (let first = 1, count = candidatesAtFirst; ; first += count, count *= 2) {
    const candidates = Array.from({ length: count }, (_, step) => numberedTableName(tableName, first + step));
    const free = await findFreeOf(client, projectId, candidates);
    if (free !== undefined) return free;
  }
}

async function findFreeOf(
  client: Client,
  projectId: ProjectId,
  candidates: readonly string[],
): Promise<string | undefined> {
  const { rows } = await client.query<{ candidate: string }>(
    `select candidate
     from unnest($2::text[]) with ordinality as candidates (candidate, number)
     where not exists (select from dataset_table_names where project_id = $1 and table_key = candidate)
     order by number
     limit 1`,
    [projectId, candidates],
  );
  return rows[0]?.candidate;
}
