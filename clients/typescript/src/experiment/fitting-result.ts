import { create, toBinary } from "@bufbuild/protobuf";
import type { Limits } from "../../gen/itembank/v1/limits_pb.js";
import { type RunResult, RunResultSchema } from "../../gen/itembank/v1/result_pb.js";
import type { ResultInit } from "./run-cell.ts";

/**
 * Returns a result that can be recorded. A result that is too large with its scores is replaced by an error that says so:
 * otherwise the server would refuse all results in its frame.
 */
export function fittingResult(
  init: ResultInit,
  { maxResultBytes }: Pick<Limits, "maxResultBytes">,
): RunResult {
  const result = create(RunResultSchema, init);
  const bytes = toBinary(RunResultSchema, result).length;
  if (bytes <= maxResultBytes) return result;
  const { itemId, repetition, startTime, completeTime, latency, retryCount } = result;
  const message = `the result with its scores has ${bytes.toLocaleString("en-US")} bytes; the server accepts at most ${maxResultBytes.toLocaleString("en-US")}`;
  return create(RunResultSchema, {
    itemId,
    repetition,
    ...(startTime && { startTime }),
    ...(completeTime && { completeTime }),
    ...(latency && { latency }),
    retryCount,
    outcome: { case: "error", value: { code: "RESULT_TOO_LARGE", message } },
  });
}
