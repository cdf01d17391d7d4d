import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import type { DatasetSchema } from "../../gen/itembank/v1/dataset_pb.js";
import { UpsertMode, type UpsertOptionsSchema } from "../../gen/itembank/v1/upsert_pb.js";
import { type DatasetAddress, toInt64 } from "../rpc/dataset-ref.ts";
import { enumValue } from "../rpc/enum-value.ts";
import { invalidField } from "../rpc/error.ts";
import type { RowConversion } from "./item-row.ts";
import type { Rows } from "./row-source.ts";
import type { Guards } from "./upsert-outcome.ts";

const modes = { merge: UpsertMode.MERGE, mirror: UpsertMode.MIRROR } as const;

/** What a dataset looks like that an upsert creates. */
export interface NewDataset {
  readonly description?: string;
  /** What SQL calls it. Left out, it is made from the name. */
  readonly tableName?: string;
  readonly metadata?: JsonObject;
  /** A JSON Schema that every input has to satisfy. */
  readonly inputSchema?: object | boolean;
  /** The same for expected outputs. */
  readonly expectedOutputSchema?: object | boolean;
}

/** How far an upsert has come. */
export interface UpsertProgressReport {
  readonly rowsRead: number;
  /** How many rows there are, where the source says so in advance. */
  readonly rowsTotal: number | undefined;
  /** Rows in front of the first of which the server still needs something. */
  readonly rowsTaken: number;
  /** Rows sent with their bodies, and what those took. The others were known to the server by their hashes. */
  readonly bodiesSent: number;
  readonly bytesSent: number;
  /** How often the stream broke and was resumed. */
  readonly resumptions: number;
}

/** An upsert: exactly one of `name` and `datasetId`, and the rows. */
export interface UpsertDatasetOptions<Row> extends DatasetAddress, RowConversion<Row> {
  /**
   * The rows: an array, anything iterable, at once or asynchronously, or a stream. They are read once and not kept beyond
   * what the server may still ask for (`maxBufferedBytes`), also where they come from a generator.
   *
   * Without `map`, an object with a member `input` (or `inputJson`) is an item: its other members may be `itemId`,
   * `expectedOutput`, `metadata` and `splits`, in snake_case as well, and whatever else an item has that was read. Any other
   * member is refused, because it would be lost; the one that `itemId` names is not. Anything else is the input as a whole.
   */
  readonly items: Rows<Row>;
  /** What becomes of items that are not among the rows: `merge`, the default, keeps them, `mirror` deletes them. */
  readonly mode?: "merge" | "mirror";
  /** Gives a plan of what would happen, to be applied or discarded. */
  readonly plan?: boolean;
  /**
   * Whether a dataset with this `name` is created if there is none, and what it looks like then. True unless set; has no
   * effect on a dataset that exists.
   */
  readonly create?: boolean | NewDataset;
  /** Bounds on deletions. Only for `mirror`. */
  readonly guards?: Guards;
  /** If set, the upsert fails with VERSION_CONFLICT unless this is the latest version. */
  readonly expectedVersion?: number | bigint;
  /** If true, a row without splits takes its item out of all splits. Else it leaves them alone. */
  readonly replaceSplits?: boolean;
  /** Kept with the version. */
  readonly note?: string;
  /**
   * A UUID that names the write. A program that was stopped goes on where it was if it repeats the upsert with the same
   * requestId, options and rows; if the write was published already, it gets the first answer. Left out, a random one is
   * taken, and an upsert that fails is given up for good.
   */
  readonly requestId?: string;
  /** Called whenever the server has answered. What it throws ends the upsert. */
  readonly onProgress?: (progress: UpsertProgressReport) => void;
  /** Ends the upsert early: it then fails with the signal's reason, and nothing is published. */
  readonly signal?: AbortSignal;
  /** Payload bytes to keep at most, for the server to ask for. 32 MiB unless set; at least one row is always kept. */
  readonly maxBufferedBytes?: number;
}

/** The options as they go over the wire. @throws ItembankError INVALID_FIELD */
export function optionsToWire(
  options: Omit<UpsertDatasetOptions<never>, "items">,
): MessageInitShape<typeof UpsertOptionsSchema> {
  const { mode = "merge", create = options.name !== undefined, expectedVersion, note } = options;
  if (note !== undefined && !note.isWellFormed()) throw invalidField("note", "holds a lone surrogate");
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
    ...(dataset.metadata && { metadata: dataset.metadata }),
    inputSchemaJson: schema(dataset.inputSchema),
    expectedOutputSchemaJson: schema(dataset.expectedOutputSchema),
  };
}
