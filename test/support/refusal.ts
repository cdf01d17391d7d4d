import { Code, ConnectError } from "@connectrpc/connect";
import { expect } from "vitest";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.js";

/** What a caller can tell from a failed call: the status code, the reason and its facts. */
export interface Refusal {
  readonly code: string;
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** How a call, or reading a stream to its end, fails. */
export async function refusalOf(call: Promise<unknown> | AsyncIterable<unknown>): Promise<Refusal> {
  const error = await errorOf(call);
  const info = error.findDetails(ErrorInfoSchema)[0];
  expect(info?.domain ?? "itembank.dev").toBe("itembank.dev");
  return {
    code: Code[error.code],
    reason: info?.reason.replace("ERROR_REASON_", "") ?? "",
    metadata: info?.metadata ?? {},
  };
}

/** The fields that a failed call finds fault with, in order. */
export async function faultyFieldsOf(call: Promise<unknown> | AsyncIterable<unknown>): Promise<string[]> {
  const [badRequest] = (await errorOf(call)).findDetails(BadRequestSchema);
  return badRequest?.fieldViolations.map((violation) => violation.field) ?? [];
}

async function errorOf(call: Promise<unknown> | AsyncIterable<unknown>): Promise<ConnectError> {
  const error = await (Symbol.asyncIterator in call ? drain(call) : call).then(
    () => new Error("the call succeeded"),
    (reason: unknown) => reason,
  );
  if (!(error instanceof ConnectError)) throw error;
  return error;
}

async function drain(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream);
}

/** What INVALID_FIELD is expected to say about a field. */
export function invalid(field: string) {
  return { code: "InvalidArgument", reason: "INVALID_FIELD", metadata: expect.objectContaining({ field }) };
}

/** What a refusal is expected to be: `Aborted`, `VERSION_CONFLICT` and these facts at least. */
export function refused(code: keyof typeof Code, reason: string, metadata: Record<string, unknown> = {}) {
  return { code, reason, metadata: expect.objectContaining(metadata) };
}
