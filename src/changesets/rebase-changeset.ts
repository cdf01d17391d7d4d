import type { Client } from "../db/pool.ts";
import type { ItemSchemas } from "../schemas/item-schemas.ts";
import { DigestSum } from "../versions/digest.ts";
import { type Changeset, type Target, unmatch } from "./changeset.ts";
import { checkStagedRows, schemasInForce } from "./check-rows.ts";
import {
  deleteBaseHitsOf,
  deleteStagedRevisions,
  streamTouchedRows,
  updateStagedRevisions,
} from "./rebase-store.ts";
import { type RebasedRow, rebaseRow } from "./rebased-row.ts";
import { stageRestored } from "./stage-restored.ts";
import { BaseHits } from "./stage-rows.ts";
import { deleteBaseHits, deleteRevisions, restageRevisions } from "./staging-store.ts";

/**
 * Compares a write with a later version than before, as if its rows had been sent after that version. Reads only items that the
 * versions in between touched; rows without an id are matched again anyway.
 */
export async function rebase(client: Client, changeset: Changeset, target: Target): Promise<void> {
  if (changeset.mode === "restore") {
    // Finding the differences of the new base from the version to be restored is as cheap as finding the changes in between.
    await deleteRevisions(client, changeset);
    await deleteBaseHits(client, changeset);
    await stageRestored(client, changeset, target.headVersion);
    changeset.baseVersion = target.headVersion;
    return;
  }
  unmatch(changeset);
  const schemas = await schemasInForce(client, target, changeset.newDataset);
  for await (const touched of streamTouchedRows(client, changeset, target.headVersion)) {
    await applyRebased(client, changeset, schemas, touched.map(rebaseRow));
  }
  changeset.baseVersion = target.headVersion;
}

async function applyRebased(
  client: Client,
  changeset: Changeset,
  schemas: ItemSchemas | undefined,
  rebased: readonly RebasedRow[],
): Promise<void> {
  const digest = new DigestSum(changeset.digestChange);
  const hits = new BaseHits();
  const hadRevision = ({ before }: RebasedRow) => before !== "unchanged";
  const needsRevision = ({ after }: RebasedRow) => after !== "unchanged";
  for (const one of rebased) {
    const { row, before, after, becomes } = one;
    if (hadRevision(one) && row.staged) {
      digest.subtract(row.itemId, row.staged.contentHash, row.staged.splits);
      if (row.base) digest.add(row.itemId, row.base.contentHash, row.base.splits);
    }
    if (needsRevision(one)) {
      digest.add(row.itemId, becomes.contentHash, becomes.splits);
      if (row.head) digest.subtract(row.itemId, row.head.contentHash, row.head.splits);
    }
    if (row.head) hits.add(row, needsRevision(one));
    changeset.counts[before]--;
    changeset.counts[after]++;
  }
  changeset.digestChange = digest.bytes();

  const revision = ({ row, becomes }: RebasedRow) => ({
    itemId: row.itemId,
    rowNumber: row.rowNumber,
    keepsSplits: row.keepsSplits,
    splits: becomes.splits,
    originChangesetId: row.head?.originChangesetId,
  });
  const itemIds = (rows: readonly RebasedRow[]) => rows.map(({ row }) => row.itemId);
  await deleteStagedRevisions(
    client,
    changeset,
    itemIds(rebased.filter((one) => hadRevision(one) && !needsRevision(one))),
  );
  await updateStagedRevisions(
    client,
    changeset,
    rebased.filter((one) => hadRevision(one) && needsRevision(one)).map(revision),
  );
  const copied = rebased.filter((one) => !hadRevision(one) && needsRevision(one)).map(revision);
  await restageRevisions(client, changeset, changeset.baseVersion, copied);
  // The base version satisfies the schemas of its time, which may differ from today's.
  if (schemas !== undefined && copied.length > 0) {
    const copiedIds = copied.map(({ itemId }) => itemId);
    await checkStagedRows(client, changeset, schemas, copiedIds);
  }
  await deleteBaseHitsOf(client, changeset, itemIds(rebased));
  await hits.insert(client, changeset);
}
