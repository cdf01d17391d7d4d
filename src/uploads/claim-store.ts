import { type Instant, instantToSql } from "../db/instant.ts";
import type { Client, Queryable } from "../db/pool.ts";
import type { DatasetHandle, UploadHandle } from "../handles.ts";
import { type Upload, type UploadWriter, uploadNotFound, uploadNotReady } from "./upload.ts";
import { uploadState } from "./upload-store.ts";

/**
 * Claims an upload, whose row is locked, for a write, until the lease runs out. The same write may claim it again.
 *
 * @throws Failure UPLOAD_NOT_READY
 */
export async function claimUpload(
  client: Client,
  upload: Upload,
  writer: UploadWriter,
  leaseSeconds: number,
): Promise<void> {
  if (upload.state !== "pending" && !(upload.state === "processing" && isSame(upload.writer, writer))) {
    throw uploadNotReady(upload);
  }
  await client.query(
    `update uploads
     set state = 'processing', writer_dataset_id = $2, writer_request_id = $3,
         lease_expire_time = now() + $4 * interval '1 second'
     where upload_id = $1`,
    [upload.uploadId, writer.datasetId, writer.requestId, leaseSeconds],
  );
}

/** Renews the lease of a write on its upload. */
export async function renewClaim(
  db: Queryable,
  uploadId: UploadHandle,
  writer: UploadWriter,
  leaseSeconds: number,
): Promise<void> {
  await db.query(
    `update uploads set lease_expire_time = now() + $4 * interval '1 second'
     where upload_id = $1 and state = 'processing' and writer_dataset_id = $2 and writer_request_id = $3`,
    [uploadId, writer.datasetId, writer.requestId, leaseSeconds],
  );
}

/** Releases an upload, if the write holds it. */
export async function releaseUpload(
  db: Queryable,
  uploadId: UploadHandle,
  writer: UploadWriter,
): Promise<void> {
  await db.query(
    `update uploads
     set state = 'pending', writer_dataset_id = null, writer_request_id = null, lease_expire_time = null
     where upload_id = $1 and state = 'processing' and writer_dataset_id = $2 and writer_request_id = $3`,
    [uploadId, writer.datasetId, writer.requestId],
  );
}

/** The use of an upload: its write and dataset. */
export interface Consumption extends UploadWriter {
  readonly version: bigint;
  readonly time: Instant;
}

/**
 * Consumes an upload, in the transaction that publishes its content. It must be free, or claimed by this very write.
 *
 * @throws Failure UPLOAD_NOT_READY, UPLOAD_NOT_FOUND
 */
export async function consumeUpload(client: Client, uploadId: UploadHandle, as: Consumption): Promise<void> {
  const { rows } = await client.query<{
    state: Upload["state"];
    writer_dataset_id: DatasetHandle | null;
    writer_request_id: string | null;
  }>(
    `select ${uploadState} as state, writer_dataset_id, writer_request_id from uploads where upload_id = $1 for update`,
    [uploadId],
  );
  const [row] = rows;
  if (row === undefined) throw uploadNotFound({ uploadId });
  const isMine = row.writer_dataset_id === as.datasetId && row.writer_request_id === as.requestId;
  if (row.state !== "pending" && !(row.state === "processing" && isMine)) {
    throw uploadNotReady({ uploadId, state: row.state });
  }
  await client.query(
    `update uploads
     set state = 'consumed', dataset_id = $2, version = $3, consume_time = $4, expire_time = null,
         writer_dataset_id = null, writer_request_id = null, lease_expire_time = null
     where upload_id = $1`,
    [uploadId, as.datasetId, as.version, instantToSql(as.time)],
  );
}

function isSame(one: UploadWriter | undefined, other: UploadWriter): boolean {
  return one?.datasetId === other.datasetId && one.requestId === other.requestId;
}
