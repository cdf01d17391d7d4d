import { createHash } from "node:crypto";
import type { BlobStore } from "../blobs/blob-store.ts";
import type { UploadHandle } from "../handles.ts";
import type { Segment } from "./upload.ts";
import { segmentKey } from "./upload.ts";

/** Streams the bytes of an upload, from the first segment to the last. */
export async function* readSegments(
  blobs: BlobStore,
  uploadId: UploadHandle,
  segments: readonly Segment[],
): AsyncGenerator<Uint8Array> {
  for (const segment of segments) yield* blobs.read(segmentKey(uploadId, segment));
}

/** The SHA-256 of the bytes of an upload, which are read for it. */
export async function hashSegments(
  blobs: BlobStore,
  uploadId: UploadHandle,
  segments: readonly Segment[],
): Promise<Buffer> {
  const hash = createHash("sha256");
  for await (const chunk of readSegments(blobs, uploadId, segments)) hash.update(chunk);
  return hash.digest();
}
