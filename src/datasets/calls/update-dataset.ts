import type { Client } from "../../db/pool.ts";
import type { DatasetHandle, ProjectId } from "../../handles.ts";
import { compileItemSchemas, isSameSchema, type SchemaTexts } from "../../schemas/item-schemas.ts";
import {
  type Dataset,
  type DatasetPatch,
  type DatasetRef,
  datasetDefinitionOf,
  isSameDatasetDefinition,
  requireEtag,
} from "../dataset.ts";
import { claimName, claimTableName } from "../dataset-name-store.ts";
import { clockOf, getDataset, lockDataset, updateDatasetDefinition } from "../dataset-store.ts";
import { checkItems } from "./check-items.ts";

/** Which dataset to change. */
export interface DatasetUpdate {
  readonly projectId: ProjectId;
  readonly ref: DatasetRef;
  /** If not empty, the one that the dataset has to have. */
  readonly etag: string;
  /** Ends checking items early. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Changes what is said about a dataset, and its etag and update_time if that changes anything. Items are checked against new
 * schemas, most of them before the dataset is locked.
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
  await requireItemsFit(client, update, dataset, patch, checked);
  if (wanted.name !== dataset.name) await claimName(client, dataset, wanted.name);
  // A table name that is to be made afresh may turn out to be the one it has.
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

/** Items that are known to satisfy schemas: those of a version. */
interface Checked {
  readonly datasetId: DatasetHandle;
  readonly hash: Buffer;
  readonly through: bigint;
}

/**
 * How often versions that were published while others were checked are checked before the lock. Each round takes a part of the
 * time of the one before; whoever imports without a pause must not keep a schema away for ever.
 */
const maxRounds = 5;

/** Checks the items of the latest version while the dataset can still be written to. Undefined if nothing needs to be checked. */
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
    checked = await requireItemsFit(client, update, dataset, patch, before);
    if (checked === undefined || checked.through === before?.through) return checked;
  }
  return checked;
}

/** Checks the items of a dataset against those schemas of a patch that are new to it, unless that was done. */
async function requireItemsFit(
  client: Client,
  { signal }: DatasetUpdate,
  { datasetId, headVersion, ...present }: Dataset,
  patch: DatasetPatch,
  checked: Checked | undefined,
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

/** A schema of a patch, if it says something else than the one before. */
function newSchema(
  present: string | undefined,
  patch: DatasetPatch,
  name: keyof SchemaTexts,
): string | undefined {
  return name in patch && !isSameSchema(present, patch[name]) ? patch[name] : undefined;
}
