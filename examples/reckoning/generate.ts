/** Regenerates the files of the dataset: `node examples/reckoning/generate.ts`. */
import { writeFile } from "node:fs/promises";
import { editions, toJsonLines } from "./editions.ts";

for (const [name, rows] of Object.entries(editions())) {
  await writeFile(new URL(`${name}.jsonl`, import.meta.url), toJsonLines(rows));
  console.log(`${name}.jsonl: ${rows.length} rows`);
}
