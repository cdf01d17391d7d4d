import type { Connection } from "../rpc/connection.ts";
import type { RunExperimentOptions } from "./experiment-options.ts";
import { RateGate } from "./rate-gate.ts";
import { type Cell, type ResultInit, runCell } from "./run-cell.ts";
import { defaultConcurrency } from "./task.ts";
import { forEachAtATime } from "./workers.ts";

/** Cells to work on, and where their results go. */
export interface CellWork {
  /** Empty in a dry run. */
  readonly runId: string;
  /** Returns the number of all cells, as far as known. */
  expected(): number;
  /** The number of cells that had succeeded before. */
  readonly succeeded: number;
  cells(signal: AbortSignal): AsyncGenerator<Cell>;
  record(result: ResultInit, signal: AbortSignal): Promise<void> | void;
}

/**
 * Works on cells, `concurrency` of them at a time.
 *
 * @throws any error that keeps results from being recorded; the reason of the signal
 */
export async function workOnCells<Input, Output, Expected>(
  connection: Connection,
  options: RunExperimentOptions<Input, Output, Expected>,
  work: CellWork,
): Promise<void> {
  const { concurrency = defaultConcurrency, onProgress, onResult, signal } = options;
  const { platform } = connection;
  const { runId } = work;
  const limits = await connection.limits(signal);
  const gate = new RateGate(options.rateLimit?.perMinute);
  const setting = { options, gate, platform, limits, runId };
  let { succeeded } = work;
  let failed = 0;
  let running = 0;
  const report = () =>
    onProgress?.({
      runId,
      expected: work.expected(),
      succeeded,
      failed,
      running,
      pausedUntil: gate.opensAt > Date.now() ? new Date(gate.opensAt) : undefined,
    });
  const workOn = async (cell: Cell, stop: AbortSignal) => {
    running++;
    const result = await runCell(setting, cell, stop).finally(() => running--);
    if (result.outcome?.case === "outputJson") succeeded++;
    else failed++;
    await work.record(result, stop);
    onResult?.({ itemId: result.itemId, repetition: result.repetition, result });
    report();
  };
  report();
  await forEachAtATime((stop) => work.cells(stop), concurrency, workOn, signal);
}
