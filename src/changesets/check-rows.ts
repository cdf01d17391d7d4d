import type { DatasetDefinition } from "../datasets/dataset.ts";
import { findSchemaOwner, getSchemaTexts } from "../datasets/schema-store.ts";
import type { Client, Pool, Queryable } from "../db/pool.ts";
import { transaction } from "../db/transaction.ts";
import { Faults } from "../faults.ts";
import { streamWritten } from "../items/written-store.ts";
import {
  compileItemSchemas,
  findItemSchemas,
  type ItemSchemas,
  schemaHashOf,
} from "../schemas/item-schemas.ts";
import { nextTurn, TurnBudget } from "../turn-budget.ts";
import type { Changeset, ChangesetRequest, Target } from "./changeset.ts";
import { hasOtherSchemas, lockChangeset, updateChangeset } from "./changeset-store.ts";
import { equalBytes } from "./row-classification.ts";
import type { StagedRevision } from "./staging-store.ts";

/** The dataset that rows go to, as far as its schemas go. */
type SchemaOwner = Pick<Target, "datasetId" | "exists" | "schemaHash">;

/** Identifies the schemas that rows are held to: those of the dataset, or those it is created with. Undefined without any. */
export function schemaHashInForce(
  owner: SchemaOwner,
  newDataset: ChangesetRequest["newDataset"],
): Buffer | undefined {
  return owner.exists ? owner.schemaHash : schemaHashOf(newDatasetDefinition(newDataset));
}

/** The schemas that rows are held to, compiled; undefined without any. */
export async function schemasInForce(
  db: Queryable,
  owner: SchemaOwner,
  newDataset: ChangesetRequest["newDataset"],
): Promise<ItemSchemas | undefined> {
  const hash = schemaHashInForce(owner, newDataset);
  if (hash === undefined) return undefined;
  const known = findItemSchemas(hash);
  if (known !== undefined) return known;
  return compileItemSchemas(
    owner.exists ? await getSchemaTexts(db, owner.datasetId) : newDatasetDefinition(newDataset),
  );
}

/** What the dataset that a write creates is to look like. */
export function newDatasetDefinition(newDataset: ChangesetRequest["newDataset"]): DatasetDefinition {
  if (newDataset === undefined) throw new Error("the write does not say what it creates");
  return JSON.parse(newDataset);
}

/** Whether two schema hashes are the same; undefined is the hash of none. */
export function isSameHash(one: Buffer | undefined, other: Buffer | undefined): boolean {
  return one === undefined || other === undefined ? one === other : equalBytes(one, other);
}

/** Rows that are checked before others get a turn: some hundred microseconds. */
const checksPerTurn = 100;

/**
 * Checks rows that give their items other content. Those that leave it as it is satisfy the schemas: the items they were
 * compared with do.
 *
 * @param field leads from the request message to a row.
 * @throws Failure SCHEMA_VIOLATION about all rows that violate the schemas, of each the first fault.
 */
export async function checkRows(
  schemas: ItemSchemas,
  revisions: readonly StagedRevision[],
  field: (rowNumber: number) => string,
): Promise<void> {
  const faults = new Faults();
  const turn = new TurnBudget(checksPerTurn);
  for (const { row, replaces } of revisions) {
    if (replaces !== undefined && equalBytes(replaces.contentHash, row.contentHash)) continue;
    if (turn.spend()) await nextTurn();
    const violation = schemas.check(row.content);
    if (violation === undefined) continue;
    const named = row.unidentified ? { index: row.rowNumber } : { index: row.rowNumber, item_id: row.itemId };
    faults.add("SCHEMA_VIOLATION", { ...named, ...violation }, fieldOf(field(row.rowNumber), violation.path));
  }
  faults.throwIfAny();
}

/**
 * Checks what a changeset has staged, all of it or only some items, in bounded memory. Purged items hold nothing to check.
 *
 * @throws Failure SCHEMA_VIOLATION as checkRows
 */
export async function checkStagedRows(
  client: Client,
  changeset: Changeset,
  schemas: ItemSchemas,
  itemIds?: readonly string[],
): Promise<void> {
  const faults = new Faults();
  const written = { changesetIds: [changeset.changesetId], itemIds };
  for await (const revisions of streamWritten(client, changeset.datasetId, written)) {
    for (const { itemId, rowNumber, input, expectedOutput } of revisions) {
      const violation = schemas.check({ input, expectedOutput });
      if (violation === undefined) continue;
      if (changeset.mode === "restore") {
        // Its rows are items of an older version: the request only names that.
        faults.add("SCHEMA_VIOLATION", { item_id: itemId, ...violation }, "at");
        continue;
      }
      const isAssigned = itemId.startsWith(changeset.itemIdPrefix);
      const named = isAssigned ? { index: rowNumber } : { index: rowNumber, item_id: itemId };
      const field = fieldOf(`items[${rowNumber}]`, violation.path);
      faults.add("SCHEMA_VIOLATION", { ...named, ...violation }, field);
    }
    await nextTurn();
  }
  faults.throwIfAny();
}

/**
 * Checks what a write has staged if the dataset has got other schemas since, and notes it. Publishing would do so, too, but
 * under the lock of the dataset; here other writers do not wait. What changes in between is left to publishing.
 *
 * @throws Failure SCHEMA_VIOLATION as checkRows; the write stays as it is.
 */
export async function recheckStagedRows(
  pool: Pool,
  { datasetId, requestId }: Pick<Changeset, "datasetId" | "requestId">,
): Promise<void> {
  if (!(await hasOtherSchemas(pool, datasetId, requestId))) return;
  await transaction(pool, async (client) => {
    const changeset = await lockChangeset(client, datasetId, requestId);
    const owner = await findSchemaOwner(client, datasetId);
    if (changeset === undefined || owner === undefined || changeset.expireTime === undefined) return;
    await checkAfresh(client, changeset, owner);
    await updateChangeset(client, changeset);
  });
}

/** Checks all that a changeset has staged unless that was done, against the same schemas. @throws Failure SCHEMA_VIOLATION */
export async function requireSchemas(client: Client, changeset: Changeset, target: Target): Promise<void> {
  if (isSameHash(schemaHashInForce(target, changeset.newDataset), changeset.schemaHash)) return;
  await checkAfresh(client, changeset, target);
}

async function checkAfresh(client: Client, changeset: Changeset, owner: SchemaOwner): Promise<void> {
  const schemas = await schemasInForce(client, owner, changeset.newDataset);
  if (schemas !== undefined) await checkStagedRows(client, changeset, schemas);
  changeset.schemaHash = schemas?.hash;
}

/** The field that holds the payload which a JSON path leads into. */
function fieldOf(row: string, path: string): string {
  return `${row}.${path.startsWith("$.input") ? "input_json" : "expected_output_json"}`;
}
