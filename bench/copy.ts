import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type pg from "pg";
import { from as copyFrom } from "pg-copy-streams";
import { CopyRows } from "../src/db/copy.ts";
import { contentHash } from "../src/items/content-hash.ts";
import type { BenchRows } from "./rows.ts";

/**
 * Measures PostgreSQL's best case: copies the rows into the table of item revisions in one statement, encoded beforehand, and
 * deletes them again. Returns the seconds that copying took.
 */
export async function copyBare(database: pg.Client, rows: BenchRows): Promise<number> {
  const chunks = encode(rows);
  const began = performance.now();
  await pipeline(
    Readable.from(chunks),
    database.query(
      copyFrom(
        `copy item_revisions (dataset_id, item_id, changeset_id, row_number, content_hash, splits, keeps_splits, input,
                              expected_output, metadata) from stdin (format binary)`,
      ),
    ),
  );
  const seconds = (performance.now() - began) / 1000;
  await database.query("delete from item_revisions where dataset_id = $1", [datasetId]);
  await database.query("vacuum item_revisions");
  return seconds;
}

const datasetId = "data00000000000000000000000000";

/** Encodes the rows in COPY's binary format, in chunks. */
function encode(rows: BenchRows): Buffer[] {
  const copy = new CopyRows();
  const chunks: Buffer[] = [];
  for (let position = 0; position < rows.count; position++) {
    const { itemId, input, expectedOutput, metadata } = rows.at(position);
    copy.row(10);
    copy.text(datasetId);
    copy.text(itemId);
    copy.int8(0);
    copy.int8(position);
    copy.bytes(contentHash({ input, expectedOutput, metadata }));
    copy.texts([]);
    copy.boolean(true);
    copy.text(input);
    copy.text(expectedOutput);
    copy.text(metadata);
    const chunk = copy.takeChunk();
    if (chunk !== undefined) chunks.push(chunk);
  }
  return [...chunks, copy.finish()];
}
