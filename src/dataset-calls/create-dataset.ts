import type { Dataset, DatasetDefinition } from "../datasets/dataset.ts";
import { clockOf, createReserved, getDataset, reserveDataset } from "../datasets/dataset-store.ts";
import type { Client } from "../db/pool.ts";
import { failure } from "../failure.ts";
import type { ProjectId } from "../handles.ts";

/**
 * Creates an empty dataset. If imports have reserved one with the name, it is created, and they will write to it.
 *
 * @throws Failure DATASET_NAME_TAKEN, TABLE_NAME_TAKEN
 */
export async function createDataset(
  client: Client,
  projectId: ProjectId,
  definition: DatasetDefinition,
): Promise<Dataset> {
  const { name } = definition;
  const { datasetId, exists } = await reserveDataset(client, projectId, name);
  if (exists) throw failure("DATASET_NAME_TAKEN", { name, dataset_id: datasetId });
  await createReserved(client, datasetId, definition, await clockOf(client, datasetId));
  return getDataset(client, projectId, { datasetId });
}
