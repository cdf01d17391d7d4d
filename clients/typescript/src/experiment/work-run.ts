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

/** A worker on a run: one of any number, in any language, to which the server leases the cells. */
export interface WorkRunOptions<Input, Output, Expected> extends WorkOptions<Input, Output, Expected> {
  readonly runId: string;
  /**
   * The name of this worker within the run. A worker that reconnects under its name keeps its cells. Random by default.
   */
  readonly workerId?: string;
  /** How long a worker keeps a cell without a heartbeat, in milliseconds. 60,000 by default. */
  readonly leaseMs?: number;
  /** How often a failing cell is leased in all, to any worker. 1 by default. */
  readonly maxAttempts?: number;
  readonly onProgress?: (progress: WorkCounts) => void;
  /** Releases all cells and leaves. */
  readonly signal?: AbortSignal;
}

/** The outcome of working on a run. */
export interface WorkRunResult extends WorkCounts {
  /** The run once no work is left. It is still open: `FinishRun` ends it. */
  readonly run: Run;
}

/** Works on a run until no work is left. See `ItembankClient.workRun`. */
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
