import { describe, expect, test } from "vitest";
import { faultOfFile, itemsOfFile } from "../uploads/reading.ts";

const sales = "id,question,answer,level,source,set\nq1,2+2?,4,1,book,train\nq2,3+3?,6,2,web,test\n";

describe("columns", () => {
  test("called as the parts of an item are taken as a whole, those of them that exist", async () => {
    expect(await itemsOfFile("csv", "splits,input\ntrain,x\n")).toEqual([
      { id: "", input: '"x"', splits: ["train"] },
    ]);
  });

  test("without one called input are all members of the input", async () => {
    expect(await itemsOfFile("csv", "item_id,b,a\n1,x,2\n")).toEqual([
      { id: "", input: '{"item_id":1,"b":"x","a":2}' },
    ]);
  });

  test("beside one called input are refused if they are called otherwise", async () => {
    expect(await faultOfFile("csv", "input,answer\n1,2\n")).toEqual({
      reason: "INVALID_FILE",
      column: "answer",
      problem:
        "is none of item_id, input, expected_output, metadata, splits; say in `columns` what makes up an item",
    });
    expect(await faultOfFile("jsonl", '{"input":1}\n{"input":1,"answer":2}')).toMatchObject({
      row: 2,
      line: 2,
      column: "answer",
    });
  });

  test("are named, and all that nothing else uses are the input", async () => {
    const named = {
      itemId: "id",
      expectedOutput: { column: "answer" },
      metadata: { members: ["source", "level"] },
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

  test("that are named for nothing are left out if the input is named", async () => {
    expect(await itemsOfFile("csv", sales, { named: { input: { column: "question" } } })).toEqual([
      { id: "", input: '"2+2?"' },
      { id: "", input: '"3+3?"' },
    ]);
  });

  test("may be used more than once, each time as it is for", async () => {
    const named = { itemId: "n", input: { members: ["n"] }, expectedOutput: { column: "n" } };
    expect(await itemsOfFile("csv", "n\n1\n2\n", { named })).toEqual([
      { id: "1", input: '{"n":1}', expectedOutput: "1" },
      { id: "2", input: '{"n":2}', expectedOutput: "2" },
    ]);
  });

  test("of JSON objects may differ from row to row", async () => {
    const named = { itemId: "id", expectedOutput: { column: "answer" } };
    const lines = '{"id":"a","q":1}\n{"q":2,"answer":null,"more":[]}\n{"id":null,"answer":3}';
    expect(await itemsOfFile("jsonl", lines, { named })).toEqual([
      { id: "a", input: '{"q":1}' },
      { id: "", input: '{"q":2,"more":[]}', expectedOutput: "null" },
      { id: "", input: "{}", expectedOutput: "3" },
    ]);
  });

  test("of JSON objects are not called input in some rows and otherwise in others", async () => {
    expect(await faultOfFile("jsonl", '{"a":1}\n{"input":2}')).toMatchObject({
      row: 2,
      column: "input",
      problem: "is missing in the first row; say in `columns` what makes up an item",
    });
    expect(await faultOfFile("jsonl", '{"input":1}\n{"item_id":"b"}')).toMatchObject({
      row: 2,
      problem: "has no input",
    });
  });

  test("that a file lacks are told by the field that names them", async () => {
    const missing = async (named: object) => faultOfFile("csv", "a,b\n1,2\n", { named });
    expect(await missing({ itemId: "c" })).toMatchObject({
      reason: "INVALID_FIELD",
      field: "columns.item_id_column",
    });
    expect(await missing({ input: { column: "c" } })).toMatchObject({ field: "columns.input.column" });
    expect(await missing({ input: { members: ["a", "c"] } })).toMatchObject({
      field: "columns.input.member_columns[1]",
    });
    expect(await faultOfFile("jsonl", '{"a":1}', { named: { metadata: { column: "m" } } })).toMatchObject({
      field: "columns.metadata.column",
    });
  });
});
