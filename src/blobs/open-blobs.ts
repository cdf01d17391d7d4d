import type { BlobLocation } from "./blob-location.ts";
import type { BlobStore } from "./blob-store.ts";
import { newDirectoryBlobs } from "./directory-blobs.ts";

/** Opens the storage at a location. Nothing is sent or made before its first use. */
export async function openBlobs(location: BlobLocation): Promise<BlobStore> {
  if (location.kind === "directory") return newDirectoryBlobs(location.path);
  throw new Error("s3 is not there yet");
}
