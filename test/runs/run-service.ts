import type { DescService, MessageInitShape } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { expect } from "vitest";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import type { RunResult, RunResultSchema } from "../../gen/itembank/v1/result_pb.js";
import type { Run, RunSchema } from "../../gen/itembank/v1/run_pb.js";
import { RunService } from "../../gen/itembank/v1/run_service_pb.js";
import { UpsertMode } from "../../gen/itembank/v1/upsert_pb.js";
import { UpsertService } from "../../gen/itembank/v1/upsert_service_pb.js";
import { runHandler } from "../../src/api/runs/run-handler.ts";
import { upsertHandler } from "../../src/api/upserts/upsert-handler.ts";
import type { Pool } from "../../src/db/pool.ts";
import { newLog } from "../../src/log.ts";
import { callInterceptor } from "../../src/rpc/interceptors.ts";
import { testResources } from "../support/resources.ts";

/** The services for runs, and for filling their datasets, in this process with the errors of the real service. */
export interface RunServiceUnderTest {
  readonly runs: Client<typeof RunService>;
  readonly upserts: Client<typeof UpsertService>;
  /** Stops the service: streams end. */
  stop(): void;
}

export async function runService(
  pool: Pool,
  {
    heartbeatSeconds = 10,
    json = false,
  }: {
    readonly heartbeatSeconds?: number /** Whether messages travel as JSON. */;
    readonly json?: boolean;
  } = {},
): Promise<RunServiceUnderTest> {
  const stopping = new AbortController();
  const log = newLog("silent");
  const resources = await testResources(pool, { log, stopping: stopping.signal, heartbeatSeconds });
  const transport = createRouterTransport(
    (router) => {
      router.service(RunService, runHandler(resources));
      router.service(UpsertService, upsertHandler(resources));
    },
    {
      router: { interceptors: [callInterceptor(log, stopping.signal)] },
      transport: { useBinaryFormat: !json },
    },
  );
  const client = <S extends DescService>(service: S) => createClient(service, transport);
  return { runs: client(RunService), upserts: client(UpsertService), stop: () => stopping.abort() };
}

/** Items of a dataset: input by item_id, or input and splits. */
export type Items = Readonly<
  Record<string, { readonly input: unknown; readonly splits?: string[] } | string>
>;

/** Makes a version with exactly these items of a dataset, which is created if it is missing. Returns the dataset's id. */
export async function mirror(
  { upserts }: RunServiceUnderTest,
  name: string,
  items: Items,
): Promise<{ datasetId: string; version: bigint }> {
  const { receipt } = await upserts.upsertItems({
    dataset: named(name),
    items: Object.entries(items).map(([itemId, item]) =>
      typeof item === "string"
        ? { itemId, inputJson: JSON.stringify(item) }
        : { itemId, inputJson: JSON.stringify(item.input), splits: item.splits ?? [] },
    ),
    options: { mode: UpsertMode.MIRROR, createIfMissing: true },
  });
  return { datasetId: receipt?.datasetId ?? "", version: receipt?.version ?? 0n };
}

/** Returns items `q1`, `q2`, … with distinct inputs. */
export function questions(count: number): Items {
  return Object.fromEntries(Array.from({ length: count }, (_, n) => [`q${n + 1}`, `question ${n + 1}`]));
}

/** Creates a run on the latest version of a dataset. */
export async function newRun(
  { runs }: RunServiceUnderTest,
  dataset: string,
  run: MessageInitShape<typeof RunSchema> = {},
): Promise<Run> {
  const created = await runs.createRun({ dataset: named(dataset), run });
  return created.run as Run;
}

/** A result as a caller sends it. */
export type ResultInit = MessageInitShape<typeof RunResultSchema>;

/** Returns a success as a caller sends it. */
export function success(itemId: string, output: unknown, more: ResultInit = {}): ResultInit {
  return {
    itemId,
    repetition: 1,
    outcome: { case: "outputJson", value: JSON.stringify(output) },
    ...more,
  } as ResultInit;
}

/** Returns a failure as a caller sends it. */
export function failed(itemId: string, message: string, more: ResultInit = {}): ResultInit {
  return { itemId, repetition: 1, outcome: { case: "error", value: { message } }, ...more } as ResultInit;
}

/** Reads all results of a stream, and its frames that are not batches. */
export async function collect(
  { runs }: RunServiceUnderTest,
  request: Parameters<Client<typeof RunService>["streamResults"]>[0],
) {
  const results: RunResult[] = [];
  for await (const { frame } of runs.streamResults(request)) {
    if (frame.case === "batch") results.push(...frame.value.results);
    if (frame.case === "end") return { results, end: frame.value };
  }
  throw new Error("the stream ended without its end");
}

/** A failed call as its caller sees it: the status code, the reason and its facts. */
export interface Refusal {
  readonly code: string;
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Returns the failure of a call, or of reading a stream to its end. */
export async function refusalOf(call: Promise<unknown> | AsyncIterable<unknown>): Promise<Refusal> {
  const error = await (Symbol.asyncIterator in call ? drain(call) : call).then(
    () => new Error("the call succeeded"),
    (reason: unknown) => reason,
  );
  if (!(error instanceof ConnectError)) throw error;
  const info = error.findDetails(ErrorInfoSchema)[0];
  return {
    code: Code[error.code],
    reason: info?.reason.replace("ERROR_REASON_", "") ?? "",
    metadata: info?.metadata ?? {},
  };
}

async function drain(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream);
}

/** Returns the INVALID_FIELD failure that is expected for a field. */
export function invalid(field: string) {
  return { code: "InvalidArgument", reason: "INVALID_FIELD", metadata: expect.objectContaining({ field }) };
}

/** Returns the reference to a dataset by its name. */
export function named(name: string) {
  return { by: { case: "name", value: name } } as const;
}
