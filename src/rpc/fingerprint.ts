import { hash, randomBytes } from "node:crypto";
import { clone, type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";

/**
 * Returns a hash of a request's content that distinguishes its repetitions from other requests. The request_id, under
 * which a request is repeated, is not part of it, nor is the order of members in JSON objects, which clients may choose
 * anew each time.
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
  return hash("sha256", toBinary(schema, sortMembers(anonymous)), "buffer");
}

/** Sorts the members of JSON objects (google.protobuf.Struct) within a message, in place where it can. */
function sortMembers<T>(value: T): T {
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(sortMembers) as T;
  const members = Object.entries(value).map(([name, member]) => [name, sortMembers(member)] as const);
  if ("$typeName" in value) return Object.assign(value, Object.fromEntries(members));
  return Object.fromEntries(members.toSorted(([one], [other]) => (one < other ? -1 : 1))) as T;
}
