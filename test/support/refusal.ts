import { Code, ConnectError } from "@connectrpc/connect";
import { expect } from "vitest";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.js";

/** The visible facts of a failed call: the status code, the reason and its metadata. */
export interface Refusal {
  readonly code: string;
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Returns the failure of a call, or of reading a stream to its end. */
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

/** Returns the fields that a failed call reports, in order. */
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

/** The expected facts of INVALID_FIELD about a field. */
export function invalid(field: string) {
  return { code: "InvalidArgument", reason: "INVALID_FIELD", metadata: expect.objectContaining({ field }) };
}

/** The expected refusal: `Aborted`, `VERSION_CONFLICT` and these facts at least. */
export function refused(code: keyof typeof Code, reason: string, metadata: Record<string, unknown> = {}) {
  return { code, reason, metadata: expect.objectContaining(metadata) };
}
