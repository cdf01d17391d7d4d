import type { JsonObject } from "@bufbuild/protobuf";
import type { Run } from "../../gen/itembank/v1/run_pb.js";
import type { DatasetLike, VersionLike } from "../rpc/dataset-ref.ts";
import type { ResultInit } from "./run-cell.ts";
import type { ExperimentSummary } from "./summary.ts";
import type { WorkOptions } from "./task.ts";

/** How far an experiment has come. */
export interface ExperimentProgress {
  readonly runId: string;
  /** Cells: items times repetitions. */
  readonly expected: number;
  readonly succeeded: number;
  /** Cells that failed, for good unless the run is resumed. */
  readonly failed: number;
  /** Cells that are worked on right now. */
  readonly running: number;
  /** Until when all attempts wait for a rate limit, if they do. */
  readonly pausedUntil: Date | undefined;
}

/** What came out of one cell, as it is recorded. */
export interface CellReport {
  readonly itemId: string;
  readonly repetition: number;
  readonly result: ResultInit;
}

/** An experiment: a new run on a dataset, or one that is to be continued by its `runId`. */
export interface RunExperimentOptions<Input, Output, Expected> extends WorkOptions<Input, Output, Expected> {
  /** Required for a new run. */
  readonly dataset?: DatasetLike;
  /** Which version. The latest unless set; the run stays on it, whatever is written meanwhile. */
  readonly version?: VersionLike;
  /** Covers the items in any of these splits. All items unless set. */
  readonly splits?: readonly string[];
  /** How often each item is answered. 1 unless set. */
  readonly repetitions?: number;
  /** Continues a run that was interrupted: works on the cells that lack a success, and on no others. */
  readonly runId?: string;
  readonly name?: string;
  readonly description?: string;
  /** What is tried: `{ type: "model", id: "reader-2" }`. */
  readonly target?: { readonly type?: string; readonly id: string };
  readonly metadata?: JsonObject;
  /** Names such as `baseline`, taken from the run that had them. */
  readonly labels?: readonly string[];
  /** Takes over the successes of this earlier run for items that have not changed since. */
  readonly carryFromRunId?: string;
  /** Whether the run is ended when all cells were worked on. True unless set. */
  readonly finish?: boolean;
  /** The share of cells that has to succeed for the run to end as COMPLETED. Any one success unless set. */
  readonly minSuccessRatio?: number;
  /** Tries the task on the first so many items and records nothing. */
  readonly dryRun?: number;
  readonly onProgress?: (progress: ExperimentProgress) => void;
  /** Called for each cell as it is done. What it throws ends the experiment. */
  readonly onResult?: (report: CellReport) => void;
  /** Ends the experiment early. What is done is recorded, and the run can be continued. */
  readonly signal?: AbortSignal;
}

export interface ExperimentResult {
  /** Undefined for a dry run. */
  readonly run: Run | undefined;
  readonly runId: string;
  readonly version: number;
  /**
   * How many of the results made here the run has not taken, because somebody else had given their cells a success
   * meanwhile, or their items were purged.
   */
  readonly notRecorded: number;
  readonly summary: ExperimentSummary;
}
