import { type Instant, instantToSql } from "../db/instant.ts";
import { type CutRow, cutPage, type Page, pageStatement } from "../db/page-cutter.ts";
import type { Client, Queryable } from "../db/pool.ts";
import { type Failure, failure } from "../failure.ts";
import type { DatasetHandle, ProjectId } from "../handles.ts";
import { newId } from "../ids.ts";
import { schemaHashOf } from "../schemas/item-schemas.ts";
import {
  type Dataset,
  type DatasetDefinition,
  type DatasetPosition,
  type DatasetRef,
  type DatasetView,
  newEtag,
} from "./dataset.ts";
import { claimName, claimTableName } from "./dataset-name-store.ts";

interface DatasetRow {
  dataset_id: DatasetHandle;
  project_id: ProjectId;
  name: string;
  table_name: string;
  description: string;
  metadata: string | null;
  input_schema: string | null;
  expected_output_schema: string | null;
  head_version: bigint;
  item_count: bigint;
  digest: Buffer;
  purge_count: bigint;
  etag: string;
  create_time: Instant;
  update_time: Instant;
}

const schemaColumns = "d.input_schema, d.expected_output_schema";
const noSchemaColumns = "null::text as input_schema, null::text as expected_output_schema";

/** Existing datasets: reserved ones have no table name and no create_time. */
const existingWith = (schemas: string) => `
  select d.dataset_id, d.project_id, n.name, t.table_name, d.description, d.metadata, ${schemas}, d.head_version, d.item_count, d.digest, d.purge_count, d.etag, d.create_time, d.update_time
  from datasets d
  join dataset_names n on n.dataset_id = d.dataset_id
  join dataset_table_names t on t.dataset_id = d.dataset_id
  where d.create_time is not null`;
const existing = existingWith(schemaColumns);

/** The condition that finds the row of `datasets d` for a reference. $1 is the project, $2 the value of the reference. */
function meant(ref: DatasetRef): string {
  return "name" in ref
    ? "d.dataset_id = (select dataset_id from dataset_names where project_id = $1 and name = $2)"
    : "d.project_id = $1 and d.dataset_id = $2";
}

const refValue = (ref: DatasetRef) => ("name" in ref ? ref.name : ref.datasetId);

/** The failure of a call about a dataset that does not exist. */
export function datasetNotFound(ref: DatasetRef): Failure {
  return failure("DATASET_NOT_FOUND", "name" in ref ? { name: ref.name } : { dataset_id: ref.datasetId });
}

export async function findDataset(
  db: Queryable,
  projectId: ProjectId,
  ref: DatasetRef,
): Promise<Dataset | undefined> {
  const { rows } = await db.query<DatasetRow>(`${existing} and ${meant(ref)}`, [projectId, refValue(ref)]);
  return rows[0] && fromRow(rows[0]);
}

/** @throws Failure DATASET_NOT_FOUND */
export async function getDataset(db: Queryable, projectId: ProjectId, ref: DatasetRef): Promise<Dataset> {
  const dataset = await findDataset(db, projectId, ref);
  if (dataset === undefined) throw datasetNotFound(ref);
  return dataset;
}

/**
 * Locks the row of a dataset and returns it: nobody else can change it, publish to it or delete it until the
 * transaction ends.
 *
 * @throws Failure DATASET_NOT_FOUND
 */
export async function lockDataset(client: Client, projectId: ProjectId, ref: DatasetRef): Promise<Dataset> {
  for (;;) {
    const locked = await lockRow(client, projectId, ref, "update");
    const dataset = await getDataset(client, projectId, ref);
    // During the wait for the lock, the name may have moved to another dataset.
    if (dataset.datasetId === locked) return dataset;
  }
}

/** Locks the row of a reference, reserved or not, and returns its id. The reference may lead to another row by then. */
async function lockRow(
  client: Client,
  projectId: ProjectId,
  ref: DatasetRef,
  strength: "update" | "no key update",
): Promise<string | undefined> {
  const { rows } = await client.query<{ dataset_id: DatasetHandle }>(
    `select d.dataset_id from datasets d where ${meant(ref)} for ${strength} of d`,
    [projectId, refValue(ref)],
  );
  return rows[0]?.dataset_id;
}

/** A dataset that an import writes to: it exists, or it is only reserved by imports that will create it. */
export interface ReservedDataset {
  readonly datasetId: DatasetHandle;
  /** False while readers do not see the dataset. */
  readonly exists: boolean;
}

/** Finds the dataset that has or will have a name or an id. */
export async function findReservedDataset(
  db: Queryable,
  projectId: ProjectId,
  ref: DatasetRef,
): Promise<ReservedDataset | undefined> {
  const { rows } = await db.query<{ dataset_id: DatasetHandle; exists: boolean }>(
    `select d.dataset_id, d.create_time is not null as exists from datasets d where ${meant(ref)}`,
    [projectId, refValue(ref)],
  );
  return rows[0] && { datasetId: rows[0].dataset_id, exists: rows[0].exists };
}

/**
 * Returns the id of a dataset for a call about its writes, even if readers do not see it yet.
 *
 * @throws Failure DATASET_NOT_FOUND
 */
export async function getWriteDatasetId(
  db: Queryable,
  projectId: ProjectId,
  ref: DatasetRef,
): Promise<DatasetHandle> {
  const dataset = await findReservedDataset(db, projectId, ref);
  if (dataset === undefined) throw datasetNotFound(ref);
  return dataset.datasetId;
}

/**
 * Locks the row of the dataset that has or will have this name. If the name is free, a dataset is reserved, which
 * readers do not see until `createReserved`. Of concurrent calls with the same name, one reserves and the others get
 * the same dataset, once its transaction has ended.
 */
export async function reserveDataset(
  client: Client,
  projectId: ProjectId,
  name: string,
): Promise<ReservedDataset> {
  for (;;) {
    const reserved = await insertReservation(client, projectId, name);
    if (reserved !== undefined) return { datasetId: reserved, exists: false };
    const locked = await lockRow(client, projectId, { name }, "no key update");
    const dataset = await findReservedDataset(client, projectId, { name });
    // During the wait for the lock, the dataset may have been renamed or deleted.
    if (dataset !== undefined && dataset.datasetId === locked) return dataset;
  }
}

/** Reserves a dataset with a free name, and returns its id. */
async function insertReservation(
  client: Client,
  projectId: ProjectId,
  name: string,
): Promise<DatasetHandle | undefined> {
  const { rows } = await client.query<{ dataset_id: DatasetHandle }>(
    `with named as (
       insert into dataset_names (project_id, name, dataset_id) values ($1, $2, $3)
       on conflict (project_id, name) do nothing
       returning dataset_id
     )
     insert into datasets (dataset_id, project_id, etag)
     select dataset_id, $1, $4 from named
     returning dataset_id`,
    [projectId, name, newId("data"), newEtag()],
  );
  return rows[0]?.dataset_id;
}

/**
 * Makes a reserved dataset, whose row is locked, visible to readers.
 *
 * @param time When it is created, from `clockOf` or later.
 * @throws Failure DATASET_NAME_TAKEN if another dataset has been given the name meanwhile; TABLE_NAME_TAKEN
 */
export async function createReserved(
  client: Client,
  datasetId: DatasetHandle,
  definition: DatasetDefinition,
  time: Instant,
): Promise<void> {
  const { rows } = await client.query<{ project_id: ProjectId }>(
    `update datasets
     set create_time = $2, update_time = $2, description = $3, metadata = $4, input_schema = $5,
         expected_output_schema = $6, schema_hash = $7
     where dataset_id = $1 and create_time is null
     returning project_id`,
    [
      datasetId,
      instantToSql(time),
      definition.description,
      definition.metadata,
      definition.inputSchema,
      definition.expectedOutputSchema,
      schemaHashOf(definition),
    ],
  );
  const row = rows[0];
  if (row === undefined) throw new Error(`${datasetId} is not reserved`);
  const owner = { projectId: row.project_id, datasetId };
  await claimName(client, owner, definition.name);
  await claimTableName(client, owner, definition);
}

/** Returns the time for the next change of a dataset: the clock's, and at least a microsecond after the last change. */
export async function clockOf(client: Client, datasetId: DatasetHandle): Promise<Instant> {
  const { rows } = await client.query<{ time: Instant }>(
    `select greatest(clock_timestamp(), update_time + interval '1 microsecond') as time
     from datasets where dataset_id = $1`,
    [datasetId],
  );
  const row = rows[0];
  if (row === undefined) throw new Error(`${datasetId} is missing, although its row should be locked`);
  return row.time;
}

/** Which datasets to list. */
export interface DatasetQuery {
  /** Keeps names that begin with it, byte by byte. */
  readonly namePrefix: string;
  readonly view: DatasetView;
  /** Undefined starts at the newest. */
  readonly after: DatasetPosition | undefined;
  readonly limit: number;
}

/** Lists the datasets of a project, newest first. */
export async function listDatasets(
  db: Queryable,
  projectId: ProjectId,
  { namePrefix, view, after, limit }: DatasetQuery,
): Promise<Page<Dataset>> {
  const { rows } = await db.query<DatasetRow & CutRow>(
    pageStatement({
      rows: `select * from (${existingWith(view === "full" ? schemaColumns : noSchemaColumns)}
        and d.project_id = $1 and starts_with(n.name, $3)
        and ($4::timestamptz is null or (d.create_time, d.dataset_id) < ($4::timestamptz, $5::text))) datasets`,
      orderBy: "create_time desc, dataset_id desc",
      size: `octet_length(name) + octet_length(table_name) + octet_length(description) + coalesce(octet_length(metadata), 0)
             + coalesce(octet_length(input_schema), 0) + coalesce(octet_length(expected_output_schema), 0) + 512`,
      limit: "$2",
    }),
    [projectId, limit, namePrefix, after && instantToSql(after.createTime), after?.datasetId],
  );
  return cutPage(rows, fromRow);
}

/** Writes the definition of a dataset whose row is locked, except for its names, with a new etag. */
export async function updateDatasetDefinition(
  client: Client,
  datasetId: DatasetHandle,
  definition: DatasetDefinition,
  time: Instant,
): Promise<void> {
  await client.query(
    `update datasets
     set description = $2, metadata = $3, input_schema = $4, expected_output_schema = $5, etag = $6, update_time = $7,
         schema_hash = $8
     where dataset_id = $1`,
    [
      datasetId,
      definition.description,
      definition.metadata,
      definition.inputSchema,
      definition.expectedOutputSchema,
      newEtag(),
      instantToSql(time),
      schemaHashOf(definition),
    ],
  );
}

function fromRow(row: DatasetRow): Dataset {
  return {
    datasetId: row.dataset_id,
    projectId: row.project_id,
    name: row.name,
    tableName: row.table_name,
    description: row.description,
    metadata: row.metadata ?? undefined,
    inputSchema: row.input_schema ?? undefined,
    expectedOutputSchema: row.expected_output_schema ?? undefined,
    headVersion: row.head_version,
    itemCount: row.item_count,
    digest: row.digest,
    purgeCount: row.purge_count,
    etag: row.etag,
    createTime: row.create_time,
    updateTime: row.update_time,
  };
}
