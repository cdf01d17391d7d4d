import { describe, expect, test } from "vitest";
import { rewritten } from "../support/spreadsheet.ts";
import { faultOfFile, itemsOfFile } from "../uploads/reading.ts";

const header = "item_id,input,expected_output,metadata,splits\r\n";

/** As ExportItems writes it. */
const exported = `${header}a,"""capital of France""","""Paris""","{""by"":""me""}","[""test""]"\r\nb,"""[1,2]""",true,,\r\nc,"{""n"":1}",null,,\r\nd,1,,,\r\n`;

const items = [
  {
    id: "a",
    input: '"capital of France"',
    expectedOutput: '"Paris"',
    metadata: '{"by":"me"}',
    splits: ["test"],
  },
  { id: "b", input: '"[1,2]"', expectedOutput: "true" },
  { id: "c", input: '{"n":1}', expectedOutput: "null" },
  { id: "d", input: "1" },
];

describe("an exported CSV file", () => {
  test("is known by its bytes, in chunks of any size", async () => {
    expect(await itemsOfFile("csv", exported)).toEqual(items);
    expect(await itemsOfFile("csv", exported, { chunkBytes: 3 })).toEqual(items);
  });

  test.each([
    ["with quotes around all fields", { quotesAll: true }],
    ["with other line ends", { lineEnd: "\n" }],
    ["with semicolons", { delimiter: ";" }],
    ["with a byte order mark", { mark: true }],
    ["with TRUE and FALSE", { capitals: true }],
    ["with all of that", { quotesAll: true, lineEnd: "\n", delimiter: ";", mark: true, capitals: true }],
  ] as const)("is known after a spreadsheet has saved it: %s", async (_, how) => {
    expect(await itemsOfFile("csv", rewritten(exported, how))).toEqual(items);
  });

  test("takes what someone typed without quotes for a text", async () => {
    const edited = rewritten(exported, { edit: (field) => (field === '"Paris"' ? "Lyon" : field) });
    const [first, ...others] = items;
    expect(await itemsOfFile("csv", edited)).toEqual([{ ...first, expectedOutput: '"Lyon"' }, ...others]);
    const typed = rewritten(exported, { edit: (field) => (field === "1" ? '{ "n" : 2.50 }' : field) });
    expect((await itemsOfFile("csv", typed)).at(3)).toEqual({ id: "d", input: '{ "n" : 2.50 }' });
  });

  test("still needs objects as metadata", async () => {
    const edited = rewritten(exported, { edit: (field) => (field === '{"by":"me"}' ? "me" : field) });
    expect(await faultOfFile("csv", edited)).toMatchObject({
      reason: "INVALID_FILE",
      row: 1,
      column: "metadata",
    });
  });

  test("is read as it is told if that is told", async () => {
    const [first] = await itemsOfFile("csv", exported, { parsing: "text" });
    expect(first).toMatchObject({ input: String.raw`"\"capital of France\""` });
  });

  test("may have its columns named", async () => {
    const named = {
      itemId: "item_id",
      input: { kind: "column", column: "input" },
      expectedOutput: { kind: "column", column: "expected_output" },
      metadata: { kind: "column", column: "metadata" },
      splits: "splits",
    } as const;
    expect(await itemsOfFile("csv", exported, { named })).toEqual(items);
  });
});

describe("a CSV file with the header of an export", () => {
  test.each([
    ["plain texts", `${header}a,capital of France,Paris,,\r\n`, '"capital of France"', '"Paris"'],
    ["one text that is JSON", `${header}a,[1],Paris,,\r\nb,x,y,,\r\n`, '"[1]"', '"Paris"'],
    [
      "JSON as Python writes it",
      `${header}a,"{""q"": ""2+2?""}","[1, 2]",,\r\n`,
      String.raw`"{\"q\": \"2+2?\"}"`,
      '"[1, 2]"',
    ],
    [
      "inputs that are JSON beside texts",
      `${header}a,"{""q"":1}",Paris,,\r\n`,
      String.raw`"{\"q\":1}"`,
      '"Paris"',
    ],
    ["numbers with zeros at the end", `${header}a,24.50,7,,\r\n`, "24.50", "7"],
    ["metadata that no export spells like that", `${header}a,null,7,"{""by"": ""me""}",\r\n`, '"null"', "7"],
  ])("is none if it holds %s", async (_, content, input, expectedOutput) => {
    expect((await itemsOfFile("csv", content))[0]).toMatchObject({ input, expectedOutput });
  });

  test("is none with its columns in another order, or with another beside them", async () => {
    expect(await itemsOfFile("csv", 'input,item_id,expected_output,metadata,splits\n"""x""",a,,,\n')).toEqual(
      [{ id: "a", input: String.raw`"\"x\""` }],
    );
    expect(await itemsOfFile("csv", 'item_id,input\na,"""x"""\n')).toEqual([
      { id: "a", input: String.raw`"\"x\""` },
    ]);
  });
});
