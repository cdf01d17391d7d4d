import type { MessageInitShape } from "@bufbuild/protobuf";
import type { DatasetSchema } from "../../gen/itembank/v1/dataset_pb.js";
import { UpsertMode, type UpsertOptionsSchema } from "../../gen/itembank/v1/upsert_pb.js";
import { type DatasetAddress, toInt64 } from "../rpc/dataset-ref.ts";
import { enumValue } from "../rpc/enum-value.ts";
import { invalidField } from "../rpc/error.ts";
import { datasetNames, type OptionNames } from "../rpc/option-names.ts";
import type { RowConversion } from "./item-row.ts";
import { type Metadata, metadataToWire } from "./metadata.ts";
import type { Rows } from "./row-source.ts";
import { type Guards, guardNames } from "./upsert-outcome.ts";

const modes = { merge: UpsertMode.MERGE, mirror: UpsertMode.MIRROR } as const;

/** The fields of a dataset that an upsert creates. */
export interface NewDataset {
  readonly description?: string;
  /** Its name in SQL. Derived from the name of the dataset by default. */
  readonly tableName?: string;
  readonly metadata?: Metadata;
  /** A JSON Schema that every input must satisfy. */
  readonly inputSchema?: object | boolean;
  /** The same for expected outputs. */
  readonly expectedOutputSchema?: object | boolean;
}

/** The progress of an upsert. */
export interface UpsertProgressReport {
  readonly rowsRead: number;
  /** The number of rows, if the source knows it in advance. */
  readonly rowsTotal: number | undefined;
  /** Rows before the first one that the server still needs something of. */
  readonly rowsTaken: number;
  /** Rows sent with their bodies. The server knew the others by their hashes. */
  readonly bodiesSent: number;
  /** The bytes of those bodies. */
  readonly bytesSent: number;
  /** How often the stream broke and was resumed. */
  readonly resumptions: number;
}

/** An upsert: exactly one of `name` and `datasetId`, and the rows. */
export interface UpsertDatasetOptions<Row> extends DatasetAddress, RowConversion<Row> {
  /**
   * The rows: an array, an iterable, an async iterable, or a stream. They are read once, and kept only while the server may
   * still ask for them (`maxBufferedBytes`), even if they come from a generator.
   *
   * Without `map`, an object with a member `input` (or `inputJson`) is an item: its other members may be `itemId`,
   * `expectedOutput`, `metadata` and `splits`, also in snake_case, and the members that reading an item returns. Any other
   * member is refused, because it would be lost, except the one that `itemId` names. Objects of other layouts, such as question
   * and answer, need `input`, `expectedOutput` and `metadata` to name their columns. A row of any other kind is the input as a
   * whole.
   */
  readonly items: Rows<Row>;
  /** Whether to keep (`merge`, the default) or delete (`mirror`) items that are not among the rows. */
  readonly mode?: "merge" | "mirror";
  /** Makes a plan of the changes instead, to be applied or discarded. */
  readonly plan?: boolean;
  /**
   * Whether to create a dataset with this `name` if there is none, and with which fields. True by default; has no effect on
   * an existing dataset.
   */
  readonly create?: boolean | NewDataset;
  /** Bounds on deletions. Only for `mirror`. */
  readonly guards?: Guards;
  /** If set, the upsert fails with VERSION_CONFLICT unless this is the latest version. */
  readonly expectedVersion?: number | bigint;
  /** If true, a row without splits removes its item from all splits. Otherwise it leaves them unchanged. */
  readonly replaceSplits?: boolean;
  /** A note to keep with the version. */
  readonly note?: string;
  /**
   * A UUID that names the write. A program that was stopped resumes the upsert by repeating it with the same requestId,
   * options and rows; if the write is already published, it gets the first response. Random by default; an upsert without one
   * is discarded if it fails.
   */
  readonly requestId?: string;
  /** Called for every response of the server. Throwing ends the upsert. */
  readonly onProgress?: (progress: UpsertProgressReport) => void;
  /** Ends the upsert early: it then fails with the signal's reason, and nothing is published. */
  readonly signal?: AbortSignal;
  /** The most payload bytes to keep for the server to ask for. 32 MiB by default; at least one row is always kept. */
  readonly maxBufferedBytes?: number;
}

const newDatasetNames: OptionNames<NewDataset> = {
  description: true,
  tableName: true,
  metadata: true,
  inputSchema: true,
  expectedOutputSchema: true,
};

/** The names of `UpsertDatasetOptions`. */
export const upsertOptionNames: OptionNames<UpsertDatasetOptions<never>> = {
  ...datasetNames,
  items: true,
  itemId: true,
  input: true,
  expectedOutput: true,
  metadata: true,
  splits: true,
  rest: true,
  drop: true,
  map: true,
  mode: true,
  plan: true,
  create: newDatasetNames,
  guards: guardNames,
  expectedVersion: true,
  replaceSplits: true,
  note: true,
  requestId: true,
  onProgress: true,
  signal: true,
  maxBufferedBytes: true,
};

/** Converts the options to a message of the contract. @throws ItembankError INVALID_FIELD */
export function optionsToWire(
  options: Omit<UpsertDatasetOptions<never>, "items">,
): MessageInitShape<typeof UpsertOptionsSchema> {
  const { mode = "merge", create = options.name !== undefined, expectedVersion, note } = options;
  if (note !== undefined && !note.isWellFormed()) throw invalidField("note", "contains a lone surrogate");
  return {
    mode: enumValue("mode", mode, modes),
    createIfMissing: create !== false,
    ...(typeof create === "object" && { newDataset: newDatasetToWire(create) }),
    ...(expectedVersion !== undefined && { expectedVersion: toInt64("expectedVersion", expectedVersion) }),
    ...(options.guards && { guard: guardsToWire(options.guards) }),
    replaceSplits: options.replaceSplits ?? false,
    validateOnly: options.plan ?? false,
    note: note ?? "",
  };
}

/** Converts guards to a message of the contract. @throws ItembankError INVALID_FIELD */
export function guardsToWire({ maxDeleteCount, maxDeleteRatio, allowEmpty }: Guards) {
  return {
    ...(maxDeleteCount !== undefined && { maxDeleteCount: toInt64("guards.maxDeleteCount", maxDeleteCount) }),
    ...(maxDeleteRatio !== undefined && { maxDeleteRatio }),
    allowEmpty: allowEmpty ?? false,
  };
}

function newDatasetToWire(dataset: NewDataset): MessageInitShape<typeof DatasetSchema> {
  const schema = (given: object | boolean | undefined) => (given === undefined ? "" : JSON.stringify(given));
  return {
    description: dataset.description ?? "",
    tableName: dataset.tableName ?? "",
    metadataJson: metadataToWire("create.metadata", dataset.metadata),
    inputSchemaJson: schema(dataset.inputSchema),
    expectedOutputSchemaJson: schema(dataset.expectedOutputSchema),
  };
}
