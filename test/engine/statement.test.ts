import { DuckDBInstance } from "@duckdb/node-api";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { functions, tableFunctions } from "../../src/engine/allowed-functions.ts";
import { inspectStatement } from "../../src/engine/inspect-statement.ts";
import { characterAt } from "../../src/engine/statement.ts";

/** The tables that a statement names, or its problem. */
async function inspect(sql: string) {
  const answer = await inspectStatement(sql);
  if (answer.kind === "inspected") return answer.tables.map(({ schema, name }) => `${schema}.${name}`);
  return answer.kind === "refused" ? answer.refusal : undefined;
}

describe("the tables of a statement", () => {
  test.each([
    ["select 1", []],
    ["select * from datasets.a, runs.b", ["datasets.a", "runs.b"]],
    [
      'select * from datasets."a@1" x join (select * from datasets.c) on true',
      ["datasets.a@1", "datasets.c"],
    ],
    [
      "select (select max(x) from datasets.a) from datasets.b where y in (select z from datasets.c)",
      ["datasets.a", "datasets.b", "datasets.c"],
    ],
    ["with a as (select * from datasets.x) select * from a", ["datasets.x"]],
    ["with recursive t as (select 1 as n union all select n + 1 from t) select * from t", []],
    ["with a as (select 1), b as (select * from A) select * from B", []],
    ["select * from datasets.a union all select * from datasets.b", ["datasets.a", "datasets.b"]],
    ["from datasets.b select (from datasets.a)", ["datasets.b", "datasets.a"]],
    ["select * from datasets.A, datasets.a", ["datasets.A"]],
    ["from (pivot datasets.a on b in ('x') using sum(c))", ["datasets.a"]],
    ["select * from datasets.a asof join datasets.b on a.t >= b.t", ["datasets.a", "datasets.b"]],
    ["select * from datasets.a tablesample 10%", ["datasets.a"]],
  ])("of %s are found", async (sql, tables) => {
    expect(await inspect(sql)).toEqual(tables);
  });

  test.each(["sales", '"sales@1"', "Sales"])("without a schema are refused: %s", async (name) => {
    expect(await inspect(`select * from ${name}`)).toEqual({
      kind: "table",
      table: name.replaceAll('"', ""),
    });
  });

  test("are distinguished from those of a WITH by their names", async () => {
    const sql = "select * from a where exists (with b as (select 1) select * from b)";
    expect(await inspect(sql)).toEqual({ kind: "table", table: "a" });
  });
});

describe("parameters", () => {
  test.each([
    ["select 1", 0],
    ["select $1, $2, $1", 2],
    ["select ?, ?", 2],
    ["select * from datasets.a where b = $1 limit $2", 2],
  ])("of %s are counted", async (sql, count) => {
    expect(await inspectStatement(sql)).toMatchObject({ kind: "inspected", parameterCount: count });
  });

  test.each(["select $2", "select $1, $3", "select $name"])("of %s are refused", async (sql) => {
    expect(await inspect(sql)).toMatchObject({
      kind: "statement",
      problem: expect.stringContaining("is missing"),
    });
  });
});

describe("the place of an error", () => {
  test.each([
    ["abc", 0, 1],
    ["abc", 2, 3],
    ["üabc", 2, 2],
    ["😀abc", 4, 2],
    ["😀ü", 4, 2],
    ["abc", 99, 4],
  ])("in %j at byte %i is character %i", (text, byte, character) => {
    expect(characterAt(text, byte)).toBe(character);
  });
});

describe("the functions that are allowed", () => {
  let instance: DuckDBInstance;
  let known: { name: string; type: string }[];
  beforeAll(async () => {
    instance = await DuckDBInstance.create(":memory:");
    const connection = await instance.connect();
    const reader = await connection.runAndReadAll(
      "select distinct function_name, function_type from duckdb_functions()",
    );
    known = reader
      .getRows()
      .map(([name, type]) => ({ name: String(name).toLowerCase(), type: String(type) }));
    connection.closeSync();
  });
  afterAll(() => instance.closeSync());

  test("are functions that the engine has", () => {
    const names = new Set(known.map(({ name }) => name));
    // The parser names extraction from JSON by its operator.
    const unknown = [...functions, ...tableFunctions].filter((name) => !names.has(name) && name !== "->");
    expect(unknown).toEqual([]);
  });

  test("include none that read beyond their arguments", () => {
    const dangerous =
      /^(duckdb_|pragma_|pg_(?!typeof|size_pretty)|read_|parquet_|__internal|has_|inet_|current_(setting|query|schema|database|catalog|user|role|conn|trans)|icu_cal)|(setting|getenv|variable|serializ|nextval|currval|sleep|write_log|arrow|seq_scan|glob|sniff|^query|secret|checkpoint|logging|_to_variant|to_parquet|get_block)/;
    expect([...functions, ...tableFunctions].filter((name) => dangerous.test(name))).toEqual([]);
    // The pattern does match functions of the engine.
    expect(known.filter(({ name }) => dangerous.test(name)).length).toBeGreaterThan(80);
  });

  test("exclude every function in FROM but a few", () => {
    const left = known.filter(({ name, type }) => type.startsWith("table") && !tableFunctions.has(name));
    expect(left.length).toBeGreaterThan(70);
    expect([...tableFunctions].toSorted()).toEqual([
      "generate_series",
      "json_each",
      "json_tree",
      "range",
      "unnest",
    ]);
  });
});
