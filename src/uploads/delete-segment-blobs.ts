import type { BlobStore } from "../blobs/blob-store.ts";
import type { UploadHandle } from "../handles.ts";
import { type Segment, segmentKey } from "./upload.ts";

/** Deletes the blobs of segments. Missing ones are ignored. */
export async function deleteSegmentBlobs(
  blobs: BlobStore,
  uploadId: UploadHandle,
  segments: readonly Segment[],
): Promise<void> {
  for (const segment of segments) await blobs.delete(segmentKey(uploadId, segment));
}
