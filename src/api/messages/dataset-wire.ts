import { create } from "@bufbuild/protobuf";
import {
  DatasetSchema,
  type Dataset as WireDataset,
  type DatasetRef as WireRef,
} from "../../../gen/itembank/v1/dataset_pb.js";
import type {
  CreateDatasetRequest,
  UpdateDatasetRequest,
} from "../../../gen/itembank/v1/dataset_service_pb.js";
import { DatasetView as WireDatasetView } from "../../../gen/itembank/v1/dataset_service_pb.js";
import {
  type Dataset,
  type DatasetDefinition,
  type DatasetPatch,
  type DatasetPosition,
  type DatasetRef,
  type DatasetView,
  maxDatasetNameLength,
  maxDescriptionLength,
  maxMetadataBytes,
  nameProblem,
  tableNameProblem,
} from "../../datasets/dataset.ts";
import { failure, invalidField } from "../../failure.ts";
import { Faults } from "../../faults.ts";
import { limits } from "../../limits.ts";
import { boundedText, enumFromWire, fieldMaskNames } from "../../rpc/request-wire.ts";
import { timestampToWire } from "../../rpc/time-wire.ts";
import { compileItemSchemas } from "../../schemas/item-schemas.ts";
import { SchemaProblem } from "../../schemas/schema-problem.ts";
import { metadataFromWire } from "./metadata-wire.ts";

/** Reads the dataset that a request names. @throws Failure INVALID_FIELD */
export function datasetRefFromWire(field: string, ref: WireRef | undefined): DatasetRef {
  switch (ref?.by.case) {
    case "datasetId":
      return { datasetId: boundedText(`${field}.dataset_id`, ref.by.value, 1, maxDatasetNameLength) };
    case "name":
      return { name: boundedText(`${field}.name`, ref.by.value, 1, maxDatasetNameLength) };
    default:
      throw invalidField(field, "must have a dataset_id or a name");
  }
}

/**
 * Reads the definition of a new dataset.
 *
 * @param field the path of `dataset`, without a dot at the end.
 * @param name the name, which may be elsewhere in the request: `nameField` is its path.
 * @throws Failure INVALID_FIELD, INVALID_JSON, LIMIT_EXCEEDED
 */
export function datasetDefinitionFromWire(
  field: string,
  name: string,
  dataset: WireDataset | undefined,
  nameField = `${field}.name`,
): DatasetDefinition {
  const faults = new Faults();
  const description = dataset?.description ?? "";
  faults.check(() => nameFromWire(nameField, name));
  faults.check(() => descriptionFromWire(`${field}.description`, description));
  const tableName = faults.check(() => tableNameFromWire(`${field}.table_name`, dataset?.tableName ?? ""));
  const metadata = faults.check(() =>
    metadataFromWire(`${field}.metadata_json`, dataset?.metadataJson ?? "", maxMetadataBytes),
  );
  const inputSchema = faults.check(() =>
    schemaFromWire("inputSchema", `${field}.input_schema_json`, dataset?.inputSchemaJson ?? ""),
  );
  const expectedOutputSchema = faults.check(() =>
    schemaFromWire(
      "expectedOutputSchema",
      `${field}.expected_output_schema_json`,
      dataset?.expectedOutputSchemaJson ?? "",
    ),
  );
  faults.throwIfAny();
  return { name, tableName, description, metadata, inputSchema, expectedOutputSchema };
}

/** Reads the dataset that CreateDataset creates. @throws as datasetDefinitionFromWire */
export function newDatasetFromWire({ dataset }: CreateDatasetRequest): DatasetDefinition {
  if (dataset === undefined) throw invalidField("dataset", "is required");
  return datasetDefinitionFromWire("dataset", dataset.name, dataset);
}

/** The fields of a dataset that an update may name. */
const updatable = [
  "name",
  "table_name",
  "description",
  "metadata_json",
  "input_schema_json",
  "expected_output_schema_json",
] as const;

type UpdatableField = (typeof updatable)[number];

/**
 * Reads the changes of an update, and the etag that guards it, which may be empty.
 *
 * @throws Failure INVALID_FIELD, also if it names nothing; INVALID_JSON, LIMIT_EXCEEDED
 */
export function datasetPatchFromWire({ patch, updateMask }: UpdateDatasetRequest): {
  readonly patch: DatasetPatch;
  readonly etag: string;
} {
  if (patch === undefined) throw invalidField("patch", "is required");
  const faults = new Faults();
  const masked = faults.check(() => fieldMaskNames("update_mask", updateMask, updatable));
  faults.throwIfAny();
  const names = masked ?? namesSetIn(patch);
  if (names.size === 0) throw invalidField("patch", "must set a field unless update_mask names one");
  const changes: { -readonly [K in keyof DatasetPatch]: DatasetPatch[K] } = {};
  const take = (name: UpdatableField, set: (field: string) => void) => {
    if (names.has(name)) faults.check(() => set(`patch.${name}`));
  };
  take("name", (field) => {
    changes.name = nameFromWire(field, patch.name);
  });
  take("table_name", (field) => {
    changes.tableName = tableNameFromWire(field, patch.tableName);
  });
  take("description", (field) => {
    changes.description = descriptionFromWire(field, patch.description);
  });
  take("metadata_json", (field) => {
    changes.metadata = metadataFromWire(field, patch.metadataJson, maxMetadataBytes);
  });
  take("input_schema_json", (field) => {
    changes.inputSchema = schemaFromWire("inputSchema", field, patch.inputSchemaJson);
  });
  take("expected_output_schema_json", (field) => {
    changes.expectedOutputSchema = schemaFromWire(
      "expectedOutputSchema",
      field,
      patch.expectedOutputSchemaJson,
    );
  });
  faults.throwIfAny();
  return { patch: changes, etag: patch.etag };
}

function namesSetIn(patch: WireDataset): ReadonlySet<UpdatableField> {
  const isSet: Readonly<Record<UpdatableField, boolean>> = {
    name: patch.name !== "",
    table_name: patch.tableName !== "",
    description: patch.description !== "",
    metadata_json: patch.metadataJson !== "",
    input_schema_json: patch.inputSchemaJson !== "",
    expected_output_schema_json: patch.expectedOutputSchemaJson !== "",
  };
  return new Set(updatable.filter((name) => isSet[name]));
}

function nameFromWire(field: string, name: string): string {
  const problem = nameProblem(boundedText(field, name, 1, maxDatasetNameLength));
  if (problem !== undefined) throw invalidField(field, problem);
  return name;
}

function tableNameFromWire(field: string, tableName: string): string | undefined {
  if (tableName === "") return undefined;
  const problem = tableNameProblem(tableName);
  if (problem !== undefined) throw invalidField(field, problem);
  return tableName;
}

function descriptionFromWire(field: string, description: string): string {
  return boundedText(field, description, 0, maxDescriptionLength);
}

/** Reads a schema for items; undefined if the text is empty. @throws Failure INVALID_FIELD, LIMIT_EXCEEDED */
function schemaFromWire(
  name: "inputSchema" | "expectedOutputSchema",
  field: string,
  schema: string,
): string | undefined {
  if (schema === "") return undefined;
  const received = Buffer.byteLength(schema);
  if (received > limits.maxSchemaBytes) {
    throw failure("LIMIT_EXCEEDED", { limit: "max_schema_bytes", maximum: limits.maxSchemaBytes, received });
  }
  try {
    compileItemSchemas({ [name]: schema });
  } catch (error) {
    if (error instanceof SchemaProblem) throw invalidField(field, error.message);
    throw error;
  }
  return schema;
}

/** Converts a dataset to its wire message. */
export function datasetToWire(dataset: Dataset): WireDataset {
  return create(DatasetSchema, {
    datasetId: dataset.datasetId,
    name: dataset.name,
    tableName: dataset.tableName,
    description: dataset.description,
    metadataJson: dataset.metadata ?? "",
    inputSchemaJson: dataset.inputSchema ?? "",
    expectedOutputSchemaJson: dataset.expectedOutputSchema ?? "",
    latestVersion: dataset.headVersion,
    itemCount: dataset.itemCount,
    createTime: timestampToWire(dataset.createTime),
    updateTime: timestampToWire(dataset.updateTime),
    etag: dataset.etag,
  });
}

/** Returns the position after a dataset, as texts of a page token. */
export function positionToToken({ createTime, datasetId }: DatasetPosition): string[] {
  return [createTime.toString(), datasetId];
}

/** Reverses `positionToToken`. */
export function positionFromToken([createTime = "", datasetId = ""]: readonly string[]): DatasetPosition {
  return { createTime: BigInt(createTime), datasetId };
}

const views: Readonly<Record<WireDatasetView, DatasetView>> = {
  [WireDatasetView.UNSPECIFIED]: "full",
  [WireDatasetView.FULL]: "full",
  [WireDatasetView.BASIC]: "basic",
};

/** How much of datasets to answer with. @throws Failure INVALID_FIELD */
export function datasetViewFromWire(field: string, view: WireDatasetView): DatasetView {
  return enumFromWire(field, view, views);
}
