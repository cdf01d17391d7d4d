import type { JsonObject } from "@bufbuild/protobuf";
import { invalidField } from "../failure.ts";
import { parseJson } from "../json/json-value.ts";
import { grouped, plural } from "../quantities.ts";

/**
 * Returns a Struct as JSON with its members sorted, since their order means nothing; undefined if it was left out.
 *
 * @throws Failure INVALID_FIELD if it has more than `maxBytes`, or a number that JSON cannot represent
 */
export function metadataFromWire(
  field: string,
  metadata: JsonObject | undefined,
  maxBytes: number,
): string | undefined {
  if (metadata === undefined) return undefined;
  const text = JSON.stringify(metadata, (_, value: unknown) => {
    if (typeof value === "number" && !Number.isFinite(value)) {
      throw invalidField(field, `${value} has no JSON form`);
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)));
  });
  if (!text.isWellFormed()) throw invalidField(field, "contains a lone surrogate");
  const bytes = Buffer.byteLength(text);
  if (bytes > maxBytes)
    throw invalidField(field, `has ${plural(bytes, "byte")}; at most ${grouped(maxBytes)} are allowed`);
  return text;
}

/** Converts it back to a Struct. */
export function metadataToWire(metadata: string | undefined): JsonObject | undefined {
  return metadata === undefined ? undefined : (parseJson(metadata) as JsonObject);
}
