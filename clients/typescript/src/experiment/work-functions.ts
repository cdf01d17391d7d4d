import { invalidField } from "../rpc/error.ts";
import { evaluatorKinds } from "./evaluate.ts";
import type { WorkOptions } from "./task.ts";

/** The arguments that functions are called with. JavaScript leaves a parameter beyond them undefined, and says nothing. */
const taskArguments = 2;
const evaluatorArguments = 1;

/**
 * Checks the task and the evaluators before any work is wasted.
 *
 * @throws ItembankError INVALID_FIELD for a value that is not a function, a function with more parameters than it is called
 * with, an unknown kind, and an invalid score name
 */
export function checkFunctions<Input, Output, Expected>({
  task,
  evaluators = {},
}: Pick<WorkOptions<Input, Output, Expected>, "task" | "evaluators">): void {
  if (typeof task !== "function") throw invalidField("task", "must be a function");
  if (task.length > taskArguments) {
    throw invalidField(
      "task",
      `takes ${task.length} parameters, but is called with two: an item and a context`,
    );
  }
  for (const [name, given] of Object.entries(evaluators)) {
    if (name === "" || name.length > 128 || !name.isWellFormed()) {
      throw invalidField("evaluators", `${JSON.stringify(name)} cannot name a score: 1 to 128 characters`);
    }
    const { evaluate, kind } =
      typeof given === "function" ? { evaluate: given, kind: "code" as const } : (given ?? {});
    if (typeof evaluate !== "function" || !Object.hasOwn(evaluatorKinds, kind)) {
      throw invalidField(
        `evaluators.${name}`,
        "must be a function, or an object of a function `evaluate` and a `kind`: code, llm or human",
      );
    }
    if (evaluate.length > evaluatorArguments) {
      throw invalidField(
        `evaluators.${name}`,
        `takes ${evaluate.length} parameters, but is called with one: a subject { input, output, expectedOutput, … }`,
      );
    }
  }
}
