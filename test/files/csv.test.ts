import { describe, expect, test } from "vitest";
import { faultOfFile, inputsOfFile, itemsOfFile, readFile } from "../uploads/reading.ts";

/** Rows of a file as lists of values: all columns as text, whether or not there are ids. */
const fields = async (content: string, chunkBytes?: number) =>
  (await inputsOfFile("csv", content, { parsing: "text", ...(chunkBytes && { chunkBytes }) })).map((input) =>
    Object.entries(JSON.parse(input)).map(([name, value]) => `${name}=${value}`),
  );

describe("CSV", () => {
  test.each([
    ["lines end with LF", "a,b\n1,2\n3,4\n"],
    ["lines end with CR LF", "a,b\r\n1,2\r\n3,4\r\n"],
    ["lines end with CR", "a,b\r1,2\r3,4\r"],
    ["the last line does not end", "a,b\n1,2\n3,4"],
    ["there are blank lines", "\n\na,b\n\n1,2\r\n\r\n3,4\n\n\n"],
    ["every field is quoted", '"a","b"\n"1","2"\n"3","4"\n'],
    ["it begins with a byte order mark", "\ufeffa,b\n1,2\n3,4\n"],
    ["semicolons separate fields", "a;b\n1;2\n3;4\n"],
    ["tabs separate fields", "a\tb\n1\t2\n3\t4\n"],
    ["bars separate fields", "a|b\n1|2\n3|4\n"],
  ])("is read where %s, in chunks of any size", async (_, content) => {
    for (const chunkBytes of [1, 2, 3, 7, 1000]) {
      expect(await fields(content, chunkBytes)).toEqual([
        ["a=1", "b=2"],
        ["a=3", "b=4"],
      ]);
    }
  });

  test.each([
    ["commas within quotes", 'a,b\n"1,5",2\n', ["a=1,5", "b=2"]],
    ["line breaks within quotes", 'a,b\n"1\r\n\n2",3\n', ["a=1\r\n\n2", "b=3"]],
    ["quotes within quotes", 'a,b\n"say ""x""","""" \n'.replace(" \n", "\n"), ['a=say "x"', 'b="']],
    ["white space", "a,b\n 1 ,\t\n", ["a= 1 ", "b=\t"]],
    ["semicolons where the header has commas", "a,b\n1;2,3\n", ["a=1;2", "b=3"]],
    ["commas where the header has semicolons", "a;b\n1,2;3\n", ["a=1,2", "b=3"]],
    [
      "a delimiter within a quoted name",
      '"a,x";b\n1;2\n'.replace(";b", ",b").replace("1;2", "1,2"),
      ["a,x=1", "b=2"],
    ],
    ["characters of all lengths", "a,b\näß,漢😀\n", ["a=äß", "b=漢😀"]],
    ["a delimiter at the end", "a,b\n1,", ["a=1"]],
    [
      "names of columns that are special elsewhere",
      "__proto__,constructor\n1,2\n",
      ["__proto__=1", "constructor=2"],
    ],
  ])("keeps %s", async (_, content, row) => {
    for (const chunkBytes of [1, 2, 5, 1000]) expect(await fields(content, chunkBytes)).toEqual([row]);
  });

  test("leaves out blank fields", async () => {
    const content = "item_id,input,expected_output,metadata,splits\na,x,,,\nb,,,,\n";
    expect(await faultOfFile("csv", content)).toEqual({
      reason: "INVALID_FILE",
      row: 2,
      line: 3,
      column: "input",
      problem: "has no input",
    });
    expect(await itemsOfFile("csv", "item_id,input,expected_output,metadata,splits\n,x,,,\n")).toEqual([
      { id: "", input: '"x"' },
    ]);
    expect(await inputsOfFile("csv", "a,b\n1,\n,2\n")).toEqual(['{"a":1}', '{"b":2}']);
  });

  test("takes quoted fields without a character as texts, where a column holds text", async () => {
    const content = 'item_id,input,expected_output,metadata,splits\n"","","","",""\n';
    expect(await itemsOfFile("csv", content)).toEqual([{ id: "", input: '""', expectedOutput: '""' }]);
    expect(await inputsOfFile("csv", 'n,s\n"",""\n1,x\n')).toEqual(['{"s":""}', '{"n":1,"s":"x"}']);
    expect(await inputsOfFile("csv", 'a,b\n"",1\n', { parsing: "json" })).toEqual(['{"b":1}']);
  });

  test("skips and counts rows without a value", async () => {
    const blank = await readFile("csv", 'a,b\n1,x\n,\n"",\n2,y\n');
    expect(blank.items.map(({ input }) => input)).toEqual(['{"a":1,"b":"x"}', '{"a":2,"b":"y"}']);
    expect(blank.reading.csv?.blankRowCount).toBe(2);
    expect(await faultOfFile("csv", "a,b\n,\n")).toEqual({ reason: "INVALID_FILE", problem: "has no rows" });
    expect(await faultOfFile("csv", "a,b\n,\n1\n")).toMatchObject({ row: 2, line: 3 });
  });

  test.each([
    ["", { problem: "has no header" }],
    ["\n\r\n", { problem: "has no header" }],
    ["a,b\n", { problem: "has no rows" }],
    ["a,b", { problem: "has no rows" }],
    ["a,b\n1,2\n3\n", { row: 2, line: 3, problem: "has 1 field; the header has 2" }],
    ["a,b\n1,2,3\n", { row: 1, line: 2, problem: "has 3 fields; the header has 2" }],
    ["a,,b\n1,2,3\n", { problem: "has no name for column 2" }],
    ["a,b,a\n1,2,3\n", { column: "a", problem: "occurs twice" }],
    ['a,b\n"1\n\n",2\n3,"4\n5,6\n', { row: 2, line: 5, problem: "has an unclosed quote, in field 2" }],
    ['a,b\n1,2\n3, "4"\n', { row: 2, line: 3, problem: "has a quote within an unquoted field, in field 2" }],
    ['a,b\n"1"2,3\n', { row: 1, line: 2, problem: "has characters after a closing quote, in field 1" }],
  ])("refuses %j", async (content, facts) => {
    for (const chunkBytes of [1, 3, 1000]) {
      expect(await faultOfFile("csv", content, { chunkBytes })).toEqual({ reason: "INVALID_FILE", ...facts });
    }
  });

  test("gives up on an unclosed quote before it takes all memory", async () => {
    const fault = await faultOfFile("csv", `a,b\n1,"${"x".repeat(5_000_000)}`);
    expect(fault).toMatchObject({ row: 1, line: 2, problem: expect.stringContaining("is a quote missing?") });
  });

  test("has 2,000 columns, or 100,000 rows", async () => {
    const names = Array.from({ length: 2_000 }, (_, index) => `c${index}`);
    const wide = await inputsOfFile(
      "csv",
      `${names.join(",")}\n${names.map((_, index) => index).join(",")}\n`,
    );
    expect(JSON.parse(wide[0] ?? "")).toMatchObject({ c0: 0, c1999: 1999 });
    const long = await itemsOfFile("csv", `n\n${Array.from({ length: 100_000 }, (_, n) => n).join("\n")}`);
    expect(long).toHaveLength(100_000);
    expect(long[99_999]?.input).toBe('{"n":99999}');
  });
});

describe("fields of CSV", () => {
  const values = async (...texts: string[]) =>
    (await inputsOfFile("csv", `v,w\n${texts.map((text) => `${text},x`).join("\n")}`)).map((input) =>
      JSON.stringify(JSON.parse(input).v),
    );

  test.each([
    [["1", "-2", "0", "1.5", "-0.001", "1e-7", "9007199254740991"], true],
    [["1", "", "2"], true],
    [["true", "false", ""], true],
    [["007", "1"], false],
    [["24.50", "1.0", "-0.50"], true],
    [["-0.0", "0.00"], true],
    [["1.50", "007.50"], false],
    [["12345678.12345678"], true],
    [["9.5", "77.82503168985093", "0.30000000000000004"], true],
    [["1e-06", "8.5e-06", "2.50", "1e5", "1E5", "1e+21", "1.0e+20"], true],
    [["5e-324", "2.2250738585072014e-308", "1.7976931348623157e+308"], true],
    [["0.1", "0.30000000000000004441"], false],
    [["1e-400"], false],
    [["1.00000000000000001e5"], false],
    [["-0"], false],
    [["+1"], false],
    [["0x10"], false],
    [[".5"], false],
    [["5."], false],
    [["1 "], false],
    [["9007199254740993"], false],
    [["9007199254740992"], false],
    [["12345678901234567890"], false],
    [["0.1234567890123456789"], false],
    [["1e400"], false],
    [["NaN"], false],
    [["Infinity"], false],
    [["True", "true"], false],
    [["False", "0"], false],
    [["TRUE"], false],
    [["null"], false],
    [["2024-01-31"], false],
    [["1", "true"], false],
    [["1", "one"], false],
    [["1_000"], false],
    [["[1]"], false],
  ])("%j are values: %j", async (texts, areValues) => {
    // As they are spelled.
    const spelled = (await inputsOfFile("csv", `v,w\n${texts.map((text) => `${text},x`).join("\n")}`)).map(
      (input) => /^\{(?:"v":(.*),)?"w":"x"\}$/.exec(input)?.[1],
    );
    expect(spelled).toEqual(
      texts.map((text) => (text === "" ? undefined : areValues ? text : JSON.stringify(text))),
    );
  });

  test("are booleans as Python spells them, where the whole column is", async () => {
    expect(await values("True", "", "False")).toEqual(["true", undefined, "false"]);
    expect(await itemsOfFile("csv", "item_id,input\nTrue,True\n")).toEqual([{ id: "True", input: "true" }]);
  });

  test("are examined in the whole column before the first row is taken", async () => {
    const rows = Array.from({ length: 5_000 }, (_, row) => `${row}`);
    expect((await values(...rows))[0]).toBe("0");
    expect((await values(...rows, "x"))[0]).toBe('"0"');
  });

  test("are texts or JSON on request", async () => {
    const content = "input,expected_output\n1,true\n";
    expect(await itemsOfFile("csv", content, { parsing: "text" })).toEqual([
      { id: "", input: '"1"', expectedOutput: '"true"' },
    ]);
    const json =
      'item_id,input,expected_output,metadata,splits\n007,"""007""",1.50,"{""b"":1,""a"":2}","[""x"",""y""]"\n';
    expect(await itemsOfFile("csv", json, { parsing: "json" })).toEqual([
      { id: "007", input: '"007"', expectedOutput: "1.50", metadata: '{"b":1,"a":2}', splits: ["x", "y"] },
    ]);
    expect(await faultOfFile("csv", "input\n007\n", { parsing: "json" })).toMatchObject({
      row: 1,
      column: "input",
      problem: "unexpected character at position 1",
    });
  });

  test("of a metadata column are always JSON", async () => {
    expect(await itemsOfFile("csv", 'input,metadata\n1,"{""n"":1}"\n', { parsing: "text" })).toEqual([
      { id: "", input: '"1"', metadata: '{"n":1}' },
    ]);
    expect(await faultOfFile("csv", "input,metadata\n1,[1]\n")).toMatchObject({
      row: 1,
      line: 2,
      column: "metadata",
      problem: "must be a JSON object",
    });
  });

  test("of splits contain names separated by semicolons, or a list", async () => {
    const read = async (field: string) =>
      (await itemsOfFile("csv", `input,splits\n1,"${field.replaceAll('"', '""')}"\n`))[0]?.splits;
    expect(await read("train")).toEqual(["train"]);
    expect(await read("b; a;b")).toEqual(["a", "b"]);
    expect(await read('["b","a"]')).toEqual(["a", "b"]);
    expect(await read("[]")).toBeUndefined();
    expect(await read("null")).toEqual(["null"]);
    const fault = async (field: string) =>
      (await faultOfFile("csv", `input,splits\n1,"${field.replaceAll('"', '""')}"\n`)).problem;
    expect(await fault("[1]")).toBe("must be a list of names");
    expect(await fault("[a]")).toBe("must be a list of names");
    expect(await fault("a;;b")).toBe("has a split without a name");
    expect(await fault("x".repeat(200))).toContain("at most 128 are allowed");
  });

  test("of ids are taken literally", async () => {
    expect((await itemsOfFile("csv", "item_id,input\n007,1\n 1 ,2\n,3\n")).map((item) => item.id)).toEqual([
      "007",
      " 1 ",
      "",
    ]);
    expect(await faultOfFile("csv", `item_id,input\n${"x".repeat(256)},1\n`)).toEqual({
      reason: "INVALID_FILE",
      row: 1,
      line: 2,
      column: "item_id",
      problem: "has 256 bytes; at most 255 are allowed",
    });
  });
});
