import type { JsonObject } from "@bufbuild/protobuf";
import { invalidField } from "../failure.ts";
import { canonicalize, JsonProblem } from "../items/canonical-json.ts";

/**
 * A Struct as JSON in its RFC 8785 form, since the order of its members means nothing; undefined if it was left out.
 *
 * @throws Failure INVALID_FIELD if it has more than `maxBytes`, or a number that JSON cannot spell.
 */
export function metadataFromWire(
  field: string,
  metadata: JsonObject | undefined,
  maxBytes: number,
): string | undefined {
  if (metadata === undefined) return undefined;
  try {
    const text = canonicalize(
      JSON.stringify(metadata, (_, value: unknown) => {
        if (typeof value === "number" && !Number.isFinite(value)) {
          throw invalidField(field, `${value} is not a number of JSON`);
        }
        return value;
      }),
      "$",
    );
    const bytes = Buffer.byteLength(text);
    if (bytes > maxBytes) throw invalidField(field, `has ${bytes} bytes; at most ${maxBytes} are allowed`);
    return text;
  } catch (error) {
    if (error instanceof JsonProblem) throw invalidField(field, error.message);
    throw error;
  }
}

/** The same back. */
export function metadataToWire(metadata: string | undefined): JsonObject | undefined {
  return metadata === undefined ? undefined : JSON.parse(metadata);
}
