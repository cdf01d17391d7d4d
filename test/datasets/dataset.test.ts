import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  datasetDefinitionOf,
  isSameDatasetDefinition,
  nameProblem,
  numberedTableName,
  requireEtag,
  tableNameOf,
  tableNameProblem,
} from "../../src/datasets/dataset.ts";

describe("the table name derived from a name", () => {
  test.each([
    ["Q1 Sales Report", "q1_sales_report"],
    ["123 Numbers", "_123_numbers"],
    ["", "_unnamed"],
    ["…", "_unnamed"],
    ["___", "_unnamed"],
    ["my_data", "my_data"],
    ["select", "_select"],
    ["Order!", "_order"],
    ["--a--b--", "_a_b"],
    ["ending_", "ending"],
    ["trailing_", "_trailing"],
    ["Größe", "gr_e"],
    ["日本語 2", "_2"],
    ["x".repeat(128), "x".repeat(128)],
    ["1".repeat(128), `_${"1".repeat(127)}`],
    ["İ".repeat(128), "i_".repeat(64).replace(/_$/, "")],
  ])("of %j is %s", (name, tableName) => {
    expect(tableNameOf(name)).toBe(tableName);
  });

  test("is always one that an owner could have chosen", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary", maxLength: 128 }),
        fc.integer({ min: 1, max: 1e9 }),
        (name, number) => {
          expect(tableNameProblem(tableNameOf(name))).toBeUndefined();
          expect(tableNameProblem(numberedTableName(tableNameOf(name), number))).toBeUndefined();
        },
      ),
    );
  });

  test("gets a number if it is taken, and is cut to make room for it", () => {
    expect([1, 2, 10].map((number) => numberedTableName("sales", number))).toEqual([
      "sales",
      "sales_2",
      "sales_10",
    ]);
    expect(numberedTableName("x".repeat(128), 10)).toBe(`${"x".repeat(125)}_10`);
  });
});

describe("a chosen table name", () => {
  test.each(["a", "_", "Sales_2024", "my_data", "x".repeat(128)])("may be %s", (tableName) => {
    expect(tableNameProblem(tableName)).toBeUndefined();
  });

  test.each(["", "1a", "a b", "a-b", "é", 'a"b', "a\n", "x".repeat(129)])("may not be %j", (tableName) => {
    expect(tableNameProblem(tableName)).toMatch(/must match/);
  });

  test.each(["select", "SELECT", "Pivot", "user", "left"])("may not be the reserved word %s", (tableName) => {
    expect(tableNameProblem(tableName)).toBe("must not be a reserved word of SQL");
  });
});

describe("a name", () => {
  test.each(["a", " a ", "日本語", "👩‍👩‍👧", "select", "__proto__"])("may be %j", (name) => {
    expect(nameProblem(name)).toBeUndefined();
  });

  test.each([
    [" ", "must not be only white space"],
    [`data${"0".repeat(26)}`, "must not look like the id of a dataset"],
    ["\u3000\u00a0", "must not be only white space"],
    ["a\tb", "contains a control character"],
    ["a\u0085", "contains a control character"],
    ["\0", "contains a control character"],
    ["\ud800", "contains a lone surrogate"],
  ])("may not be %j", (name, problem) => {
    expect(nameProblem(name)).toBe(problem);
  });
});

describe("two definitions", () => {
  const one = { name: "a", tableName: "a", description: "", metadata: undefined };

  test("are equal if a member is left out or undefined", () => {
    expect(isSameDatasetDefinition(one, { name: "a", tableName: "a", description: "" })).toBe(true);
    expect(isSameDatasetDefinition(one, datasetDefinitionOf(one))).toBe(true);
  });

  test("differ in metadata that are absent or empty", () => {
    expect(isSameDatasetDefinition(one, { ...one, metadata: "{}" })).toBe(false);
  });
});

describe("an etag", () => {
  test("guards nothing if it is empty", () => {
    expect(() => requireEtag({ etag: "a1" }, "")).not.toThrow();
    expect(() => requireEtag({ etag: "a1" }, "a1")).not.toThrow();
  });

  test("must be the present one otherwise", () => {
    expect(() => requireEtag({ etag: "a1" }, "c3")).toThrow(
      expect.objectContaining({ reason: "ETAG_MISMATCH", facts: { etag: "c3", current_etag: "a1" } }),
    );
  });
});
