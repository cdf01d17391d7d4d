import { type Instant, instantToSql } from "../db/instant.ts";
import type { Client, Queryable } from "../db/pool.ts";
import type { DatasetHandle, UploadHandle } from "../handles.ts";
import { newItemIdPrefix } from "../ids.ts";
import type { Changeset, ChangesetMode, ChangesetRequest, ChangesetState, Target } from "./changeset.ts";

interface ChangesetRow {
  dataset_id: DatasetHandle;
  changeset_id: bigint;
  request_id: string;
  method: string;
  fingerprint: Buffer;
  state: ChangesetState;
  mode: ChangesetMode;
  replace_splits: boolean;
  validate_only: boolean;
  creates_dataset: boolean;
  new_dataset: string | null;
  expected_version: bigint | null;
  max_delete_count: bigint | null;
  max_delete_ratio: number | null;
  allow_empty: boolean;
  base_version: bigint;
  restored_version: bigint | null;
  item_id_prefix: string;
  stream_number: bigint;
  received: bigint;
  received_bytes: bigint;
  missing_bodies: bigint;
  created: bigint;
  updated: bigint;
  unchanged: bigint;
  deleted: bigint;
  unidentified: bigint;
  unidentified_updated: bigint;
  unidentified_unchanged: bigint;
  digest_change: Buffer;
  schema_hash: Buffer | null;
  version: bigint | null;
  outcome_version: bigint | null;
  item_count: bigint | null;
  digest: Buffer | null;
  note: string;
  author: string;
  upload_id: UploadHandle | null;
  create_time: Instant;
  publish_time: Instant | null;
  expire_time: Instant | null;
}

/** All columns but the outcomes of rows, which few calls want and which may be long. */
const columns = `
  dataset_id, changeset_id, request_id, method, fingerprint, state, mode, replace_splits, validate_only,
  creates_dataset, new_dataset, expected_version, max_delete_count, max_delete_ratio, allow_empty, base_version,
  restored_version, item_id_prefix, stream_number, received, received_bytes, missing_bodies, created, updated, unchanged, deleted,
  unidentified, unidentified_updated, unidentified_unchanged, digest_change, schema_hash, version, outcome_version,
  item_count, digest, note, author, upload_id, create_time, publish_time, expire_time`;

// Statements that every write runs are named, so that each connection parses and plans them once.

/**
 * Locks the dataset, existing or reserved, against other publishers, but not against those who only keep it from being deleted;
 * undefined if it was deleted.
 */
export async function lockTarget(client: Client, datasetId: DatasetHandle): Promise<Target | undefined> {
  // The time is taken here, behind the lock, and passed on: distributed tables take no volatile function in an update.
  const { rows } = await client.query<{
    exists: boolean;
    head_version: bigint;
    item_count: bigint;
    digest: Buffer;
    schema_hash: Buffer | null;
    purge_count: bigint;
    time: Instant;
  }>({
    name: "lock_target",
    text: `select create_time is not null as exists, head_version, item_count, digest, schema_hash, purge_count,
            greatest(clock_timestamp(), update_time + interval '1 microsecond') as time
     from datasets where dataset_id = $1 for no key update`,
    values: [datasetId],
  });
  const row = rows[0];
  return (
    row && {
      datasetId,
      exists: row.exists,
      headVersion: row.head_version,
      itemCount: row.item_count,
      digest: row.digest,
      schemaHash: row.schema_hash ?? undefined,
      purgeCount: row.purge_count,
      time: row.time,
    }
  );
}

/** Begins a write that is compared with the present head, and whose rows are checked against the schemas of a hash. */
export async function insertChangeset(
  client: Client,
  target: Target,
  request: ChangesetRequest,
  schemaHash: Buffer | undefined,
  expireTime: Instant,
): Promise<Changeset> {
  const { rows } = await client.query<ChangesetRow>({
    name: "insert_changeset",
    text: `insert into changesets (
       dataset_id, changeset_id, request_id, method, fingerprint, state, mode, replace_splits, validate_only,
       creates_dataset, new_dataset, expected_version, max_delete_count, max_delete_ratio, allow_empty,
       base_version, item_id_prefix, note, author, create_time, expire_time, upload_id, schema_hash)
     values ($1, nextval('changeset_ids'), $2, $3, $4, 'open', $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
             $17, $18, $19, $20, $21)
     returning ${columns}`,
    values: [
      target.datasetId,
      request.requestId,
      request.method,
      request.fingerprint,
      request.mode,
      request.replaceSplits,
      request.validateOnly,
      !target.exists,
      request.newDataset,
      request.expectedVersion,
      request.guard.maxDeleteCount,
      request.guard.maxDeleteRatio,
      request.guard.allowEmpty,
      target.headVersion,
      newItemIdPrefix(),
      request.note,
      request.author,
      instantToSql(target.time),
      instantToSql(expireTime),
      request.uploadId,
      schemaHash,
    ],
  });
  return fromRow(rows[0] as ChangesetRow);
}

/** The write of this name, in whatever state. */
export async function findChangeset(
  db: Queryable,
  datasetId: DatasetHandle,
  requestId: string,
): Promise<Changeset | undefined> {
  const { rows } = await db.query<ChangesetRow>(
    `select ${columns} from changesets where dataset_id = $1 and request_id = $2`,
    [datasetId, requestId],
  );
  return rows[0] && fromRow(rows[0]);
}

/** Whether the dataset of a write has schemas, and others than the rows of the write were checked against. */
export async function hasOtherSchemas(
  db: Queryable,
  datasetId: DatasetHandle,
  requestId: string,
): Promise<boolean> {
  const { rowCount } = await db.query(
    `select from changesets changeset join datasets dataset on dataset.dataset_id = changeset.dataset_id
     where changeset.dataset_id = $1 and changeset.request_id = $2
       and dataset.schema_hash is not null and changeset.schema_hash is distinct from dataset.schema_hash`,
    [datasetId, requestId],
  );
  return rowCount === 1;
}

/** The same under its row lock: whoever holds it is the only one to add rows, publish or discard. */
export async function lockChangeset(
  client: Client,
  datasetId: DatasetHandle,
  requestId: string,
): Promise<Changeset | undefined> {
  const { rows } = await client.query<ChangesetRow>({
    name: "lock_changeset",
    text: `select ${columns} from changesets where dataset_id = $1 and request_id = $2 for update`,
    values: [datasetId, requestId],
  });
  return rows[0] && fromRow(rows[0]);
}

/** Writes back everything about a changeset that can change. */
export async function updateChangeset(client: Client, changeset: Changeset): Promise<void> {
  const { counts, unidentified, guard } = changeset;
  await client.query({
    name: "update_changeset",
    text: `update changesets set
       state = $3, base_version = $4, stream_number = $5, received = $6, received_bytes = $7, missing_bodies = $8,
       created = $9, updated = $10, unchanged = $11, deleted = $12, unidentified = $13, unidentified_updated = $14,
       unidentified_unchanged = $15, digest_change = $16, version = $17, outcome_version = $18, item_count = $19,
       digest = $20, publish_time = $21, expire_time = $22, max_delete_count = $23, max_delete_ratio = $24,
       allow_empty = $25, creates_dataset = $26, schema_hash = $27, restored_version = $28,
       newest_changeset_id = case when $17::bigint is not null then
         greatest($2, (select newest_changeset_id from datasets where dataset_id = $1)) end
     where dataset_id = $1 and changeset_id = $2`,
    values: [
      changeset.datasetId,
      changeset.changesetId,
      changeset.state,
      changeset.baseVersion,
      changeset.streamNumber,
      changeset.received,
      changeset.receivedBytes,
      changeset.missingBodies,
      counts.created,
      counts.updated,
      counts.unchanged,
      counts.deleted,
      unidentified.rows,
      unidentified.updated,
      unidentified.unchanged,
      changeset.digestChange,
      changeset.version,
      changeset.outcomeVersion,
      changeset.itemCount,
      changeset.digest,
      changeset.publishTime === undefined ? null : instantToSql(changeset.publishTime),
      changeset.expireTime === undefined ? null : instantToSql(changeset.expireTime),
      guard.maxDeleteCount,
      guard.maxDeleteRatio,
      guard.allowEmpty,
      changeset.createsDataset,
      changeset.schemaHash,
      changeset.restoredVersion,
    ],
  });
}

/** Moves the head of the dataset to the version that a changeset made. */
export async function advanceHead(client: Client, changeset: Changeset): Promise<void> {
  await client.query({
    name: "advance_head",
    text: `update datasets
           set head_version = $2, item_count = $3, digest = $4, update_time = $5,
               newest_changeset_id = greatest(newest_changeset_id, $6)
           where dataset_id = $1`,
    values: [
      changeset.datasetId,
      changeset.version,
      changeset.itemCount,
      changeset.digest,
      instantToSql(changeset.publishTime ?? 0n),
      changeset.changesetId,
    ],
  });
}

/** Forgets a write that came to nothing, as if it had never begun. Its rows have to be gone. */
export async function deleteChangeset(client: Client, { datasetId, changesetId }: Changeset): Promise<void> {
  await client.query("delete from changesets where dataset_id = $1 and changeset_id = $2", [
    datasetId,
    changesetId,
  ]);
}

/** How many items a version has; 0 for version 0. */
export async function itemCountOf(db: Queryable, datasetId: DatasetHandle, version: bigint): Promise<bigint> {
  if (version === 0n) return 0n;
  const { rows } = await db.query<{ item_count: bigint }>(
    `select item_count from changesets where dataset_id = $1 and version = $2`,
    [datasetId, version],
  );
  return rows[0]?.item_count ?? 0n;
}

function fromRow(row: ChangesetRow): Changeset {
  return {
    datasetId: row.dataset_id,
    changesetId: row.changeset_id,
    requestId: row.request_id,
    method: row.method,
    fingerprint: row.fingerprint,
    state: row.state,
    mode: row.mode,
    replaceSplits: row.replace_splits,
    validateOnly: row.validate_only,
    createsDataset: row.creates_dataset,
    newDataset: row.new_dataset ?? undefined,
    expectedVersion: row.expected_version ?? undefined,
    guard: {
      maxDeleteCount: row.max_delete_count ?? undefined,
      maxDeleteRatio: row.max_delete_ratio ?? undefined,
      allowEmpty: row.allow_empty,
    },
    baseVersion: row.base_version,
    restoredVersion: row.restored_version ?? undefined,
    itemIdPrefix: row.item_id_prefix,
    streamNumber: row.stream_number,
    received: row.received,
    receivedBytes: row.received_bytes,
    missingBodies: row.missing_bodies,
    counts: {
      created: row.created,
      updated: row.updated,
      unchanged: row.unchanged,
      deleted: row.deleted,
    },
    unidentified: {
      rows: row.unidentified,
      updated: row.unidentified_updated,
      unchanged: row.unidentified_unchanged,
    },
    digestChange: row.digest_change,
    schemaHash: row.schema_hash ?? undefined,
    version: row.version ?? undefined,
    outcomeVersion: row.outcome_version ?? undefined,
    itemCount: row.item_count ?? undefined,
    digest: row.digest ?? undefined,
    note: row.note,
    author: row.author,
    uploadId: row.upload_id ?? undefined,
    createTime: row.create_time,
    publishTime: row.publish_time ?? undefined,
    expireTime: row.expire_time ?? undefined,
  };
}
