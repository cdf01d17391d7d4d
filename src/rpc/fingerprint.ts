import { hash } from "node:crypto";
import { clone, type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";

/**
 * What tells a repetition of a request from another request: a hash of its content. The request_id, the name under which it
 * is repeated, is not part of it.
 */
export function fingerprint<S extends DescMessage>(
  schema: S,
  message: MessageShape<S> & { requestId: string },
): Uint8Array {
  const anonymous = clone(schema, message) as MessageShape<S> & { requestId: string };
  anonymous.requestId = "";
  return hash("sha256", toBinary(schema, anonymous), "buffer");
}
