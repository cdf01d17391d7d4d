import type { Queryable } from "../db/pool.ts";
import type { DatasetHandle } from "../handles.ts";
import type { SchemaTexts } from "../schemas/item-schemas.ts";

/** Finds the hash of the schemas of a dataset, existing or reserved; undefined if there is none. */
export async function findSchemaOwner(
  db: Queryable,
  datasetId: DatasetHandle,
): Promise<{ datasetId: DatasetHandle; exists: boolean; schemaHash: Buffer | undefined } | undefined> {
  const { rows } = await db.query<{ exists: boolean; schema_hash: Buffer | null }>(
    "select create_time is not null as exists, schema_hash from datasets where dataset_id = $1",
    [datasetId],
  );
  return rows[0] && { datasetId, exists: rows[0].exists, schemaHash: rows[0].schema_hash ?? undefined };
}

/** Returns the schemas of a dataset. They may be large, so writers ask for them only if they do not know them by their hash. */
export async function getSchemaTexts(db: Queryable, datasetId: DatasetHandle): Promise<SchemaTexts> {
  const { rows } = await db.query<{ input_schema: string | null; expected_output_schema: string | null }>(
    "select input_schema, expected_output_schema from datasets where dataset_id = $1",
    [datasetId],
  );
  return {
    inputSchema: rows[0]?.input_schema ?? undefined,
    expectedOutputSchema: rows[0]?.expected_output_schema ?? undefined,
  };
}
