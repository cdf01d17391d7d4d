import { describe, expect, test } from "vitest";
import { explainError } from "../../src/cli/explain-error.ts";
import { invalidField } from "../../src/failure.ts";
import { notMapped } from "../../src/files/invalid-file.ts";

describe("an error about a mapping", () => {
  test.each([
    ["columns.item_id_column", "--id"],
    ["columns.input", "--input"],
    ["columns.input.column", "--input"],
    ["columns.input.member_columns[12]", "--input"],
    ["columns.expected_output.column", "--expected"],
    ["columns.metadata.member_columns[0]", "--metadata"],
    ["columns.splits_column", "--splits"],
    ["columns.cell_parsing", "--cells"],
    ["columns.rest", "--rest"],
    ["columns.dropped_columns[3]", "--drop"],
  ])("names the option for %s", (field, option) => {
    expect(explainError(invalidField(field, "is wrong"), "")?.message).toBe(`${option}: is wrong`);
  });

  test.each([
    [["input", "target"], "--input input --expected target"],
    [["question", "answer"], "--input question --expected answer"],
    [["prompt", "completion"], "--input prompt --expected completion"],
    [["inputs", "outputs"], "--input inputs --expected outputs"],
    [["messages", "topic"], "--input messages --rest metadata"],
    [
      ["id", "Question", "ideal", "split", "metadata"],
      "--id id --input Question --expected ideal --metadata metadata --splits split",
    ],
    [["text", "label"], "--expected label"],
  ])("suggests the command that reads %j", (names, options) => {
    const { remedy } = explainError(notMapped("is not mapped", {}, names), "") ?? {};
    expect(remedy).toBe(`Try \`itembank import <name> <file> ${options}\`; nothing was published.`);
  });

  test("suggests nothing for columns of other names", () => {
    const { remedy } = explainError(notMapped("is not mapped", {}, ["a", "b"]), "") ?? {};
    expect(remedy).toMatch(/^Correct the file/);
  });
});
