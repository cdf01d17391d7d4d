import type { VersionSelector } from "../versions/version.ts";

/** The largest possible version: a bigint of PostgreSQL. */
const maxVersion = 2n ** 63n - 1n;

/** The dataset and state that a table in `datasets` names. */
export interface DatasetTableName {
  /** In lower case, which table names are compared in. */
  readonly key: string;
  readonly at: VersionSelector;
}

/** Reads `sales`, `sales@3` and `sales@prod`. Undefined if it cannot be the name of a table. */
export function datasetTableName(name: string): DatasetTableName | undefined {
  const [, tableName = "", , at] = /^([A-Za-z_][A-Za-z0-9_]*)(@(.+))?$/s.exec(name) ?? [];
  if (tableName === "") return undefined;
  const key = tableName.toLowerCase();
  if (at === undefined) return { key, at: undefined };
  if (!/^\d+$/.test(at)) return { key, at: { tag: at } };
  const version = BigInt(at);
  return version > maxVersion ? undefined : { key, at: { version } };
}

/** Returns the name of a table in a statement: `datasets.sales`, `datasets."sales@3"`. */
export function tableText({ schema, name }: { readonly schema: string; readonly name: string }): string {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)
    ? `${schema}.${name}`
    : `${schema}."${name.replaceAll('"', '""')}"`;
}
