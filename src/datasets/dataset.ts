import { randomBytes } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { Instant } from "../db/instant.ts";
import { failure } from "../failure.ts";
import type { DatasetHandle, ProjectId } from "../handles.ts";
import { isReservedWord } from "./reserved-words.ts";

/** Points to a dataset of a project. */
export type DatasetRef = { readonly datasetId: string } | { readonly name: string };

/** What its owner says about a dataset. Survives JSON, where undefined members are left out. */
export interface DatasetDefinition {
  readonly name: string;
  /** Undefined: made from the name. */
  readonly tableName?: string | undefined;
  readonly description: string;
  /** A JSON object in its RFC 8785 form. Undefined: none, which `{}` is not. */
  readonly metadata?: string | undefined;
  /** A JSON Schema. Undefined: none. */
  readonly inputSchema?: string | undefined;
  /** A JSON Schema. Undefined: none. */
  readonly expectedOutputSchema?: string | undefined;
}

/** What to change about a dataset: members that are there are taken over, also those that are undefined. */
export type DatasetPatch = Partial<DatasetDefinition>;

/** A named collection of items under version control. */
export interface Dataset extends DatasetDefinition {
  readonly datasetId: DatasetHandle;
  readonly projectId: ProjectId;
  readonly tableName: string;
  /** The newest version; 0 before the first item. */
  readonly headVersion: bigint;
  /** Items of the head version. */
  readonly itemCount: bigint;
  /** Of the head version: `sha256-sum-v1`, 32 bytes. */
  readonly digest: Buffer;
  /** Items that were ever purged. Whoever keeps a copy of what a version holds keeps this with it: while it is the same, so is the copy. */
  readonly purgeCount: bigint;
  /** Changes whenever the definition does, and only then. */
  readonly etag: string;
  readonly createTime: Instant;
  /** When the definition or an item last changed. */
  readonly updateTime: Instant;
}

/** A place in the list of datasets, which goes from the newest to the oldest: this one's. */
export type DatasetPosition = Pick<Dataset, "createTime"> & { readonly datasetId: string };

/** Characters (code points) of a name. */
export const maxDatasetNameLength = 128;

/** Characters of a description. */
export const maxDescriptionLength = 4_096;

/** Bytes of metadata as JSON. */
export const maxMetadataBytes = 64 * 1024;

const maxTableNameLength = 128;

/** What is wrong with a name of 1 to 128 characters; undefined if nothing is. */
export function nameProblem(name: string): string | undefined {
  if (!name.isWellFormed()) return "contains a lone surrogate";
  if (/\p{Cc}/u.test(name)) return "contains a control character";
  if (name.trim() === "") return "is only white space";
  return undefined;
}

/** What is wrong with a table name that somebody chose; undefined if nothing is. */
export function tableNameProblem(tableName: string): string | undefined {
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(tableName)) {
    return "does not match ^[A-Za-z_][A-Za-z0-9_]{0,127}$";
  }
  return isReservedWord(tableName) ? "is a reserved word of SQL" : undefined;
}

/** The table name made from the name of a dataset: `q1_sales_report` for `Q1 Sales Report`. */
export function tableNameOf(name: string): string {
  const plain = name
    .toLowerCase()
    .replace(/[^a-z0-9_]+/g, "_")
    .slice(0, maxTableNameLength)
    .replace(/_+$/, "");
  if (plain === "") return "_unnamed";
  return /^\d/.test(plain) || isReservedWord(plain) ? `_${plain}`.slice(0, maxTableNameLength) : plain;
}

/** The table name to try when the ones before are taken: `sales` for 1, then `sales_2`, `sales_3`, … */
export function numberedTableName(tableName: string, number: number): string {
  if (number === 1) return tableName;
  const suffix = `_${number}`;
  return tableName.slice(0, maxTableNameLength - suffix.length) + suffix;
}

/** An etag that no dataset has had. 64 bits of chance suffice: it is compared with those of one dataset. */
export function newEtag(): string {
  return randomBytes(8).toString("hex");
}

/** What its owner says about a dataset, without the rest. */
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

/** Whether two definitions say the same. */
export function isSameDatasetDefinition(one: DatasetDefinition, other: DatasetDefinition): boolean {
  return isDeepStrictEqual(datasetDefinitionOf(one), datasetDefinitionOf(other));
}

/** @throws Failure ETAG_MISMATCH if the caller has an etag, and it is not the one of the dataset. */
export function requireEtag(dataset: Pick<Dataset, "etag">, etag: string): void {
  if (etag !== "" && etag !== dataset.etag) {
    throw failure("ETAG_MISMATCH", { etag, current_etag: dataset.etag });
  }
}
