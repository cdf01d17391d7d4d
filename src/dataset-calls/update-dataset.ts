import {
  type Dataset,
  type DatasetPatch,
  type DatasetRef,
  datasetDefinitionOf,
  isSameDatasetDefinition,
  requireEtag,
} from "../datasets/dataset.ts";
import { claimName, claimTableName } from "../datasets/dataset-name-store.ts";
import { clockOf, getDataset, lockDataset, updateDatasetDefinition } from "../datasets/dataset-store.ts";
import type { Client } from "../db/pool.ts";
import type { DatasetHandle, ProjectId } from "../handles.ts";
import { compileItemSchemas, isSameSchema, type SchemaTexts } from "../schemas/item-schemas.ts";
import { checkItems } from "./check-items.ts";

/** The dataset to change, and the changes. */
export interface DatasetUpdate {
  readonly projectId: ProjectId;
  readonly ref: DatasetRef;
  /** If not empty, the etag that the dataset must have. */
  readonly etag: string;
  /** Stops checking items early. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Changes the definition of a dataset, and its etag and update_time if that makes a difference. Items are checked
 * against new schemas, most of them before the dataset is locked.
 *
 * @throws Failure DATASET_NOT_FOUND, ETAG_MISMATCH, DATASET_NAME_TAKEN, TABLE_NAME_TAKEN, ITEMS_VIOLATE_SCHEMA
 */
export async function updateDataset(
  client: Client,
  update: DatasetUpdate,
  patch: DatasetPatch,
): Promise<Dataset> {
  const checked = await checkAhead(client, update, patch);
  const dataset = await lockDataset(client, update.projectId, update.ref);
  requireEtag(dataset, update.etag);
  const wanted = { ...datasetDefinitionOf(dataset), ...patch };
  await requireItemsFit(client, dataset, { patch, checked, signal: update.signal });
  if (wanted.name !== dataset.name) await claimName(client, dataset, wanted.name);
  // A table name that is derived anew may turn out to be the present one.
  const tableName =
    wanted.tableName === dataset.tableName
      ? dataset.tableName
      : await claimTableName(client, dataset, wanted);
  const definition = { ...wanted, tableName };
  if (isSameDatasetDefinition(definition, dataset)) return dataset;
  await updateDatasetDefinition(
    client,
    dataset.datasetId,
    definition,
    await clockOf(client, dataset.datasetId),
  );
  return getDataset(client, update.projectId, { datasetId: dataset.datasetId });
}

/** The schemas that the items of a version are known to satisfy. */
interface Checked {
  readonly datasetId: DatasetHandle;
  readonly hash: Buffer;
  readonly through: bigint;
}

/**
 * How many rounds check the versions that were published during the previous round, before the lock. Each round takes a
 * fraction of the previous one's time; an import without pauses must not keep a schema out forever.
 */
const maxRounds = 5;

/**
 * Checks the items of the latest version while the dataset can still be written to. Returns undefined if there is
 * nothing to check.
 */
async function checkAhead(
  client: Client,
  update: DatasetUpdate,
  patch: DatasetPatch,
): Promise<Checked | undefined> {
  if (!("inputSchema" in patch || "expectedOutputSchema" in patch)) return undefined;
  let checked: Checked | undefined;
  for (let round = 0; round < maxRounds; round++) {
    const dataset = await getDataset(client, update.projectId, update.ref);
    requireEtag(dataset, update.etag);
    const before = checked;
    checked = await requireItemsFit(client, dataset, { patch, checked: before, signal: update.signal });
    if (checked === undefined || checked.through === before?.through) return checked;
  }
  return checked;
}

/** What items are checked for. */
interface Fitting extends Pick<DatasetUpdate, "signal"> {
  readonly patch: DatasetPatch;
  /** The check that was made before. */
  readonly checked: Checked | undefined;
}

/** Checks the items of a dataset against the new schemas of a patch, unless that was done. */
async function requireItemsFit(
  client: Client,
  { datasetId, headVersion, ...present }: Dataset,
  { patch, checked, signal }: Fitting,
): Promise<Checked | undefined> {
  const schemas = compileItemSchemas({
    inputSchema: newSchema(present.inputSchema, patch, "inputSchema"),
    expectedOutputSchema: newSchema(present.expectedOutputSchema, patch, "expectedOutputSchema"),
  });
  if (schemas === undefined) return undefined;
  const isKnown = checked?.datasetId === datasetId && checked.hash.equals(schemas.hash);
  const after = isKnown ? checked.through : 0n;
  if (after < headVersion)
    await checkItems(client, { datasetId, after, through: headVersion }, schemas, signal);
  return { datasetId, hash: schemas.hash, through: headVersion };
}

/** Returns a schema of a patch if it differs in meaning from the previous one. */
function newSchema(
  present: string | undefined,
  patch: DatasetPatch,
  name: keyof SchemaTexts,
): string | undefined {
  return name in patch && !isSameSchema(present, patch[name]) ? patch[name] : undefined;
}
