import { create, toBinary } from "@bufbuild/protobuf";
import type { Limits } from "../../gen/itembank/v1/limits_pb.js";
import { type RunResult, RunResultSchema } from "../../gen/itembank/v1/result_pb.js";
import type { ResultInit } from "./run-cell.ts";

/**
 * A result as it can be recorded. One that is too large with all its scores becomes an error that says so: else the server
 * would refuse all others in its frame as well.
 */
export function fittingResult(
  init: ResultInit,
  { maxResultBytes }: Pick<Limits, "maxResultBytes">,
): RunResult {
  const result = create(RunResultSchema, init);
  const bytes = toBinary(RunResultSchema, result).length;
  if (bytes <= maxResultBytes) return result;
  const { itemId, repetition, startTime, completeTime, latency, retryCount } = result;
  const message = `the result takes ${bytes} bytes with its scores, but the server takes ${maxResultBytes}`;
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
