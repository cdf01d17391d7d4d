import type { Run } from "../../gen/itembank/v1/run_pb.js";
import type { OptionNames } from "../rpc/option-names.ts";
import { type WorkOptions, workOptionNames } from "./task.ts";

/** A worker on a run: one of any number, in any language, to which the server leases the cells. */
export interface WorkRunOptions<Input, Output, Expected> extends WorkOptions<Input, Output, Expected> {
  /** The run, which must be open. */
  readonly runId: string;
  /**
   * The name of this worker within the run. A worker that reconnects under its name keeps its cells. Random by default.
   */
  readonly workerId?: string;
  /** How long a worker keeps a cell without a heartbeat, in milliseconds. 60,000 by default. */
  readonly leaseMs?: number;
  /** How often a failing cell is leased in all, to any worker. 1 by default. */
  readonly maxAttempts?: number;
  /** Called after each frame of the server. */
  readonly onProgress?: (progress: WorkCounts) => void;
  /** Releases all cells and leaves. */
  readonly signal?: AbortSignal;
}

/** The names of `WorkRunOptions`. */
export const workRunOptionNames: OptionNames<WorkRunOptions<never, never, never>> = {
  ...workOptionNames,
  runId: true,
  workerId: true,
  leaseMs: true,
  maxAttempts: true,
  onProgress: true,
  signal: true,
};

/** The outcome of working on a run. */
export interface WorkRunResult extends WorkCounts {
  /** The run once no work is left. It is still open: `FinishRun` ends it. */
  readonly run: Run;
}

/** The progress of a worker. */
export interface WorkCounts {
  /** Cells in progress. */
  readonly running: number;
  /** Results that the run has recorded. */
  readonly recorded: number;
  /** Results that came too late: another worker was faster, or the run has ended. */
  readonly dropped: number;
  /** Cells whose leases expired because heartbeats failed to arrive in time. */
  readonly lost: number;
  /** True while other workers hold all remaining cells. */
  readonly idle: boolean;
}
