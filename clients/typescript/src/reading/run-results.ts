import { ResultView, type RunResult } from "../../gen/itembank/v1/result_pb.js";
import type { Run } from "../../gen/itembank/v1/run_pb.js";
import type { StreamResultsResponse } from "../../gen/itembank/v1/run_service_pb.js";
import type { Connection } from "../rpc/connection.ts";
import { enumValue } from "../rpc/enum-value.ts";
import type { OptionNames } from "../rpc/option-names.ts";
import { resumed } from "./resumed.ts";

/** The run whose results to read, and how. */
export interface StreamRunResultsOptions {
  readonly runId: string;
  /** Continues with changes as they happen, until the run ends. A result that changes is yielded again. */
  readonly follow?: boolean;
  /** Resumes after this `sequence`. */
  readonly afterSequence?: number | bigint;
  /** How much of the results to return: `with_item` adds their items. `basic` by default. */
  readonly view?: "basic" | "with_item";
  readonly signal?: AbortSignal;
}

/** The names of `StreamRunResultsOptions`. */
export const runResultsOptionNames: OptionNames<StreamRunResultsOptions> = {
  runId: true,
  follow: true,
  afterSequence: true,
  view: true,
  signal: true,
};

const views = { basic: ResultView.BASIC, with_item: ResultView.WITH_ITEM } as const;

/** Yields the current results of a run in the order of their last change. Returns the run as it is at the end. */
export async function* streamRunResults(
  connection: Connection,
  { runId, follow = false, afterSequence = 0, view = "basic", signal }: StreamRunResultsOptions,
): AsyncGenerator<RunResult, Run> {
  const wireView = enumValue("view", view, views);
  let sequence = BigInt(afterSequence);
  const open = () =>
    connection.runs.streamResults(
      { runId, follow, view: wireView, afterSequence: sequence },
      signal ? { signal } : {},
    );
  const isLast = ({ frame }: StreamResultsResponse) => frame.case === "end";
  for await (const { frame } of resumed(connection, open, isLast, signal)) {
    switch (frame.case) {
      case "batch":
        for (const result of frame.value.results) {
          yield result;
          sequence = result.sequence;
        }
        break;
      case "heartbeat":
        sequence = frame.value.throughSequence;
        break;
      case "end":
        return frame.value.run as Run;
    }
  }
  throw new Error("the stream of results ended without its last frame");
}
