import type { DatasetRef } from "../datasets/dataset.ts";
import { datasetNotFound, getDataset } from "../datasets/dataset-store.ts";
import { DataLoader } from "../db/data-loader.ts";
import { type Instant, now } from "../db/instant.ts";
import type { Notifications } from "../db/notifications.ts";
import type { Pool } from "../db/pool.ts";
import type { DatasetHandle, ProjectId } from "../handles.ts";
import { Follower } from "../rpc/follower.ts";
import { listHeadVersions } from "./head-store.ts";
import type { DatasetVersion } from "./version.ts";
import { listVersionsAfter, versionNotFound } from "./version-store.ts";

/** What a watch carries. */
export type WatchFrame =
  | { readonly kind: "version"; readonly version: DatasetVersion }
  | { readonly kind: "heartbeat"; readonly latestVersion: bigint; readonly time: Instant };

/** Which dataset to watch, and from where. */
export interface WatchRequest {
  readonly projectId: ProjectId;
  readonly ref: DatasetRef;
  /** The last version that the watcher knows. */
  readonly afterVersion: bigint;
}

/** What watching a dataset works with. */
export interface WatchResources {
  readonly pool: Pool;
  /** How long the stream may be silent. */
  readonly heartbeatSeconds: number;
  /** Fires when the service begins to stop. */
  readonly stopping: AbortSignal;
}

/** What all watchers of a server share. */
export interface Watching {
  readonly notifications: Notifications;
  /** The latest version of each dataset. */
  readonly headVersions: DataLoader<bigint>;
  /** Reads under way, by dataset and version: watchers who stand at the same place share them. */
  readonly reads: Map<string, Promise<DatasetVersion[]>>;
}

/** @param notifications Tells of datasets that have a new version, or are no more. */
export function newWatching(pool: Pool, notifications: Notifications): Watching {
  return {
    notifications,
    headVersions: new DataLoader((datasetIds) => listHeadVersions(pool, datasetIds)),
    reads: new Map(),
  };
}

/** Versions that are read at a time: a few pages for a long history, and little memory for each of many watchers. */
const pageSize = 100;

/**
 * Streams the versions of a dataset behind one, those that exist and then new ones, in order and without gaps, reading each
 * when the watcher has taken the one before. Publishers only wake it: what there is to stream, it reads. It also looks
 * before every heartbeat, so that a change of which nobody told is late by one interval at most.
 *
 * @throws Failure DATASET_NOT_FOUND, also when it is deleted later; VERSION_NOT_FOUND; SHUTTING_DOWN.
 */
export async function* watchDataset(
  { pool, heartbeatSeconds, stopping }: WatchResources,
  watching: Watching,
  { projectId, ref, afterVersion }: WatchRequest,
  signal: AbortSignal,
): AsyncGenerator<WatchFrame> {
  const dataset = await getDataset(pool, projectId, ref);
  if (afterVersion < 0n || afterVersion > dataset.headVersion) throw versionNotFound(dataset, afterVersion);
  const { datasetId } = dataset;
  const { notifications, headVersions } = watching;
  using follower = new Follower({ notifications, key: datasetId, heartbeatSeconds, stopping, signal });

  let through = afterVersion;
  // The first heartbeat says that all that existed has been streamed.
  let heartbeatIsDue = true;
  for (;;) {
    const head = await headVersions.load(datasetId);
    if (head === undefined) throw datasetNotFound(ref);
    if (through < head) {
      for (const version of await readVersions(pool, watching, datasetId, through)) {
        yield { kind: "version", version };
        follower.spoke();
        through = version.version;
      }
      // What was made while the watcher took these comes before any heartbeat.
      continue;
    }
    if (heartbeatIsDue) {
      yield { kind: "heartbeat", latestVersion: head, time: now() };
      follower.spoke();
    }
    ({ heartbeatIsDue } = await follower.wait());
  }
}

/** The versions behind one, shared with others who are reading them right now. */
function readVersions(
  pool: Pool,
  { reads }: Watching,
  datasetId: DatasetHandle,
  after: bigint,
): Promise<DatasetVersion[]> {
  const key = `${datasetId} ${after}`;
  const shared = reads.get(key);
  if (shared !== undefined) return shared;
  const read = listVersionsAfter(pool, datasetId, after, pageSize).finally(() => reads.delete(key));
  reads.set(key, read);
  return read;
}
