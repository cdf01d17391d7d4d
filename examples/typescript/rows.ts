import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";

/** A line of the files in `examples/reckoning`: an item in the spelling of exported files. */
export interface Row {
  readonly item_id: string;
  readonly input: { readonly question: string };
  readonly expected_output: string | number;
  readonly metadata: { readonly topic: string };
  readonly splits: readonly string[];
}

/** Reads a file line by line, no faster than its rows are consumed. */
export async function* readRows(file: string): AsyncGenerator<Row> {
  const lines = createInterface({
    input: createReadStream(new URL(`../reckoning/${file}`, import.meta.url)),
  });
  for await (const line of lines) yield JSON.parse(line);
}
