import type { Run } from "../../gen/itembank/v1/run_pb.js";
import type { DatasetLike, VersionLike } from "../rpc/dataset-ref.ts";
import { datasetNames, type OptionNames, versionNames } from "../rpc/option-names.ts";
import type { Metadata } from "../upsert/metadata.ts";
import type { ResultInit } from "./run-cell.ts";
import type { ExperimentSummary } from "./summary.ts";
import { type WorkOptions, workOptionNames } from "./task.ts";

/** The progress of an experiment. */
export interface ExperimentProgress {
  readonly runId: string;
  /** Cells: items times repetitions. */
  readonly expected: number;
  readonly succeeded: number;
  /** Cells that failed, finally unless the run is resumed. */
  readonly failed: number;
  /** Cells in progress. */
  readonly running: number;
  /** The end of the pause for a rate limit, if there is one. */
  readonly pausedUntil: Date | undefined;
}

/** The result of one cell, as it is recorded. */
export interface CellReport {
  readonly itemId: string;
  readonly repetition: number;
  readonly result: ResultInit;
}

/** An experiment: a new run on a dataset, or an existing one to resume by its `runId`. */
export interface RunExperimentOptions<Input, Output, Expected> extends WorkOptions<Input, Output, Expected> {
  /** Required for a new run. */
  readonly dataset?: DatasetLike;
  /** The latest by default. The run stays on it while new versions are made. */
  readonly version?: VersionLike;
  /** Covers only items in any of these splits. All items by default. */
  readonly splits?: readonly string[];
  /** How often the task runs on each item. 1 by default. */
  readonly repetitions?: number;
  /** Resumes an interrupted run: works only on the cells that lack a success. */
  readonly runId?: string;
  readonly name?: string;
  readonly description?: string;
  /** The subject of the experiment: `{ type: "model", id: "reader-2" }`. */
  readonly target?: { readonly type?: string; readonly id: string };
  readonly metadata?: Metadata;
  /** Names such as `baseline`, which move here from the run that had them. */
  readonly labels?: readonly string[];
  /** Carries over the successes of this earlier run for items that have not changed since. */
  readonly carryFromRunId?: string;
  /** Whether to finish the run after the last cell. True by default. */
  readonly finish?: boolean;
  /** The share of cells that must succeed for the run to end as COMPLETED, 0 to 1. By default, one success suffices. */
  readonly minSuccessRatio?: number;
  /** Tries the task on this many items, the first ones, and records nothing. */
  readonly dryRun?: number;
  /** Called before the first cell and after each. */
  readonly onProgress?: (progress: ExperimentProgress) => void;
  /** Called after each cell. Throwing ends the experiment. */
  readonly onResult?: (report: CellReport) => void;
  /** Ends the experiment early. Finished results are recorded, and the run can be resumed. */
  readonly signal?: AbortSignal;
}

/** The names of `RunExperimentOptions`. */
export const experimentOptionNames: OptionNames<RunExperimentOptions<never, never, never>> = {
  ...workOptionNames,
  dataset: datasetNames,
  version: versionNames,
  splits: true,
  repetitions: true,
  runId: true,
  name: true,
  description: true,
  target: { type: true, id: true },
  metadata: true,
  labels: true,
  carryFromRunId: true,
  finish: true,
  minSuccessRatio: true,
  dryRun: true,
  onProgress: true,
  onResult: true,
  signal: true,
};

/** The outcome of an experiment. */
export interface ExperimentResult {
  /** Undefined for a dry run. */
  readonly run: Run | undefined;
  readonly runId: string;
  readonly version: number;
  /**
   * The results of this experiment that the run did not accept, because another program had recorded a success for their
   * cells meanwhile, or their items were purged.
   */
  readonly notRecorded: number;
  readonly summary: ExperimentSummary;
}
