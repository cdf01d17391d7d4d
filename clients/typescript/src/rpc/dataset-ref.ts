import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { DatasetRefSchema, VersionSelectorSchema } from "../../gen/itembank/v1/dataset_pb.js";
import { invalidField } from "./error.ts";

/** Names a dataset, by its name or by its id, which never changes. Exactly one of them must be set. */
export interface DatasetAddress {
  readonly name?: string | undefined;
  readonly datasetId?: string | undefined;
}

/** Names a dataset, by an address or simply by its name. */
export type DatasetLike = string | DatasetAddress;

/** Names a version, by number, tag or time. The latest by default. */
export type VersionLike = number | bigint | { readonly tag: string } | { readonly asOf: Date };

/** A DatasetRef of the contract, as plain data. */
export type DatasetRefInit = MessageInitShape<typeof DatasetRefSchema>;

/** A VersionSelector of the contract, as plain data. Empty for the latest version. */
export type VersionSelectorInit = MessageInitShape<typeof VersionSelectorSchema>;

/** Converts to a message of the contract. @throws ItembankError INVALID_FIELD unless exactly one of name and id is set */
export function datasetRef(dataset: DatasetLike): DatasetRefInit {
  if (typeof dataset === "string") return { by: { case: "name", value: dataset } };
  const { name, datasetId } = dataset;
  if (name !== undefined && datasetId === undefined) return { by: { case: "name", value: name } };
  if (datasetId !== undefined && name === undefined) return { by: { case: "datasetId", value: datasetId } };
  throw invalidField("dataset", "needs exactly one of name and datasetId");
}

/** Converts to a message of the contract. @throws ItembankError INVALID_FIELD for a number that is not whole */
export function versionSelector(version: VersionLike | undefined): VersionSelectorInit {
  if (version === undefined) return {};
  if (typeof version !== "object") return { by: { case: "version", value: toInt64("version", version) } };
  if ("tag" in version) return { by: { case: "tag", value: version.tag } };
  return { by: { case: "asOf", value: timestampFromDate(version.asOf) } };
}

/** Converts to a 64-bit integer. @throws ItembankError INVALID_FIELD for a number that is not whole */
export function toInt64(field: string, value: number | bigint): bigint {
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    throw invalidField(field, `${value} is not a whole number`);
  }
  return BigInt(value);
}
