import type { BlobStore } from "../blobs/blob-store.ts";
import type { Pool } from "../db/pool.ts";
import { transaction } from "../db/transaction.ts";
import type { ProjectId } from "../handles.ts";
import type { Logger } from "../log.ts";
import { deleteSegmentBlobs } from "./delete-segment-blobs.ts";
import { deleteSegments } from "./segment-store.ts";
import { uploadNotReady } from "./upload.ts";
import { deleteUploadRow, lockUpload } from "./upload-store.ts";

/** Deletes an upload and its bytes. @throws Failure UPLOAD_NOT_FOUND; UPLOAD_NOT_READY while it is being applied */
export async function deleteUpload(
  { pool, blobs, log }: { readonly pool: Pool; readonly blobs: BlobStore; readonly log: Logger },
  projectId: ProjectId,
  id: string,
): Promise<void> {
  const { uploadId, segments } = await transaction(pool, async (client) => {
    const upload = await lockUpload(client, projectId, { uploadId: id });
    if (upload.state === "processing") throw uploadNotReady(upload);
    const dropped = await deleteSegments(client, upload.uploadId);
    await deleteUploadRow(client, upload);
    return { uploadId: upload.uploadId, segments: dropped };
  });
  try {
    await deleteSegmentBlobs(blobs, uploadId, segments);
  } catch (error) {
    // Nothing refers to them any more, and the sweeper deletes orphaned blobs.
    log.warn({ err: error, upload_id: uploadId }, "left the bytes of a deleted upload to the sweeper");
  }
}
