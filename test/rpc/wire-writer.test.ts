import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { tagOf, WireWriter } from "../../src/rpc/wire-writer.ts";

/** A field that both writers can write. */
type Field =
  | { readonly kind: "bytes"; readonly value: Uint8Array }
  | { readonly kind: "ascii"; readonly value: string }
  | { readonly kind: "raw"; readonly value: Uint8Array }
  | { readonly kind: "number"; readonly value: number }
  | { readonly kind: "int64"; readonly value: bigint }
  | { readonly kind: "double"; readonly value: number }
  | { readonly kind: "message"; readonly lengthBytes: 1 | 2; readonly fields: readonly Field[] };

/** Numbers of fields, one per kind: some tags take one byte, others two. */
const numberOf = { bytes: 1, ascii: 15, number: 16, int64: 2, double: 200, message: 31 };

const tagged = (kind: keyof typeof numberOf) => ({ number: numberOf[kind] });

/** Bytes in the order of the database. */
function bigEndian(write: (view: DataView) => void): Buffer {
  const bytes = new Uint8Array(8);
  write(new DataView(bytes.buffer));
  return Buffer.from(bytes);
}

function write(wire: WireWriter, field: Field): void {
  switch (field.kind) {
    case "bytes":
      wire.bytes(tagOf.bytes(tagged("bytes")), field.value);
      return;
    case "ascii":
      wire.ascii(tagOf.bytes(tagged("ascii")), field.value);
      return;
    case "raw":
      wire.raw(Buffer.from(field.value));
      return;
    case "number":
      wire.number(tagOf.integer(tagged("number")), field.value);
      return;
    case "int64": {
      const source = bigEndian((view) => view.setBigInt64(0, field.value));
      wire.int64(tagOf.integer(tagged("int64")), source, 0);
      return;
    }
    case "double": {
      const source = bigEndian((view) => view.setFloat64(0, field.value));
      wire.double(tagOf.double(tagged("double")), source, 0);
      return;
    }
    case "message": {
      const start = wire.fork(tagOf.bytes(tagged("message")), field.lengthBytes);
      for (const inner of field.fields) write(wire, inner);
      wire.join(start, field.lengthBytes);
    }
  }
}

/** Writes the same with the library. */
function writeByLibrary(library: BinaryWriter, field: Field): void {
  switch (field.kind) {
    case "bytes":
      library.tag(numberOf.bytes, WireType.LengthDelimited).bytes(field.value);
      return;
    case "ascii":
      library.tag(numberOf.ascii, WireType.LengthDelimited).string(field.value);
      return;
    case "raw":
      library.raw(field.value);
      return;
    case "number":
      library.tag(numberOf.number, WireType.Varint).int64(BigInt(field.value));
      return;
    case "int64":
      library.tag(numberOf.int64, WireType.Varint).int64(field.value);
      return;
    case "double":
      library.tag(numberOf.double, WireType.Bit64).double(field.value);
      return;
    case "message":
      library.tag(numberOf.message, WireType.LengthDelimited).fork();
      for (const inner of field.fields) writeByLibrary(library, inner);
      library.join();
  }
}

/** The library's bytes of a message, preceded by its length. */
function expected(fields: readonly Field[]): Buffer {
  const library = new BinaryWriter();
  for (const field of fields) writeByLibrary(library, field);
  const message = library.finish();
  return Buffer.concat([new BinaryWriter().uint32(message.length).finish(), message]);
}

function written(wire: WireWriter, fields: readonly Field[]): Buffer {
  wire.begin();
  for (const field of fields) write(wire, field);
  return wire.finish();
}

const filled = (length: number) => new Uint8Array(length).fill(7);

const raw = (length: number): Field => ({ kind: "raw", value: filled(length) });

/** A message whose length needs more bytes than planned, unless it is short. */
const message = (fields: readonly Field[]): Field => ({ kind: "message", lengthBytes: 1, fields });

const nested = (depth: number, field: Field): Field =>
  depth === 0 ? field : message([nested(depth - 1, field)]);

/** Lengths on both sides of the limits where a length takes another byte. */
const someLength = fc.oneof(fc.nat(300), fc.constantFrom(127, 128, 16_383, 16_384));

const someField: fc.Arbitrary<Field> = fc.letrec<{ field: Field }>((tie) => ({
  field: fc.oneof(
    { maxDepth: 4 },
    fc.record({ kind: fc.constant("bytes" as const), value: someLength.map(filled) }),
    fc.record({ kind: fc.constant("ascii" as const), value: someLength.map((length) => "a".repeat(length)) }),
    fc.record({ kind: fc.constant("raw" as const), value: someLength.map(filled) }),
    fc.record({ kind: fc.constant("number" as const), value: fc.maxSafeNat() }),
    fc.record({ kind: fc.constant("int64" as const), value: fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n) }),
    fc.record({ kind: fc.constant("double" as const), value: fc.double() }),
    fc.record({
      kind: fc.constant("message" as const),
      lengthBytes: fc.constantFrom(1 as const, 2 as const),
      fields: fc.array(tie("field"), { maxLength: 6 }),
    }),
  ),
})).field;

describe("a writer of the wire format", () => {
  test("writes the same bytes as the library, message after message in the same memory", () => {
    const wire = new WireWriter();
    fc.assert(
      fc.property(fc.array(someField, { maxLength: 12 }), (fields) => {
        expect(written(wire, fields).equals(expected(fields))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  // For some of the first lengths, the memory ends within the last field.
  test.each<[name: string, after: (length: number) => Field[]]>([
    ["bytes", (length) => [raw(length), { kind: "bytes", value: filled(1) }]],
    ["a text", (length) => [raw(length), { kind: "ascii", value: "a" }]],
    ["a number", (length) => [raw(length), { kind: "number", value: Number.MAX_SAFE_INTEGER }]],
    ["64 bits", (length) => [raw(length), { kind: "int64", value: -1n }]],
    ["a double", (length) => [raw(length), { kind: "double", value: Math.PI }]],
    ["the beginning of a message", (length) => [raw(length), message([])]],
    ["the length of a message", (length) => [message([raw(length)])]],
    ["the lengths of messages within messages", (length) => [nested(12, raw(length))]],
  ])("loses nothing if its memory ends within %s", (_, after) => {
    for (let length = 3_900; length < 4_200; length++) {
      const fields = after(length);
      expect(written(new WireWriter(), fields).equals(expected(fields)), `${length} bytes`).toBe(true);
    }
  });

  test("writes an empty message", () => {
    expect(new WireWriter().finish()).toEqual(Buffer.of(0));
  });
});
