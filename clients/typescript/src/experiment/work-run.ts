import { Code } from "@connectrpc/connect";
import type { Run } from "../../gen/itembank/v1/run_pb.js";
import { Backoff } from "../rpc/backoff.ts";
import type { Connection } from "../rpc/connection.ts";
import { ItembankError } from "../rpc/error.ts";
import { newUuid } from "../rpc/uuid.ts";
import { RateGate } from "./rate-gate.ts";
import { checkEvaluators } from "./run-experiment.ts";
import type { WorkOptions } from "./task.ts";
import { type WorkCounts, Worker } from "./worker.ts";

/** A worker on a run: one of any number, in any language, among whom the server hands out the cells. */
export interface WorkRunOptions<Input, Output, Expected> extends WorkOptions<Input, Output, Expected> {
  readonly runId: string;
  /**
   * The name of this worker within the run. One that comes back under its name gets the cells it still holds. Random
   * unless set.
   */
  readonly workerId?: string;
  /** How long a cell stays with a worker that is not heard of, in milliseconds. 60,000 unless set. */
  readonly leaseMs?: number;
  /** How often a cell that failed is leased in all, to whichever worker. 1 unless set. */
  readonly maxAttempts?: number;
  readonly onProgress?: (progress: WorkCounts) => void;
  /** Gives all cells back and leaves. */
  readonly signal?: AbortSignal;
}

export interface WorkRunResult extends WorkCounts {
  /** The run as it is when there is nothing left to do. It is not ended by that: `FinishRun` does it. */
  readonly run: Run;
}

/** Works on a run until there is nothing left to do. See `ItembankClient.workRun`. */
export async function workRun<Input, Output, Expected>(
  connection: Connection,
  options: WorkRunOptions<Input, Output, Expected>,
): Promise<WorkRunResult> {
  const { signal, runId, workerId = newUuid() } = options;
  signal?.throwIfAborted();
  checkEvaluators(options);
  if (!connection.duplex) {
    throw new ItembankError(
      "a worker needs a connection that streams both ways, which browsers do not have",
      {
        code: Code.Unimplemented,
      },
    );
  }
  const limits = await connection.limits(signal);
  const gate = new RateGate(options.rateLimit?.perMinute);
  const setting = { options, gate, platform: connection.platform, limits, runId };
  const worker = new Worker(connection, setting, { ...options, workerId }, limits);
  const backoff = new Backoff(connection.retry, connection.retry.resumeAttempts);
  try {
    for (;;) {
      try {
        const run = await worker.stream(() => backoff.succeeded(), signal);
        return { run, ...worker.counts };
      } catch (error) {
        await backoff.wait(error, signal);
      }
    }
  } finally {
    worker.stop();
  }
}
