import type { BlobStore } from "../blobs/blob-store.ts";
import type { Client } from "../db/pool.ts";
import type { ProjectId, UploadHandle } from "../handles.ts";
import type { Logger } from "../log.ts";
import { deleteSegmentBlobs } from "./delete-segment-blobs.ts";
import { deleteSegments } from "./segment-store.ts";
import { type Segment, uploadNotReady } from "./upload.ts";
import { deleteUploadRow, lockUpload } from "./upload-store.ts";

/** An upload that is deleted but for its bytes. */
export interface DeletedUpload {
  readonly uploadId: UploadHandle;
  readonly segments: readonly Segment[];
}

/**
 * Deletes an upload. Its bytes go once that is committed, see `deleteBytes`.
 *
 * @throws Failure UPLOAD_NOT_FOUND; UPLOAD_NOT_READY while it is being applied
 */
export async function deleteUpload(client: Client, projectId: ProjectId, id: string): Promise<DeletedUpload> {
  const upload = await lockUpload(client, projectId, { uploadId: id });
  if (upload.state === "processing") throw uploadNotReady(upload);
  const segments = await deleteSegments(client, upload.uploadId);
  await deleteUploadRow(client, upload);
  return { uploadId: upload.uploadId, segments };
}

/** Deletes the bytes of a deleted upload. Never throws. */
export async function deleteBytes(
  { blobs, log }: { readonly blobs: BlobStore; readonly log: Logger },
  { uploadId, segments }: DeletedUpload,
): Promise<void> {
  try {
    await deleteSegmentBlobs(blobs, uploadId, segments);
  } catch (error) {
    // Nothing refers to them any more, and the sweeper deletes orphaned blobs.
    log.warn({ err: error, upload_id: uploadId }, "left the bytes of a deleted upload to the sweeper");
  }
}
