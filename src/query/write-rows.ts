import { pipeline } from "node:stream/promises";
import { streamOut } from "../db/copy-out.ts";
import { withIndexOrder } from "../db/planner.ts";
import type { Client } from "../db/pool.ts";
import type { EnginePool } from "../engine/engine-pool.ts";
import type { Refusal, WriteRequest } from "../engine/protocol.ts";
import { engineError, refusalFailure } from "./engine-failure.ts";

/**
 * Writes the rows of a query, JSON arrays, to a Parquet file, and returns their number. The bytes go from the database
 * to a process of the engine unchanged. If this fails, `client` is unusable.
 *
 * @throws Failure QUERY_TOO_LARGE; the reason of the signal
 */
export async function writeRows(
  {
    client,
    engines,
    signal,
  }: { readonly client: Client; readonly engines: EnginePool; readonly signal: AbortSignal },
  query: string,
  request: Omit<WriteRequest, "kind" | "bounds">,
): Promise<number> {
  await using engine = engines.startWriter(signal);
  // Rows are in the order of a key: with a scan along it, the first is available at once and none is sorted.
  // Awaited here, because the engine is disposed of when this function returns.
  return await withIndexOrder(client, async () => {
    engine.send({ kind: "write", ...request, bounds: engines.bounds });
    const sending = pipeline(streamOut(client, query), engine.input, { signal });
    // If the engine refuses the rows, it stops reading them; its answer is more informative than that error.
    sending.catch(() => undefined);
    try {
      const answer = await engine.receiveAnswer();
      if (answer.kind === "refused") throw refusalFailure(asFault(answer.refusal));
      if (answer.kind !== "written") throw new Error(`the engine answered ${answer.kind}`);
      await sending;
      return answer.rowCount;
    } catch (error) {
      throw engineError(error, engines.bounds.memoryBytes);
    }
  });
}

/** The statements are ours, so any problem with them is a fault. */
function asFault(refusal: Refusal): Refusal {
  return refusal.kind === "statement" ? { kind: "fault", problem: refusal.problem } : refusal;
}
