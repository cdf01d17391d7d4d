import { randomUUID } from "node:crypto";
import type { Queryable } from "../../src/db/pool.ts";
import { type Instant, instantToSql } from "../../src/instant.ts";

/** Gives a dataset one more version, of one more item, without any rows of items. */
export async function addVersion(db: Queryable, datasetId: string, publishTime?: Instant): Promise<bigint> {
  const { rows } = await db.query<{ version: bigint }>(
    `with head as (
       update datasets
       set head_version = head_version + 1, item_count = item_count + 1,
           update_time = coalesce($2::timestamptz, clock_timestamp())
       where dataset_id = $1
       returning head_version, item_count, update_time
     )
     insert into changesets (
       dataset_id, changeset_id, request_id, method, fingerprint, state, mode, base_version, item_id_prefix, received,
       created, version, outcome_version, item_count, digest, note, author, create_time, publish_time)
     select $1, nextval('changeset_ids'), $3, 'UpsertItems', '', 'published', 'merge', head_version - 1, 'item', 1,
            1, head_version, head_version, item_count, decode(repeat('ab', 32), 'hex'), 'note ' || head_version, 'me',
            update_time, update_time
     from head
     returning version`,
    [datasetId, publishTime === undefined ? null : instantToSql(publishTime), randomUUID()],
  );
  return rows[0]?.version ?? 0n;
}
