import { DuckDBInstance } from "@duckdb/node-api";
import type { EngineAnswer } from "./protocol.ts";
import { refusalOf } from "./refusal.ts";
import { readStatement } from "./statement.ts";

/** An engine that parses and never runs statements. Opened once. */
let parser: Promise<DuckDBInstance> | undefined;

/** Returns the tables that a statement reads, or a refusal. */
export async function inspectStatement(sql: string): Promise<EngineAnswer> {
  parser ??= DuckDBInstance.create(":memory:", {
    threads: "1",
    errors_as_json: "true",
    enable_external_access: "false",
  });
  const connection = await (await parser).connect();
  try {
    const reader = await connection.runAndReadAll("select json_serialize_sql($1::varchar)", [sql]);
    const found = readStatement(sql, JSON.parse(String(reader.getRows()[0]?.[0])));
    return "kind" in found ? { kind: "refused", refusal: found } : { kind: "inspected", ...found };
  } catch (error) {
    return { kind: "refused", refusal: refusalOf(error, sql, 0) };
  } finally {
    connection.closeSync();
  }
}
