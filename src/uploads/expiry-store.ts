import type { Client, Queryable } from "../db/pool.ts";
import type { UploadHandle } from "../handles.ts";

/** Expires one upload that was not used in time. Returns whether there was one. */
export async function expireOneUpload(client: Client): Promise<boolean> {
  // An upload in use is locked or has a lease; both prolong its time, or release it.
  const { rowCount } = await client.query(
    `update uploads
     set state = 'expired', expire_time = null, writer_dataset_id = null, writer_request_id = null,
         lease_expire_time = null
     where upload_id = (
       select upload_id from uploads
       where expire_time < now() and (lease_expire_time is null or lease_expire_time < now())
       order by expire_time limit 1 for update skip locked)`,
  );
  return rowCount === 1;
}

/** Finds an expired or consumed upload that still has bytes; undefined if there is none. */
export async function findSpentUpload(db: Queryable): Promise<UploadHandle | undefined> {
  const { rows } = await db.query<{ upload_id: UploadHandle }>(
    `select upload_id from upload_segments join uploads using (upload_id)
     where state in ('consumed', 'expired') limit 1`,
  );
  return rows[0]?.upload_id;
}
