import { create, type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import type { HandlerContext } from "@connectrpc/connect";
import { tagOf } from "./wire-writer.ts";

/**
 * Makes a frame in which one field is a message that `WireWriter` wrote. It travels as an unknown field, which is
 * written as it is. That does not work in JSON, where the message is decoded first.
 */
export function encodedFrame<S extends DescMessage>(
  schema: S,
  field: { readonly number: number },
  message: Buffer,
  { requestHeader }: HandlerContext,
): MessageShape<S> {
  if (/json/.test(requestHeader.get("content-type") ?? "")) {
    return fromBinary(schema, Buffer.concat([Buffer.of(tagOf.bytes(field)), message]));
  }
  const frame = create(schema);
  frame.$unknown = [{ no: field.number, wireType: WireType.LengthDelimited, data: message }];
  return frame;
}
