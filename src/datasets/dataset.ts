import { randomBytes } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { Instant } from "../db/instant.ts";
import { failure } from "../failure.ts";
import type { DatasetHandle, ProjectId } from "../handles.ts";
import { isDatasetId } from "../ids.ts";
import { isSameJson } from "../json/json-object.ts";
import { isReservedWord } from "./reserved-words.ts";

/** Points to a dataset of a project. */
export type DatasetRef = { readonly datasetId: string } | { readonly name: string };

/** The owner's description of a dataset. Survives JSON, where undefined members are left out. */
export interface DatasetDefinition {
  readonly name: string;
  /** Undefined: derived from the name. */
  readonly tableName?: string | undefined;
  readonly description: string;
  /** A JSON object as it was sent. Undefined: none, which is not the same as `{}`. */
  readonly metadata?: string | undefined;
  /** A JSON Schema. Undefined: none. */
  readonly inputSchema?: string | undefined;
  /** A JSON Schema. Undefined: none. */
  readonly expectedOutputSchema?: string | undefined;
}

/** The changes to a dataset: members that exist are applied, even if they are undefined. */
export type DatasetPatch = Partial<DatasetDefinition>;

/** A named collection of items under version control. */
export interface Dataset extends DatasetDefinition {
  readonly datasetId: DatasetHandle;
  readonly projectId: ProjectId;
  readonly tableName: string;
  /** The newest version; 0 before the first item. */
  readonly headVersion: bigint;
  /** The number of items in the head version. */
  readonly itemCount: bigint;
  /** The digest of the head version: `sha256-sum-v1`, 32 bytes. */
  readonly digest: Buffer;
  /**
   * The number of items that were ever purged. Store it with every copy of a version's content: as long as it stays the
   * same, so does the content.
   */
  readonly purgeCount: bigint;
  /** Changes whenever the definition does, and only then. */
  readonly etag: string;
  readonly createTime: Instant;
  /** When the definition or an item last changed. */
  readonly updateTime: Instant;
}

/** How much of a dataset a listing shows: all, or all but its schemas. */
export type DatasetView = "full" | "basic";

/** The position of a dataset in the list, which goes from the newest to the oldest. */
export type DatasetPosition = Pick<Dataset, "createTime"> & { readonly datasetId: string };

/** Maximum length of a name in characters (code points). */
export const maxDatasetNameLength = 128;

/** Maximum length of a description in characters. */
export const maxDescriptionLength = 4_096;

/** Maximum size of metadata as JSON in bytes. */
export const maxMetadataBytes = 64 * 1024;

const maxTableNameLength = 128;

/** Returns the problem with a name of 1 to 128 characters; undefined if it is valid. */
export function nameProblem(name: string): string | undefined {
  if (!name.isWellFormed()) return "contains a lone surrogate";
  if (/\p{Cc}/u.test(name)) return "contains a control character";
  if (name.trim() === "") return "must not be only white space";
  // The command line and the clients take either, and would find the wrong dataset.
  if (isDatasetId(name)) return "must not look like the id of a dataset";
  return undefined;
}

/** Returns the problem with a table name that an owner chose; undefined if it is valid. */
export function tableNameProblem(tableName: string): string | undefined {
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(tableName)) {
    return "must match ^[A-Za-z_][A-Za-z0-9_]{0,127}$";
  }
  return isReservedWord(tableName) ? "must not be a reserved word of SQL" : undefined;
}

/** Returns the table name derived from the name of a dataset: `q1_sales_report` for `Q1 Sales Report`. */
export function tableNameOf(name: string): string {
  const plain = name
    .toLowerCase()
    .replace(/[^a-z0-9_]+/g, "_")
    .slice(0, maxTableNameLength)
    .replace(/_+$/, "");
  if (plain === "") return "_unnamed";
  return /^\d/.test(plain) || isReservedWord(plain) ? `_${plain}`.slice(0, maxTableNameLength) : plain;
}

/** Returns the table name to try when the previous ones are taken: `sales` for 1, then `sales_2`, `sales_3`, … */
export function numberedTableName(tableName: string, number: number): string {
  if (number === 1) return tableName;
  const suffix = `_${number}`;
  return tableName.slice(0, maxTableNameLength - suffix.length) + suffix;
}

/** Returns a new etag. 64 random bits suffice: it is compared only with those of one dataset. */
export function newEtag(): string {
  return randomBytes(8).toString("hex");
}

/** Returns only the owner's description of a dataset. */
export function datasetDefinitionOf({
  name,
  tableName,
  description,
  metadata,
  inputSchema,
  expectedOutputSchema,
}: DatasetDefinition): DatasetDefinition {
  return { name, tableName, description, metadata, inputSchema, expectedOutputSchema };
}

/** Whether two definitions are equal. Metadata may be spelled differently. */
export function isSameDatasetDefinition(one: DatasetDefinition, other: DatasetDefinition): boolean {
  const withoutMetadata = (definition: DatasetDefinition) => ({
    ...datasetDefinitionOf(definition),
    metadata: undefined,
  });
  return (
    isSameJson(one.metadata, other.metadata) &&
    isDeepStrictEqual(withoutMetadata(one), withoutMetadata(other))
  );
}

/** @throws Failure ETAG_MISMATCH if the caller has an etag that is not the dataset's */
export function requireEtag(dataset: Pick<Dataset, "etag">, etag: string): void {
  if (etag !== "" && etag !== dataset.etag) {
    throw failure("ETAG_MISMATCH", { etag, current_etag: dataset.etag });
  }
}
