import { describe, expect, test } from "vitest";
import type { NamedColumns } from "../../src/files/column-mapping.ts";
import { faultOfFile, itemsOfFile } from "../uploads/reading.ts";

const sales = "id,question,answer,level,source,set\nq1,2+2?,4,1,book,train\nq2,3+3?,6,2,web,test\n";

describe("columns", () => {
  test("called like the parts of an item are taken as a whole, as far as they exist", async () => {
    expect(await itemsOfFile("csv", "splits,input\ntrain,x\n")).toEqual([
      { id: "", input: '"x"', splits: ["train"] },
    ]);
  });

  test("are all members of the input if none is called input", async () => {
    expect(await itemsOfFile("csv", "item_id,b,a\n1,x,2\n")).toEqual([
      { id: "", input: '{"item_id":1,"b":"x","a":2}' },
    ]);
  });

  test("are refused if one is called input and another has an unknown name", async () => {
    expect(await faultOfFile("csv", "input,answer\n1,2\n")).toEqual({
      reason: "INVALID_FILE",
      column: "answer",
      problem:
        "is not one of item_id, input, expected_output, metadata, splits; map the columns to the parts of an item explicitly",
    });
    expect(await faultOfFile("jsonl", '{"input":1}\n{"input":1,"answer":2}')).toMatchObject({
      row: 2,
      line: 2,
      column: "answer",
    });
  });

  test("are mapped by name, and all without another use are the input", async () => {
    const named: Partial<NamedColumns> = {
      itemId: "id",
      expectedOutput: { kind: "column", column: "answer" },
      metadata: { kind: "members", members: ["source", "level"] },
      splits: "set",
    };
    expect(await itemsOfFile("csv", sales, { named })).toEqual([
      {
        id: "q1",
        input: '{"question":"2+2?"}',
        expectedOutput: "4",
        metadata: '{"source":"book","level":1}',
        splits: ["train"],
      },
      {
        id: "q2",
        input: '{"question":"3+3?"}',
        expectedOutput: "6",
        metadata: '{"source":"web","level":2}',
        splits: ["test"],
      },
    ]);
  });

  test("that are not mapped are left out if the input is mapped", async () => {
    expect(
      await itemsOfFile("csv", sales, { named: { input: { kind: "column", column: "question" } } }),
    ).toEqual([
      { id: "", input: '"2+2?"' },
      { id: "", input: '"3+3?"' },
    ]);
  });

  test("may be used more than once, for different parts", async () => {
    const named: Partial<NamedColumns> = {
      itemId: "n",
      input: { kind: "members", members: ["n"] },
      expectedOutput: { kind: "column", column: "n" },
    };
    expect(await itemsOfFile("csv", "n\n1\n2\n", { named })).toEqual([
      { id: "1", input: '{"n":1}', expectedOutput: "1" },
      { id: "2", input: '{"n":2}', expectedOutput: "2" },
    ]);
  });

  test("of JSON objects may differ from row to row", async () => {
    const named: Partial<NamedColumns> = {
      itemId: "id",
      expectedOutput: { kind: "column", column: "answer" },
    };
    const lines = '{"id":"a","q":1}\n{"q":2,"answer":null,"more":[]}\n{"id":null,"answer":3}';
    expect(await itemsOfFile("jsonl", lines, { named })).toEqual([
      { id: "a", input: '{"q":1}' },
      { id: "", input: '{"q":2,"more":[]}', expectedOutput: "null" },
      { id: "", input: "{}", expectedOutput: "3" },
    ]);
  });

  test("of JSON objects may not be called input in some rows only", async () => {
    expect(await faultOfFile("jsonl", '{"a":1}\n{"input":2}')).toMatchObject({
      row: 2,
      column: "input",
      problem: "is missing in the first row; map the columns to the parts of an item explicitly",
    });
    expect(await faultOfFile("jsonl", '{"input":1}\n{"item_id":"b"}')).toMatchObject({
      row: 2,
      problem: "has no input",
    });
  });

  test("that a file lacks are reported by the field that names them", async () => {
    const missing = async (named: object) => faultOfFile("csv", "a,b\n1,2\n", { named });
    expect(await missing({ itemId: "c" })).toMatchObject({
      reason: "INVALID_FIELD",
      field: "columns.item_id_column",
    });
    expect(await missing({ input: { kind: "column", column: "c" } })).toMatchObject({
      field: "columns.input.column",
    });
    expect(await missing({ input: { kind: "members", members: ["a", "c"] } })).toMatchObject({
      field: "columns.input.member_columns[1]",
    });
    expect(
      await faultOfFile("jsonl", '{"a":1}', { named: { metadata: { kind: "column", column: "m" } } }),
    ).toMatchObject({
      field: "columns.metadata.column",
    });
  });
});
