import { getWriteDatasetId } from "../datasets/dataset-store.ts";
import type { Client, Pool } from "../db/pool.ts";
import { transaction } from "../db/transaction.ts";
import { type Changeset, notReady } from "./changeset.ts";
import { updateChangeset } from "./changeset-store.ts";
import { lockUpsert, type WriteName } from "./get-upsert.ts";
import { deleteBaseHits, deleteRevisions } from "./staging-store.ts";

/** Discards an open or planned write. @throws Failure UPSERT_NOT_READY if it is published */
export async function discardUpsert({ pool }: { readonly pool: Pool }, name: WriteName): Promise<Changeset> {
  return transaction(pool, async (client) => {
    const datasetId = await getWriteDatasetId(client, name.projectId, name.ref);
    const changeset = await lockUpsert(client, datasetId, name);
    if (changeset.state === "published") throw notReady(changeset);
    if (changeset.state !== "discarded") await discardChangeset(client, changeset);
    return changeset;
  });
}

/** Discards a write whose lock is held: deletes its rows and keeps its receipt. */
export async function discardChangeset(client: Client, changeset: Changeset): Promise<void> {
  changeset.state = "discarded";
  changeset.expireTime = undefined;
  await deleteRevisions(client, changeset);
  await deleteBaseHits(client, changeset);
  await updateChangeset(client, changeset);
}
