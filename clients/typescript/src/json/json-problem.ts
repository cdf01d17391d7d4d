import { jsonPath } from "./json-path.ts";

/** Why a value or a text cannot be a payload. */
export class JsonProblem extends Error {
  override readonly name = "JsonProblem";
  /** Where: `$.input.messages[2]`. */
  readonly path: string;
  /** What, in words for people. */
  readonly problem: string;

  /** `segments` lead from the root to the place: names of members and indexes of elements. */
  constructor(root: string, segments: readonly (string | number)[], problem: string) {
    const path = jsonPath(root, segments);
    super(`${path}: ${problem}`);
    this.path = path;
    this.problem = problem;
  }
}
