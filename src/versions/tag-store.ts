import { type Instant, instantToSql } from "../db/instant.ts";
import type { Client, Queryable } from "../db/pool.ts";
import type { DatasetHandle } from "../handles.ts";
import type { VersionTag } from "./version.ts";

/** A tag and its version. */
export interface PlacedTag extends VersionTag {
  readonly version: bigint;
}

interface TagRow {
  tag: string;
  version: bigint;
  locked: boolean;
  update_time: Instant;
}

/** Lists the tags of versions, by version, each list by name. */
export async function listTags(
  db: Queryable,
  datasetId: DatasetHandle,
  versions: readonly bigint[],
): Promise<ReadonlyMap<bigint, readonly VersionTag[]>> {
  const { rows } = await db.query<TagRow>(
    `select tag, version, locked, update_time from version_tags
     where dataset_id = $1 and version = any ($2::bigint[])
     order by tag`,
    [datasetId, versions],
  );
  return Map.groupBy(rows.map(fromRow), (tag) => tag.version);
}

export async function findTag(
  db: Queryable,
  datasetId: DatasetHandle,
  tag: string,
): Promise<PlacedTag | undefined> {
  const { rows } = await db.query<TagRow>(
    "select tag, version, locked, update_time from version_tags where dataset_id = $1 and tag = $2",
    [datasetId, tag],
  );
  return rows[0] && fromRow(rows[0]);
}

/** Puts a tag on a version, removing it from any other. */
export async function setTag(
  client: Client,
  datasetId: DatasetHandle,
  { tag, version, locked, updateTime }: PlacedTag,
): Promise<void> {
  await client.query(
    `insert into version_tags (dataset_id, tag, version, locked, update_time) values ($1, $2, $3, $4, $5)
     on conflict (dataset_id, tag) do update
     set version = excluded.version, locked = excluded.locked, update_time = excluded.update_time`,
    [datasetId, tag, version, locked, instantToSql(updateTime)],
  );
}

export async function deleteTag(client: Client, datasetId: DatasetHandle, tag: string): Promise<void> {
  await client.query("delete from version_tags where dataset_id = $1 and tag = $2", [datasetId, tag]);
}

function fromRow(row: TagRow): PlacedTag {
  return { tag: row.tag, version: row.version, locked: row.locked, updateTime: row.update_time };
}
