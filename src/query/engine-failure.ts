import { EngineGone } from "../engine/engine-gone.ts";
import type { Refusal } from "../engine/protocol.ts";
import { failure } from "../failure.ts";

/** Returns the error for the caller after a refusal of the engine. A fault of the engine is not the caller's business. */
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

/**
 * Returns the error for the caller after work with an engine failed: it says more than that the engine is gone if it
 * ended for lack of memory.
 */
export function engineError(error: unknown, memoryBytes: number): unknown {
  return error instanceof EngineGone && error.outOfMemory
    ? failure("QUERY_TOO_LARGE", { maximum_bytes: memoryBytes })
    : error;
}
