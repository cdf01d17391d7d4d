import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { expect } from "vitest";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import type { Dataset, DatasetSchema } from "../../gen/itembank/v1/dataset_pb.js";
import {
  type DeleteDatasetRequestSchema,
  type DeleteDatasetResponse,
  DatasetService as Service,
  type UpdateDatasetRequestSchema,
} from "../../gen/itembank/v1/dataset_service_pb.js";
import { datasetHandler } from "../../src/api/datasets/dataset-handler.ts";
import type { Pool } from "../../src/db/pool.ts";
import { newLog } from "../../src/log.ts";
import { callInterceptor } from "../../src/rpc/interceptors.ts";
import { testResources } from "../support/resources.ts";

/** The service in this process, with the errors of the real one, and shortcuts to it. */
export interface DatasetService {
  readonly client: Client<typeof Service>;
  /** Creates a dataset, by default with a new name. */
  create(dataset?: MessageInitShape<typeof DatasetSchema>, requestId?: string): Promise<Dataset>;
  get(datasetId: string): Promise<Dataset>;
  update(
    dataset: Pick<Dataset, "datasetId">,
    request: Omit<MessageInitShape<typeof UpdateDatasetRequestSchema>, "$typeName">,
  ): Promise<Dataset>;
  remove(
    dataset: Pick<Dataset, "datasetId">,
    request?: Omit<MessageInitShape<typeof DeleteDatasetRequestSchema>, "$typeName">,
  ): Promise<DeleteDatasetResponse>;
}

export async function datasetService(pool: Pool): Promise<DatasetService> {
  const log = newLog("silent");
  const stopping = new AbortController().signal;
  const handler = datasetHandler(await testResources(pool, { log, stopping }));
  const transport = createRouterTransport((router) => router.service(Service, handler), {
    router: { interceptors: [callInterceptor(log, stopping)] },
  });
  const client = createClient(Service, transport);
  return {
    client,
    async create(dataset = {}, requestId = "") {
      return present(
        (await client.createDataset({ dataset: { name: newName(), ...dataset }, requestId })).dataset,
      );
    },
    async get(datasetId) {
      return present((await client.getDataset({ dataset: identified(datasetId) })).dataset);
    },
    async update({ datasetId }, request) {
      return present((await client.updateDataset({ ...request, dataset: identified(datasetId) })).dataset);
    },
    remove: ({ datasetId }, request = {}) =>
      client.deleteDataset({ ...request, dataset: identified(datasetId) }),
  };
}

/** Returns a field of an answer, which must be set. */
export function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("the answer lacks a field");
  return value;
}

/** The visible facts of a failed call: the status code, the reason and its metadata. */
export interface Refusal {
  readonly code: string;
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Returns the failure of a call. */
export async function refusalOf(call: Promise<unknown>): Promise<Refusal> {
  const error = await call.then(
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

/** The expected facts of INVALID_FIELD about a field. */
export function invalid(field: string) {
  return { code: "InvalidArgument", reason: "INVALID_FIELD", metadata: expect.objectContaining({ field }) };
}

/** A reference to a dataset by name, in a request. */
export function named(name: string) {
  return { by: { case: "name", value: name } } as const;
}

/** A reference to a dataset by id, in a request. */
export function identified(datasetId: string) {
  return { by: { case: "datasetId", value: datasetId } } as const;
}

/** A name that no other dataset of the suite has. */
export function newName(): string {
  return `dataset ${++names}`;
}

let names = 0;
