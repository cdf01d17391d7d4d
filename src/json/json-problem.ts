import { jsonPath } from "./json-path.ts";

/**
 * The reason why a JSON text is refused. The TypeScript client has such an error of its own, in its src/json/json-problem.ts, since
 * client and service are packages of their own; test/json/json-path.test.ts compares them.
 */
export class JsonProblem extends Error {
  override readonly name = "JsonProblem";
  /**
   * The root that the caller passed, then segments in the manner of RFC 9535 such as `.messages`, `[2]` and
   * `['top-k']`. It names the innermost value that had begun; for problems with member names, the object. Steps that
   * would make it longer than 1,000 characters are left off, so it names a parent of a very deep value.
   */
  readonly path: string;
  /** The problem, in words for people. Positions count UTF-16 units from the start of the text. */
  readonly problem: string;

  /** `segments` lead from the root to the value: names of members and indexes of elements. */
  constructor(root: string, segments: readonly (string | number)[], problem: string) {
    const path = jsonPath(root, segments);
    super(`${path}: ${problem}`);
    this.path = path;
    this.problem = problem;
  }
}
