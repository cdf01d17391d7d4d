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

/** Reads the bytes of an upload and returns their SHA-256. */
export async function hashSegments(
  blobs: BlobStore,
  uploadId: UploadHandle,
  segments: readonly Segment[],
): Promise<Buffer> {
  const hash = createHash("sha256");
  for await (const chunk of readSegments(blobs, uploadId, segments)) hash.update(chunk);
  return hash.digest();
}
