import type { Client } from "../db/pool.ts";
import {
  type Dataset,
  type DatasetPatch,
  type DatasetRef,
  definitionOf,
  requireEtag,
  sameDefinition,
} from "./dataset.ts";
import { claimName, claimTableName } from "./dataset-name-store.ts";
import { clockOf, getDataset, lockDataset, updateDefinition } from "./dataset-store.ts";

/**
 * Changes what is said about a dataset, and its etag and update_time if that changes anything.
 *
 * @param etag If not empty, the one that the dataset has to have.
 * @throws Failure DATASET_NOT_FOUND, ETAG_MISMATCH, DATASET_NAME_TAKEN, TABLE_NAME_TAKEN
 */
export async function updateDataset(
  client: Client,
  { projectId, ref, etag }: { readonly projectId: string; readonly ref: DatasetRef; readonly etag: string },
  patch: DatasetPatch,
): Promise<Dataset> {
  const dataset = await lockDataset(client, projectId, ref);
  requireEtag(dataset, etag);
  const wanted = { ...definitionOf(dataset), ...patch };
  if (wanted.name !== dataset.name) await claimName(client, dataset, wanted.name);
  // A table name that is to be made afresh may turn out to be the one it has.
  const tableName =
    wanted.tableName === dataset.tableName
      ? dataset.tableName
      : await claimTableName(client, dataset, wanted);
  const definition = { ...wanted, tableName };
  if (sameDefinition(definition, dataset)) return dataset;
  await updateDefinition(client, dataset.datasetId, definition, await clockOf(client, dataset.datasetId));
  return getDataset(client, projectId, { datasetId: dataset.datasetId });
}
