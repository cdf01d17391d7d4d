import { JsonProblem } from "../json/json-problem.ts";
import { objectText } from "../json/object-text.ts";
import { invalidField } from "../rpc/error.ts";

/** Annotations of a dataset or run: an object by the rules for payloads, so that nothing is lost in it. */
export type Metadata = Readonly<Record<string, unknown>>;

/** Converts annotations to their field in the contract, in which the empty text means none. @throws ItembankError INVALID_FIELD */
export function metadataToWire(field: string, metadata: Metadata | undefined): string {
  if (metadata === undefined) return "";
  try {
    return objectText(metadata, "$");
  } catch (error) {
    throw error instanceof JsonProblem ? invalidField(field, error.message) : error;
  }
}
