import type { SourceColumn } from "../engine/protocol.ts";

const text = (name: string): SourceColumn => ({ name, expression: "VALUE" });
const json = (name: string): SourceColumn => ({ name, expression: "VALUE::json" });
const number = (name: string, type: "bigint" | "integer" | "double"): SourceColumn => ({
  name,
  expression: `VALUE::${type}`,
});
const time = (name: string): SourceColumn => ({ name, expression: "VALUE::timestamptz" });
const texts = (name: string): SourceColumn => ({ name, expression: `from_json(VALUE, '["VARCHAR"]')` });

/** The fixed columns of every table of a dataset, in the order of `itemsQuery`. */
export const itemTableColumns: readonly SourceColumn[] = [
  text("item_id"),
  json("input"),
  json("expected_output"),
  json("metadata"),
  texts("splits"),
  { name: "content_hash", expression: "unhex(VALUE)" },
  number("version", "bigint"),
];

/** The columns of an export file, in the order of `exportQuery`. Payloads are texts, for any reader. */
export const exportColumns: readonly SourceColumn[] = [
  text("item_id"),
  text("input"),
  text("expected_output"),
  text("metadata"),
  texts("splits"),
];

const scoresStructure = `'{"names":["VARCHAR"],"values":["DOUBLE"]}'`;

/** The columns of a table of a run, in the order of `resultsQuery`. */
export const runTableColumns: readonly SourceColumn[] = [
  text("item_id"),
  number("item_version", "bigint"),
  number("repetition", "integer"),
  number("attempt", "integer"),
  json("output"),
  { name: "error_code", expression: "VALUE::json->>'code'" },
  { name: "error_message", expression: "VALUE::json->>'message'" },
  { name: "latency_ms", expression: "VALUE::bigint / 1000" },
  number("retry_count", "integer"),
  time("start_time"),
  time("complete_time"),
  text("trace_id"),
  number("input_tokens", "bigint"),
  number("output_tokens", "bigint"),
  number("cost", "double"),
  {
    name: "scores",
    expression: `map(from_json(VALUE, ${scoresStructure}).names, from_json(VALUE, ${scoresStructure}).values)`,
  },
];
