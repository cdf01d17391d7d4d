/** The exports that both entry points share. */
export { Code } from "@connectrpc/connect";
export type { ClientOptions, ItembankClient } from "./client.ts";
export { TimeoutError } from "./experiment/attempt.ts";
export { ExperimentInterruptedError } from "./experiment/experiment-interrupted.ts";
export type {
  CellReport,
  ExperimentProgress,
  ExperimentResult,
  RunExperimentOptions,
} from "./experiment/experiment-options.ts";
export { formatSummary } from "./experiment/format-summary.ts";
export type { ExperimentSummary, FailureSummary, ScoreSummary } from "./experiment/summary.ts";
export type {
  Evaluate,
  Evaluator,
  EvaluatorOutput,
  Judgement,
  Subject,
  Task,
  TaskContext,
  TaskUsage,
  WorkOptions,
} from "./experiment/task.ts";
export type { WorkCounts, WorkRunOptions, WorkRunResult } from "./experiment/work-run-options.ts";
export { parseJson } from "./json/json-text.ts";
export type { DiffOptions, WatchOptions } from "./reading/changes.ts";
export type { CompareOptions, Comparison, ScoreSettings } from "./reading/comparison.ts";
export type { ItemsRead, StreamItemsOptions } from "./reading/dataset-items.ts";
export { type ReadItem, readItem } from "./reading/read-item.ts";
export type { StreamRunResultsOptions } from "./reading/run-results.ts";
export type { RetrySettings } from "./rpc/backoff.ts";
export type { Services } from "./rpc/connection.ts";
export type { DatasetAddress, DatasetLike, VersionLike } from "./rpc/dataset-ref.ts";
export { type FieldViolation, ItembankError, type Reason } from "./rpc/error.ts";
export type { ColumnOptions, Columns } from "./upsert/column-mapping.ts";
export type { ItemInit, ItemTexts, ItemValues } from "./upsert/item-init.ts";
export type { RowConversion } from "./upsert/item-row.ts";
export type { Metadata } from "./upsert/metadata.ts";
export type { Rows } from "./upsert/row-source.ts";
export type { NewDataset, UpsertDatasetOptions, UpsertProgressReport } from "./upsert/upsert-options.ts";
export type { ApplyOptions, Counts, Guards, UpsertPlan, UpsertResult } from "./upsert/upsert-outcome.ts";
export { clientVersion } from "./version.ts";
