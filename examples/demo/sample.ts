import { readFile } from "node:fs/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ItemSchema } from "../../gen/itembank/v1/item_pb.js";
import type { ItemRow } from "../reckoning/editions.ts";

/** The name of the sample in the service. */
export const sampleName = "reckoning";

/** An item to be sent, always with an id. */
export type OutgoingItem = MessageInitShape<typeof ItemSchema> & { readonly itemId: string };

/** Reads a file of the sample. Payloads are texts that the service keeps unchanged. */
export async function readSample(file: "edition-1" | "review" | "edition-2"): Promise<OutgoingItem[]> {
  const text = await readFile(new URL(`../reckoning/${file}.jsonl`, import.meta.url), "utf8");
  return text
    .trimEnd()
    .split("\n")
    .map((line): OutgoingItem => {
      const row: ItemRow = JSON.parse(line);
      return {
        itemId: row.item_id,
        inputJson: JSON.stringify(row.input),
        expectedOutputJson: JSON.stringify(row.expected_output),
        metadataJson: JSON.stringify(row.metadata),
        splits: [...row.splits],
      };
    });
}
