import { EngineGone } from "../engine/engine-gone.ts";
import type { Refusal } from "../engine/protocol.ts";
import { failure } from "../failure.ts";

/** What a caller is told of a refusal of the engine. A fault is nothing for the caller. */
export function refusalFailure(refusal: Refusal): Error {
  switch (refusal.kind) {
    case "statement":
      return failure("INVALID_SQL", { position: refusal.position, problem: refusal.problem });
    case "table":
      return failure("TABLE_NOT_FOUND", { table: refusal.table });
    case "size":
      return failure("QUERY_TOO_LARGE", { maximum_bytes: refusal.maximumBytes });
    case "fault":
      return new Error(`the engine failed: ${refusal.problem}`);
  }
}

/** What a caller is told when working with an engine failed: more than that it is gone if it ended for lack of memory. */
export function engineError(error: unknown, memoryBytes: number): unknown {
  return error instanceof EngineGone && error.outOfMemory
    ? failure("QUERY_TOO_LARGE", { maximum_bytes: memoryBytes })
    : error;
}
