import { jsonPath } from "./json-path.ts";

/**
 * A value or a text is not a valid payload. The service has such an error of its own, in its src/json/json-problem.ts, since client
 * and service are packages of their own; test/json/json-path.test.ts compares them.
 */
export class JsonProblem extends Error {
  override readonly name = "JsonProblem";
  /** The path of the problem: `$.input.messages[2]`. */
  readonly path: string;
  /** The problem, for people. */
  readonly problem: string;

  /** @param segments lead from the root to the problem: names of members and indexes of elements */
  constructor(root: string, segments: readonly (string | number)[], problem: string) {
    const path = jsonPath(root, segments);
    super(`${path}: ${problem}`);
    this.path = path;
    this.problem = problem;
  }
}
