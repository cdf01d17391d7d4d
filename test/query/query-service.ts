import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { DatasetService } from "../../gen/itembank/v1/dataset_service_pb.js";
import type { ItemSchema } from "../../gen/itembank/v1/item_pb.js";
import { ItemService } from "../../gen/itembank/v1/item_service_pb.js";
import {
  type ExportEnd,
  type ExportItemsRequestSchema,
  type QueryEnd,
  QueryService,
} from "../../gen/itembank/v1/query_service_pb.js";
import { RunService } from "../../gen/itembank/v1/run_service_pb.js";
import type { UpsertOptionsSchema } from "../../gen/itembank/v1/upsert_pb.js";
import { UpsertMode } from "../../gen/itembank/v1/upsert_pb.js";
import { UpsertService } from "../../gen/itembank/v1/upsert_service_pb.js";
import { startTestService, type TestService, type TestServiceOptions } from "../support/service.ts";

/** A whole answer. */
export interface Answer {
  /** `name TYPE`, in order. */
  readonly columns: readonly string[];
  readonly rows: readonly unknown[][];
  /** The frames of rows as they arrived. */
  readonly texts: readonly string[];
  readonly end: QueryEnd;
}

/** The service on a real port, with helpers for tests of SQL. */
export interface QueryServiceUnderTest {
  readonly service: TestService;
  readonly queries: Client<typeof QueryService>;
  readonly runs: Client<typeof RunService>;
  readonly items: Client<typeof ItemService>;
  readonly datasets: Client<typeof DatasetService>;
  readonly upserts: Client<typeof UpsertService>;
  /** Reads a whole answer. */
  query(sql: string, more?: QueryInit): Promise<Answer>;
  /** Returns only the rows. */
  rows(sql: string, ...parameters: unknown[]): Promise<readonly unknown[][]>;
  /** Makes the next version of a dataset with exactly these items. Inputs are values, or JSON in `inputJson`. */
  mirror(name: string, items: readonly ItemInit[]): Promise<{ datasetId: string; version: bigint }>;
  /** Reads a whole export. */
  export(
    request: MessageInitShape<typeof ExportItemsRequestSchema>,
  ): Promise<{ bytes: Buffer; end: ExportEnd }>;
  close(): Promise<void>;
}

/** The options of a query besides its statement. */
export interface QueryInit {
  readonly parametersJson?: string;
  readonly maxRows?: bigint;
  readonly timeout?: { readonly seconds: bigint; readonly nanos?: number };
}

export type ItemInit = MessageInitShape<typeof ItemSchema>;

export async function startQueryService(options: TestServiceOptions = {}): Promise<QueryServiceUnderTest> {
  const service = await startTestService(options);
  const queries = service.client(QueryService);
  const upserts = service.client(UpsertService);

  const query: QueryServiceUnderTest["query"] = async (sql, more = {}) => {
    let columns: string[] = [];
    const texts: string[] = [];
    for await (const { frame } of queries.query({ sql, ...more })) {
      if (frame.case === "schema")
        columns = frame.value.columns.map(({ name, typeName }) => `${name} ${typeName}`);
      if (frame.case === "rows") texts.push(frame.value.rowsJson);
      if (frame.case === "end") {
        return { columns, texts, rows: texts.flatMap((text) => JSON.parse(text)), end: frame.value };
      }
    }
    throw new Error("the answer was cut");
  };

  return {
    service,
    queries,
    upserts,
    runs: service.client(RunService),
    items: service.client(ItemService),
    datasets: service.client(DatasetService),
    query,
    rows: async (sql, ...parameters) =>
      (await query(sql, parameters.length === 0 ? {} : { parametersJson: JSON.stringify(parameters) })).rows,
    async mirror(name, items) {
      const options: MessageInitShape<typeof UpsertOptionsSchema> = {
        mode: UpsertMode.MIRROR,
        createIfMissing: true,
        guard: { allowEmpty: true },
      };
      const { receipt } = await upserts.upsertItems({
        dataset: named(name),
        items: [...items],
        options,
        requestId: randomUUID(),
      });
      return { datasetId: receipt?.datasetId ?? "", version: receipt?.version ?? 0n };
    },
    async export(request) {
      const pieces: Uint8Array[] = [];
      let offset = 0n;
      for await (const { frame } of queries.exportItems(request)) {
        if (frame.case === "chunk") {
          if (frame.value.offset !== offset)
            throw new Error(`a chunk at ${frame.value.offset}, not ${offset}`);
          offset += BigInt(frame.value.data.length);
          pieces.push(frame.value.data);
        }
        if (frame.case === "end") return { bytes: Buffer.concat(pieces), end: frame.value };
      }
      throw new Error("the export was cut");
    },
    close: () => service.close(),
  };
}

/** A reference to a dataset by name, in a request. */
export function named(name: string) {
  return { by: { case: "name", value: name } } as const;
}

/** An item with this input. */
export function item(itemId: string, input: unknown, more: ItemInit = {}): ItemInit {
  return { itemId, inputJson: JSON.stringify(input), ...more };
}
