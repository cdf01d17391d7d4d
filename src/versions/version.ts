import type { Instant } from "../db/instant.ts";
import type { DatasetHandle } from "../handles.ts";
import { emptyDigest } from "./digest.ts";

/** Selects the state of a dataset that a call reads. Undefined means the head version. */
export type VersionSelector =
  | { readonly version: bigint }
  | { readonly asOf: Instant }
  | { readonly tag: string }
  | undefined;

/** The effects of a write, in items: received = created + updated + unchanged. */
export interface VersionCounts {
  readonly received: bigint;
  readonly created: bigint;
  readonly updated: bigint;
  readonly unchanged: bigint;
  readonly deleted: bigint;
}

/** The channel for notifications of datasets, by their ids, that have a new version or were deleted. */
export const versionsChannel = "versions";

/** A name for one version of a dataset. */
export interface VersionTag {
  readonly tag: string;
  /** Whether it cannot be moved until it is unlocked. */
  readonly locked: boolean;
  readonly updateTime: Instant;
}

/** One state in the history of a dataset. */
export interface DatasetVersion {
  readonly datasetId: DatasetHandle;
  readonly version: bigint;
  readonly itemCount: bigint;
  /** Undefined for version 0, which no write made. */
  readonly counts: VersionCounts | undefined;
  /** `sha256-sum-v1`, 32 bytes. */
  readonly digest: Uint8Array;
  readonly note: string;
  readonly author: string;
  readonly createTime: Instant;
  /** By name, in ascending byte order. */
  readonly tags: readonly VersionTag[];
  /** The request_id of its write; empty for version 0. */
  readonly requestId: string;
}

/** Returns the problem with a tag; undefined if it is valid. */
export function tagProblem(tag: string): string | undefined {
  if (!/^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/.test(tag)) return "must match ^[A-Za-z_][A-Za-z0-9_.-]{0,63}$";
  return tag === "latest" ? "is reserved" : undefined;
}

/** Version 0, which every dataset starts from. */
export function emptyVersion(dataset: {
  readonly datasetId: DatasetHandle;
  readonly createTime: Instant;
}): DatasetVersion {
  return {
    datasetId: dataset.datasetId,
    version: 0n,
    itemCount: 0n,
    counts: undefined,
    digest: emptyDigest,
    note: "",
    author: "",
    createTime: dataset.createTime,
    tags: [],
    requestId: "",
  };
}
