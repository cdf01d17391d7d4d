import { CanonicalWriter, canonicalize } from "./canonical-json.ts";

const writer = new CanonicalWriter();

/** @throws JsonProblem, with a path from `root`, for a text that `canonicalize` refuses, and for one that is not an object */
export function requireJsonObject(text: string, root: string): void {
  writer.clear();
  writer.appendObject(text, root);
}

/** Whether two texts, which `canonicalize` accepts, mean the same. Undefined stands for no text. */
export function isSameJson(one: string | undefined, other: string | undefined): boolean {
  if (one === undefined || other === undefined || one === other) return one === other;
  return canonicalize(one) === canonicalize(other);
}
