import type { Transport } from "@connectrpc/connect";
import type { DatasetVersion } from "../gen/itembank/v1/dataset_pb.js";
import { DatasetService, type DiffSummary } from "../gen/itembank/v1/dataset_service_pb.js";
import type { ItemChange } from "../gen/itembank/v1/item_pb.js";
import { ItemService } from "../gen/itembank/v1/item_service_pb.js";
import type { Limits } from "../gen/itembank/v1/limits_pb.js";
import { QueryService } from "../gen/itembank/v1/query_service_pb.js";
import type { RunResult } from "../gen/itembank/v1/result_pb.js";
import type { Run } from "../gen/itembank/v1/run_pb.js";
import { RunService } from "../gen/itembank/v1/run_service_pb.js";
import { SystemService } from "../gen/itembank/v1/system_service_pb.js";
import { UploadService } from "../gen/itembank/v1/upload_service_pb.js";
import { UpsertService } from "../gen/itembank/v1/upsert_service_pb.js";
import type { ExperimentResult, RunExperimentOptions } from "./experiment/experiment-options.ts";
import { runExperiment } from "./experiment/run-experiment.ts";
import { type WorkRunOptions, type WorkRunResult, workRun } from "./experiment/work-run.ts";
import type { Platform } from "./platform.ts";
import { type DiffOptions, diffVersions, type WatchOptions, watchDataset } from "./reading/changes.ts";
import { type CompareOptions, type Comparison, compareRuns } from "./reading/comparison.ts";
import { type ItemsRead, type StreamItemsOptions, streamItems } from "./reading/dataset-items.ts";
import type { ReadItem } from "./reading/read-item.ts";
import { type StreamRunResultsOptions, streamRunResults } from "./reading/run-results.ts";
import { defaultRetry, type RetrySettings } from "./rpc/backoff.ts";
import type { Connection, Services } from "./rpc/connection.ts";
import { type DatasetAddress, datasetRef } from "./rpc/dataset-ref.ts";
import { newServiceClient } from "./rpc/service-client.ts";
import { type ItemInit, prepareRow } from "./upsert/item-row.ts";
import { applyUpsert, upsertDataset } from "./upsert/upsert-dataset.ts";
import type { UpsertDatasetOptions } from "./upsert/upsert-options.ts";
import { type ApplyOptions, toHex, type UpsertPlan, type UpsertResult } from "./upsert/upsert-outcome.ts";
import { clientVersion } from "./version.ts";

/** What the constructor of `Headers` takes. */
export type HeadersLike = ConstructorParameters<typeof Headers>[0];

/** What every client can be told, in Node and in browsers. */
export interface ClientOptions {
  /** Sent as `authorization: Bearer …`. A function is asked before every call, so that a token can be renewed. */
  readonly token?: string | (() => string | Promise<string>);
  /** Sent with every call. A function is asked before every call. */
  readonly headers?: HeadersLike | (() => HeadersLike | Promise<HeadersLike>);
  /** Put in front of the client's own name in the user agent: `my-pipeline/1.4`. */
  readonly userAgent?: string;
  /** Deadline of unary calls that name none, in milliseconds, all attempts together. 60,000 unless set. */
  readonly timeoutMs?: number;
  /** How often and how fast calls are repeated and streams resumed. */
  readonly retry?: Partial<RetrySettings>;
}

/** How to reach a server: what the entry points for Node and for browsers provide. */
export interface Route {
  readonly transport: Transport;
  readonly platform: Platform;
  /** Whether client and server can both stream at once. */
  readonly duplex: boolean;
  close(): void;
}

/**
 * A client of one Itembank server. The services of the contract are there as they are, typed; the other methods do what most
 * people come for. All errors are ItembankErrors, except that an aborted call throws the reason of its signal.
 */
export interface ItembankClient extends Services {
  /** What the server takes. Asked for once. */
  limits(signal?: AbortSignal): Promise<Limits>;

  /**
   * Brings a dataset in line with rows. Hashes them, sends bodies only for what the server does not hold, resumes where a
   * connection broke, and makes at most one version, which readers see as a whole or not at all. Rows that change nothing
   * make no version.
   *
   * With `plan: true`, gives what would happen instead, to be applied or discarded.
   *
   * @throws ItembankError INVALID_JSON, INVALID_FIELD and LIMIT_EXCEEDED naming the row, whichever side finds it;
   * DUPLICATE_ITEM_ID; DELETE_LIMIT_EXCEEDED, after which the upsert is kept as a plan: `applyUpsert` with other guards
   * publishes it; VERSION_CONFLICT; DATASET_NOT_FOUND
   */
  upsertDataset<Row>(options: UpsertDatasetOptions<Row> & { readonly plan: true }): Promise<UpsertPlan>;
  upsertDataset<Row>(
    options: UpsertDatasetOptions<Row> & { readonly plan?: false | undefined },
  ): Promise<UpsertResult>;
  upsertDataset<Row>(options: UpsertDatasetOptions<Row>): Promise<UpsertResult | UpsertPlan>;

  /**
   * Runs an experiment: gives every item of one version to a task, so many at a time, lets evaluators judge the outputs, and
   * streams the results into a run as they come. A task or evaluator that fails is part of the result, and of the summary.
   *
   * With `runId`, continues a run that was interrupted: works on the cells that lack a success, and on no others. With
   * `dryRun`, tries the task on a few items and writes nothing.
   *
   * @throws ExperimentInterruptedError if it is stopped after the run was created; ItembankError before that
   */
  runExperiment<Input = unknown, Output = unknown, Expected = unknown>(
    options: RunExperimentOptions<Input, Output, Expected>,
  ): Promise<ExperimentResult>;

  /**
   * Works on a run together with others: the server hands out cells without a success, this worker gives results, until
   * there is nothing left. Not in browsers.
   *
   * @throws ItembankError RUN_NOT_FOUND; STREAM_SUPERSEDED if another worker has taken its name
   */
  workRun<Input = unknown, Output = unknown, Expected = unknown>(
    options: WorkRunOptions<Input, Output, Expected>,
  ): Promise<WorkRunResult>;

  /** All items of a version, in order of their ids. Goes on where a connection broke, on the same version. */
  streamItems<Input = unknown, Expected = unknown>(
    options: StreamItemsOptions,
  ): AsyncGenerator<ReadItem<Input, Expected>, ItemsRead>;

  /** The results of a run, in the order of their last change; with `follow`, until the run has ended. Returns the run. */
  streamResults(options: StreamRunResultsOptions): AsyncGenerator<RunResult, Run>;

  /** How items differ between two versions, or between the latest and a plan. Returns the totals. */
  diffVersions(options: DiffOptions): AsyncGenerator<ItemChange, DiffSummary>;

  /** The versions of a dataset as they are made, without gaps. */
  watchDataset(options: WatchOptions): AsyncGenerator<DatasetVersion, never>;

  /** Compares two runs item by item. */
  compareRuns(options: CompareOptions): Promise<Comparison>;

  /** Publishes a plan by the `requestId` of its upsert, also one that a guard made of an upsert. */
  applyUpsert(
    dataset: DatasetAddress,
    write: { readonly requestId: string } & ApplyOptions,
  ): Promise<UpsertResult>;

  /** The content hash of an item, `sha256-jcs-v1`, in hexadecimal. @throws ItembankError INVALID_JSON */
  contentHash(item: ItemInit): string;

  /** Closes the connections. Calls under way fail. */
  close(): void;
  [Symbol.dispose](): void;
}

/** Makes a client for a server that can be reached by `route`. */
export function newClient(route: Route, options: ClientOptions): ItembankClient {
  const { transport, platform, duplex } = route;
  const retry = { ...defaultRetry, ...options.retry };
  const agent = `${options.userAgent ? `${options.userAgent} ` : ""}itembank-client-ts/${clientVersion}`;
  const settings = {
    retry,
    timeoutMs: options.timeoutMs ?? 60_000,
    async headers() {
      const { token, headers: given } = options;
      const headers = new Headers(typeof given === "function" ? await given() : given);
      const bearer = typeof token === "function" ? await token() : token;
      if (bearer !== undefined) headers.set("authorization", `Bearer ${bearer}`);
      if (!headers.has(platform.userAgentHeader)) headers.set(platform.userAgentHeader, agent);
      return headers;
    },
  };
  const services: Services = {
    datasets: newServiceClient(DatasetService, transport, settings),
    items: newServiceClient(ItemService, transport, settings),
    upserts: newServiceClient(UpsertService, transport, settings),
    runs: newServiceClient(RunService, transport, settings),
    uploads: newServiceClient(UploadService, transport, settings),
    queries: newServiceClient(QueryService, transport, settings),
    system: newServiceClient(SystemService, transport, settings),
  };
  let known: Limits | undefined;
  const limits = async (signal?: AbortSignal): Promise<Limits> => {
    known ??= (await services.system.getServerInfo({}, signal ? { signal } : {})).limits as Limits;
    return known;
  };
  const connection: Connection = { ...services, platform, retry, duplex, limits };
  return {
    ...services,
    limits,
    upsertDataset: ((given: UpsertDatasetOptions<unknown>) =>
      upsertDataset(connection, given)) as ItembankClient["upsertDataset"],
    applyUpsert: (dataset, { requestId, ...how }) =>
      applyUpsert(connection, datasetRef(dataset), requestId, how),
    runExperiment: (given) => runExperiment(connection, given),
    workRun: (given) => workRun(connection, given),
    streamItems: (given) => streamItems(connection, given),
    streamResults: (given) => streamRunResults(connection, given),
    diffVersions: (given) => diffVersions(connection, given),
    watchDataset: (given) => watchDataset(connection, given),
    compareRuns: (given) => compareRuns(connection, given),
    contentHash: (item) => toHex(prepareRow(platform, undefined, {}, item, 0).item.contentHash),
    close: () => route.close(),
    [Symbol.dispose]: () => route.close(),
  };
}
