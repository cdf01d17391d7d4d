import { describe, expect, test } from "vitest";
import { checkFunctions } from "../../src/experiment/work-functions.ts";
import type { Subject } from "../../src/node.ts";

const task = () => 1;
const correct = ({ output, expectedOutput }: Subject<unknown, unknown, unknown>) => output === expectedOutput;
const byParts = (output: unknown, expectedOutput: unknown) => output === expectedOutput;
const shape = "must be a function, or an object of a function `evaluate` and a `kind`: code, llm or human";
const tooMany = "takes 2 parameters, but is called with one: a subject { input, output, expectedOutput, … }";

describe("before the first call", () => {
  test.each<[string, unknown, string]>([
    ["takes the parts of a subject", { one: byParts }, `evaluators.one: ${tooMany}`],
    ["does so in an object", { one: { evaluate: byParts, kind: "llm" } }, `evaluators.one: ${tooMany}`],
    ["is not a function", { one: "correct" }, `evaluators.one: ${shape}`],
    ["is undefined", { correct, one: undefined }, `evaluators.one: ${shape}`],
    ["is of no kind", { one: { evaluate: correct } }, `evaluators.one: ${shape}`],
    ["is of an unknown kind", { one: { evaluate: correct, kind: "robot" } }, `evaluators.one: ${shape}`],
    ["has an empty name", { "": correct }, 'evaluators: "" cannot name a score: 1 to 128 characters'],
  ])("an evaluator that %s is refused", (_, evaluators, message) => {
    expect(() => checkFunctions({ task, evaluators: evaluators as never })).toThrow(
      expect.objectContaining({ reason: "INVALID_FIELD", message }),
    );
  });

  test.each<[unknown, string]>([
    [undefined, "task: must be a function"],
    [
      (_1: unknown, _2: unknown, _3: unknown) => 1,
      "task: takes 3 parameters, but is called with two: an item and a context",
    ],
  ])("a task that cannot be called as one is refused: %s", (given, message) => {
    expect(() => checkFunctions({ task: given as never })).toThrow(
      expect.objectContaining({ reason: "INVALID_FIELD", message }),
    );
  });

  test("functions that take what they are called with are not", () => {
    checkFunctions({
      task: (_item, _context) => 1,
      evaluators: {
        correct,
        none: () => 1,
        byDefault: (_subject, threshold = 0.5) => threshold,
        many: (...subjects: unknown[]) => subjects.length,
        judge: { evaluate: correct, kind: "human" },
      },
    });
  });
});
