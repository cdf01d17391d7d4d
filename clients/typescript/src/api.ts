/** What both entry points give. */
export { Code } from "@connectrpc/connect";
export type { RetrySettings } from "./backoff.ts";
export type { AssayClient, ClientOptions } from "./client.ts";
export type { Services } from "./connection.ts";
export type { DatasetAddress, DatasetLike, VersionLike } from "./dataset-ref.ts";
export { AssayError, type FieldViolation, type Reason } from "./error.ts";
export type { ItemInit, ItemTexts, ItemValues, RowConversion } from "./upsert/item-row.ts";
export type { Rows } from "./upsert/row-source.ts";
export type { NewDataset, UpsertDatasetOptions, UpsertProgressReport } from "./upsert/upsert-options.ts";
export type { ApplyOptions, Counts, Guards, UpsertPlan, UpsertResult } from "./upsert/upsert-outcome.ts";
export { clientVersion } from "./version.ts";
