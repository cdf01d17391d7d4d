import { create } from "@bufbuild/protobuf";
import { RunResultSchema } from "../../gen/itembank/v1/result_pb.js";
import { streamItemMessages } from "../reading/dataset-items.ts";
import type { Connection } from "../rpc/connection.ts";
import { datasetRef, versionSelector } from "../rpc/dataset-ref.ts";
import { invalidField } from "../rpc/error.ts";
import type { ExperimentResult, RunExperimentOptions } from "./experiment-options.ts";
import type { Cell } from "./run-cell.ts";
import { SummaryBuilder } from "./summary.ts";
import { workOnCells } from "./work-on-cells.ts";

/** Works on the first items of a version as in a run, but records nothing. */
export async function dryRun<Input, Output, Expected>(
  connection: Connection,
  options: RunExperimentOptions<Input, Output, Expected>,
  itemCount: number,
): Promise<ExperimentResult> {
  const { dataset, version: at, splits = [], repetitions = 1, name = "" } = options;
  if (dataset === undefined) throw invalidField("dataset", "is required for a dry run");
  const found = await connection.datasets.getVersion(
    { dataset: datasetRef(dataset), at: versionSelector(at) },
    options.signal ? { signal: options.signal } : {},
  );
  const { datasetId = "", version = 0n } = found.version ?? {};
  const summary = new SummaryBuilder();
  let expected = 0;

  async function* cells(signal: AbortSignal): AsyncGenerator<Cell> {
    const pinned = { dataset: { datasetId }, version, splits, signal };
    let left = itemCount;
    for await (const item of streamItemMessages(connection, pinned)) {
      if (item.purged) continue;
      if (left-- <= 0) return;
      expected += repetitions;
      for (let repetition = 1; repetition <= repetitions; repetition++) yield { item, repetition };
    }
  }

  await workOnCells(connection, options, {
    runId: "",
    expected: () => expected,
    succeeded: 0,
    cells,
    record: (result) => summary.add(create(RunResultSchema, result)),
  });
  return {
    run: undefined,
    runId: "",
    version: Number(version),
    notRecorded: 0,
    summary: summary.ofDryRun(datasetId, Number(version), name, expected),
  };
}
