import { finished } from "node:stream/promises";
import type pg from "pg";
import { from as copyFrom } from "pg-copy-streams";
import { CopyRows } from "../src/db/copy.ts";
import { contentHash } from "../src/items/content-hash.ts";
import type { BenchRow, BenchRows } from "./rows.ts";

/** Rows of one chunk: about as many bytes as fit into a few network buffers. */
const rowsPerChunk = 2_000;

/**
 * What PostgreSQL takes at best: copies the rows into the table of item revisions, encoded beforehand, and takes them out
 * again. Gives the seconds that the copying took.
 */
export async function copyBare(database: pg.Client, rows: BenchRows): Promise<number> {
  const chunks: Buffer[] = [];
  for (let first = 0; first < rows.count; first += rowsPerChunk) {
    const count = Math.min(rowsPerChunk, rows.count - first);
    chunks.push(
      encode(
        Array.from({ length: count }, (_, position) => rows.at(first + position)),
        first,
      ),
    );
  }
  const began = performance.now();
  await database.query("begin");
  for (const chunk of chunks) {
    const stream = database.query(
      copyFrom(
        `copy item_revisions (dataset_id, item_id, changeset_id, row_number, content_hash, splits, keeps_splits, input,
                              expected_output, metadata) from stdin (format binary)`,
      ),
    );
    stream.end(chunk);
    await finished(stream);
  }
  await database.query("commit");
  const seconds = (performance.now() - began) / 1000;
  await database.query("delete from item_revisions where dataset_id = $1", [datasetId]);
  await database.query("vacuum item_revisions");
  return seconds;
}

const datasetId = "data00000000000000000000000000";

/** The rows as one piece in COPY's binary format. */
function encode(rows: readonly BenchRow[], first: number): Buffer {
  const copy = new CopyRows();
  const chunks: Buffer[] = [];
  rows.forEach(({ itemId, input, expectedOutput, metadata }, position) => {
    copy.row(10);
    copy.text(datasetId);
    copy.text(itemId);
    copy.int8(0);
    copy.int8(first + position);
    copy.bytes(contentHash({ input, expectedOutput, metadata }));
    copy.texts([]);
    copy.boolean(true);
    copy.text(input);
    copy.text(expectedOutput);
    copy.text(metadata);
    const chunk = copy.takeChunk();
    if (chunk !== undefined) chunks.push(chunk);
  });
  return Buffer.concat([...chunks, copy.finish()]);
}
