import { JsonProblem } from "./json-problem.ts";
import { plainJson } from "./json-value.ts";

/**
 * Serializes a value that stands for a JSON object.
 *
 * @throws JsonProblem with a path from `root` for a value that `plainJson` refuses, and for one that is not an object
 */
export function objectText(value: unknown, root: string): string {
  const plain = plainJson(value, root);
  if (plain === null || typeof plain !== "object" || Array.isArray(plain)) {
    throw new JsonProblem(root, [], "must be a JSON object");
  }
  return JSON.stringify(plain);
}
