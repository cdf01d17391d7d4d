import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { DatasetRefSchema, VersionSelectorSchema } from "../../gen/itembank/v1/dataset_pb.js";
import { invalidField } from "./error.ts";

/** Which dataset: by its name, or by its id, which never changes. Exactly one of the two. */
export interface DatasetAddress {
  readonly name?: string | undefined;
  readonly datasetId?: string | undefined;
}

/** Which dataset: as an address, or simply its name. */
export type DatasetLike = string | DatasetAddress;

/** Which state: by number, tag or time. Left out means the latest. */
export type VersionLike = number | bigint | { readonly tag: string } | { readonly asOf: Date };

export type DatasetRefInit = MessageInitShape<typeof DatasetRefSchema>;
export type VersionSelectorInit = MessageInitShape<typeof VersionSelectorSchema>;

/** @throws ItembankError INVALID_FIELD unless there is exactly one of name and id */
export function datasetRef(dataset: DatasetLike): DatasetRefInit {
  if (typeof dataset === "string") return { by: { case: "name", value: dataset } };
  const { name, datasetId } = dataset;
  if (name !== undefined && datasetId === undefined) return { by: { case: "name", value: name } };
  if (datasetId !== undefined && name === undefined) return { by: { case: "datasetId", value: datasetId } };
  throw invalidField("dataset", "needs exactly one of name and datasetId");
}

export function versionSelector(version: VersionLike | undefined): VersionSelectorInit {
  if (version === undefined) return {};
  if (typeof version !== "object") return { by: { case: "version", value: toInt64("version", version) } };
  if ("tag" in version) return { by: { case: "tag", value: version.tag } };
  return { by: { case: "asOf", value: timestampFromDate(version.asOf) } };
}

/** @throws ItembankError INVALID_FIELD for a number that is not a whole one */
export function toInt64(field: string, value: number | bigint): bigint {
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    throw invalidField(field, `${value} is not a whole number`);
  }
  return BigInt(value);
}
