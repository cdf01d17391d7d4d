import { hash, randomBytes } from "node:crypto";
import { clone, type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";

/**
 * Returns a hash of a request's content that distinguishes its repetitions from other requests. The request_id, under
 * which a request is repeated, is not part of it.
 *
 * A request without a request_id is never repeated, so its fingerprint is random; hashing it would be a waste.
 */
export function fingerprint<S extends DescMessage>(
  schema: S,
  message: MessageShape<S> & { requestId: string },
): Uint8Array {
  if (message.requestId === "") return randomBytes(32);
  const anonymous = clone(schema, message) as MessageShape<S> & { requestId: string };
  anonymous.requestId = "";
  return hash("sha256", toBinary(schema, anonymous), "buffer");
}
