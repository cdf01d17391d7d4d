import type { DatasetRef } from "../datasets/dataset.ts";
import { clockOf, lockDataset } from "../datasets/dataset-store.ts";
import type { Client } from "../db/pool.ts";
import { failure, invalidField } from "../failure.ts";
import type { ProjectId } from "../handles.ts";
import { deleteTag, findTag, type PlacedTag, setTag } from "./tag-store.ts";
import type { DatasetVersion, VersionSelector } from "./version.ts";
import { getVersion, resolveVersion } from "./version-store.ts";

/** A tag and its dataset. */
export interface TagName {
  readonly projectId: ProjectId;
  readonly ref: DatasetRef;
  readonly tag: string;
}

/** Where a tag is to be put. */
export interface TagChange {
  readonly at: VersionSelector;
  readonly locked: boolean;
  /** The version that must have the tag now, 0 for none; undefined allows any. */
  readonly expectedVersion: bigint | undefined;
}

/** A version with its tags, and the version that had the tag before: 0 if none did. */
export interface TaggedVersion {
  readonly version: DatasetVersion;
  readonly previousVersion: bigint;
}

/**
 * Puts a tag on a version and locks or unlocks it. If the tag is in that state already, nothing changes, not even its
 * time.
 *
 * @throws Failure DATASET_NOT_FOUND, VERSION_NOT_FOUND, TAG_NOT_FOUND (of the selector), INVALID_FIELD for version 0,
 * TAG_LOCKED if it is locked on another version, TAG_CONFLICT if it is not on the expected one.
 */
export async function tagVersion(
  client: Client,
  { projectId, ref, tag }: TagName,
  { at, locked, expectedVersion }: TagChange,
): Promise<TaggedVersion> {
  // The lock serializes calls for the same tag, which may not have a row yet.
  const dataset = await lockDataset(client, projectId, ref);
  const version = await resolveVersion(client, dataset, at);
  if (version === 0n) throw invalidField("at", "is version 0, which cannot be tagged");
  const present = await findTag(client, dataset.datasetId, tag);
  const presentVersion = present?.version ?? 0n;
  if (expectedVersion !== undefined && presentVersion !== expectedVersion) {
    throw failure("TAG_CONFLICT", {
      tag,
      expected_tagged_version: expectedVersion,
      tagged_version: presentVersion,
    });
  }
  if (present?.locked && present.version !== version) throw tagLocked(present);
  if (present?.version !== version || present.locked !== locked) {
    const updateTime = await clockOf(client, dataset.datasetId);
    await setTag(client, dataset.datasetId, { tag, version, locked, updateTime });
  }
  return {
    version: await getVersion(client, dataset, version),
    previousVersion: presentVersion,
  };
}

/**
 * Removes a tag, and returns the version that had it.
 *
 * @throws Failure DATASET_NOT_FOUND, TAG_NOT_FOUND, TAG_LOCKED
 */
export async function untagVersion(
  client: Client,
  { projectId, ref, tag }: TagName,
): Promise<DatasetVersion> {
  const dataset = await lockDataset(client, projectId, ref);
  const present = await findTag(client, dataset.datasetId, tag);
  if (present === undefined) throw failure("TAG_NOT_FOUND", { dataset_id: dataset.datasetId, tag });
  if (present.locked) throw tagLocked(present);
  await deleteTag(client, dataset.datasetId, tag);
  return getVersion(client, dataset, present.version);
}

const tagLocked = ({ tag, version }: PlacedTag) => failure("TAG_LOCKED", { tag, version });
