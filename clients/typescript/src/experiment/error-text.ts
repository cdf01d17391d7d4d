import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ResultErrorSchema } from "../../gen/itembank/v1/result_pb.js";

/** Limits of the contract, in bytes. Texts for people are truncated rather than refused: half an explanation beats none. */
const maxMessageBytes = 16 * 1024;
const maxStackBytes = 64 * 1024;

/** Converts an error to the form in which a run records it. */
export function toResultError(error: unknown): MessageInitShape<typeof ResultErrorSchema> {
  if (!(error instanceof Error))
    return { code: "ERROR", message: shortened(describe(error), maxMessageBytes) };
  return {
    code: codeOf(error),
    message: shortened(messageOf(error), maxMessageBytes),
    stack: shortened(error.stack ?? "", maxStackBytes),
  };
}

/** Returns the message of an error, including those of its causes. */
export function describeFailure(error: unknown): string {
  return error instanceof Error ? messageOf(error) : describe(error);
}

function messageOf(error: Error): string {
  const own = error.message || error.name;
  return error.cause instanceof Error ? `${own}: ${messageOf(error.cause)}` : own;
}

/** Returns a short, constant code for grouping: the code that the error carries, else its class. */
function codeOf(error: Error): string {
  const code: unknown = "code" in error ? error.code : undefined;
  const status: unknown = "status" in error ? error.status : undefined;
  for (const one of [code, error.name]) {
    if (typeof one === "string" && /^[\w.-]{1,64}$/.test(one) && one !== "Error") return one;
  }
  return typeof status === "number" ? `HTTP_${status}` : "ERROR";
}

function describe(thrown: unknown): string {
  try {
    return typeof thrown === "string" ? thrown : (JSON.stringify(thrown) ?? String(thrown));
  } catch {
    // It cannot be serialized.
    return "a value that is not an Error was thrown";
  }
}

/** Truncates a text to at most `maxBytes` of UTF-8, of which a UTF-16 unit takes at most three. */
export function shortened(text: string, maxBytes: number): string {
  const whole = text.toWellFormed();
  if (whole.length * 3 <= maxBytes) return whole;
  const bytes = new TextEncoder().encode(whole);
  if (bytes.length <= maxBytes) return whole;
  // Half a character at the cut becomes a replacement character, which is removed.
  return `${new TextDecoder().decode(bytes.subarray(0, maxBytes - 3)).replace(/\ufffd$/, "")}…`;
}
