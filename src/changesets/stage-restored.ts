import type { Client } from "../db/pool.ts";
import type { ItemKey } from "../items/item.ts";
import { listItemKeys } from "../items/item-store.ts";
import type { Difference } from "../versions/difference.ts";
import { DigestSum } from "../versions/digest.ts";
import { readDifferences, streamDifferences } from "../versions/read-differences.ts";
import { type Changeset, unchecked } from "./changeset.ts";
import { itemCountOf } from "./changeset-store.ts";
import { BaseHits } from "./stage-rows.ts";
import { type RestagedRevision, restageRevisions } from "./staging-store.ts";
import type { DeletedItem } from "./supersede-store.ts";

/** Items staged at a time: enough to make round trips cheap, few enough to keep memory flat. */
const pageSize = 2_000;

/**
 * Stages the revisions that turn the items of the head version into those of the version to be restored. Their content is copied
 * within the database. Counts them as a mirror of the older version would. The cost grows with the number of differences.
 */
export async function stageRestored(
  client: Client,
  changeset: Changeset,
  headVersion: bigint,
): Promise<void> {
  const { datasetId } = changeset;
  const restored = restoredVersionOf(changeset);
  const digest = new DigestSum();
  let [created, updated] = [0n, 0n];
  for await (const differences of streamRestoredPages(client, changeset, headVersion)) {
    const itemIds = differences.filter(({ after }) => after !== undefined).map(({ itemId }) => itemId);
    const present = byId(await listItemKeys(client, datasetId, headVersion, itemIds));
    const hits = new BaseHits();
    const revisions = (await listItemKeys(client, datasetId, restored, itemIds)).map(
      (item): RestagedRevision => {
        const replaced = present.get(item.itemId);
        // The row number does not matter: without rows in the request none can name one item twice.
        const row = { itemId: item.itemId, rowNumber: 0, keepsSplits: false };
        if (replaced === undefined) created++;
        else {
          updated++;
          hits.add(row, true);
          digest.subtract(item.itemId, replaced.contentHash, replaced.splits);
        }
        digest.add(item.itemId, item.contentHash, item.splits);
        return { ...row, splits: item.splits, originChangesetId: replaced?.originChangesetId };
      },
    );
    await restageRevisions(client, changeset, restored, revisions);
    await hits.insert(client, changeset);
  }
  changeset.digestChange = digest.bytes();
  // The content of an older version was written under the schemas of its time.
  changeset.schemaHash = unchecked;
  changeset.received = await itemCountOf(client, datasetId, restored);
  changeset.counts = { created, updated, unchanged: changeset.received - created - updated, deleted: 0n };
}

/** Streams the items of the head version that the version to be restored does not have, page by page. */
export async function* streamUnrestoredItems(
  client: Client,
  changeset: Changeset,
  headVersion: bigint,
): AsyncGenerator<DeletedItem[]> {
  for await (const differences of streamRestoredPages(client, changeset, headVersion)) {
    const itemIds = differences.filter(({ after }) => after === undefined).map(({ itemId }) => itemId);
    if (itemIds.length > 0) yield await listItemKeys(client, changeset.datasetId, headVersion, itemIds);
  }
}

async function* streamRestoredPages(
  client: Client,
  changeset: Changeset,
  headVersion: bigint,
): AsyncGenerator<readonly Difference[]> {
  const pair = {
    datasetId: changeset.datasetId,
    before: headVersion,
    after: restoredVersionOf(changeset),
  };
  for await (const window of streamDifferences(client, await readDifferences(client, pair))) {
    for (let at = 0; at < window.length; at += pageSize) yield window.slice(at, at + pageSize);
  }
}

function restoredVersionOf({ changesetId, restoredVersion }: Changeset): bigint {
  if (restoredVersion === undefined) throw new Error(`changeset ${changesetId} has no version to restore`);
  return restoredVersion;
}

function byId(keys: readonly ItemKey[]): ReadonlyMap<string, ItemKey> {
  return new Map(keys.map((key) => [key.itemId, key]));
}
