import { failure, invalidField } from "../../failure.ts";
import { JsonProblem } from "../../json/canonical-json.ts";
import { requireJsonObject } from "../../json/json-object.ts";
import { grouped, plural } from "../../quantities.ts";

/**
 * Returns annotations as they were sent, a JSON object; undefined if the text is empty, which means none.
 *
 * @throws Failure INVALID_FIELD if the text has more than `maxBytes`; INVALID_JSON, with a path from `$.metadata`, if it is
 * not an object by the rules for items
 */
export function metadataFromWire(field: string, text: string, maxBytes: number): string | undefined {
  if (text === "") return undefined;
  const bytes = Buffer.byteLength(text);
  if (bytes > maxBytes)
    throw invalidField(field, `has ${plural(bytes, "byte")}; at most ${grouped(maxBytes)} are allowed`);
  try {
    requireJsonObject(text, "$.metadata");
  } catch (error) {
    if (!(error instanceof JsonProblem)) throw error;
    const { path, problem, message: description } = error;
    throw failure("INVALID_JSON", { path, problem }, [{ field, description }]);
  }
  return text;
}
