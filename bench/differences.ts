import type { Client } from "@connectrpc/connect";
import type { DatasetService } from "../gen/itembank/v1/dataset_service_pb.js";
import type { UpsertService } from "../gen/itembank/v1/upsert_service_pb.js";
import { type BenchRows, changedRows } from "./rows.ts";

/** How often each diff is requested. The first requests also open connections. */
const repetitions = 25;

/** Makes a version that changes a few items, and returns the seconds that a diff of it takes: the median of many calls. */
export async function diffNeighbours(
  datasets: Client<typeof DatasetService>,
  upserts: Client<typeof UpsertService>,
  name: string,
  { count }: BenchRows,
): Promise<number> {
  const dataset = { by: { case: "name", value: name } } as const;
  const rows = changedRows(count);
  const items = Array.from({ length: 5 }, (_, n) => {
    const { itemId, expectedOutput, metadata } = rows.at(Math.floor((n * count) / 5));
    return {
      itemId,
      inputJson: `"changed ${n}"`,
      expectedOutputJson: expectedOutput,
      metadataJson: metadata,
    };
  });
  const { receipt } = await upserts.upsertItems({ dataset, items });
  const after = receipt?.version ?? 0n;
  const seconds: number[] = [];
  for (let repetition = 0; repetition < repetitions; repetition++) {
    const began = performance.now();
    let changed = 0;
    for await (const { frame } of datasets.diffVersions({
      dataset,
      before: { by: { case: "version", value: after - 1n } },
      after: { by: { case: "version", value: after } },
    })) {
      if (frame.case === "summary") changed = Number(frame.value.updated);
    }
    if (changed !== items.length) throw new Error(`the diff has ${changed} updates`);
    seconds.push((performance.now() - began) / 1000);
  }
  return seconds.toSorted((one, other) => one - other)[repetitions >> 1] as number;
}
