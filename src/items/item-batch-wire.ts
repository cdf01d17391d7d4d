import { create, fromBinary } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import {
  ItemBatchSchema,
  type StreamItemsResponse,
  StreamItemsResponseSchema,
} from "../../gen/assay/v1/item_service_pb.js";
import { type EncodedItem, encodedColumns } from "./encoded-item.ts";

/** Tags of the fields of Item and ItemBatch: number times eight, plus 2 for what has a length and 0 for a number. */
const tags = {
  items: 0x0a,
  version: 0x10,
  cursor: 0x1a,
  itemId: 0x0a,
  inputJson: 0x12,
  expectedOutputJson: 0x1a,
  metadataJson: 0x22,
  splits: 0x2a,
  contentHash: 0x32,
  itemVersion: 0x38,
  createTime: 0x42,
  updateTime: 0x4a,
  purged: 0x50,
  seconds: 0x08,
  nanos: 0x10,
} as const;

const [
  itemId,
  input,
  expectedOutput,
  metadata,
  splits,
  contentHash,
  version,
  createTime,
  updateTime,
  purged,
] = encodedColumns.keys() as unknown as readonly [
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
];

/** Seconds from 1970 to 2000, where PostgreSQL counts microseconds from. */
const postgresEpochSeconds = 946_684_800;

/** The length of the whole batch takes at most so many bytes in front of it. */
const prefixBytes = 5;

/**
 * Writes an ItemBatch in the wire format of protobuf, from items as the database sends them: a version of a million items is
 * too long for an object per item, and what the database sends is nearly what goes on the wire. Fields that are empty are
 * left out, as proto3 has it, but for an expected output, which is optional.
 */
export class ItemBatchWriter {
  #buffer = Buffer.allocUnsafe(256 * 1024);
  #at = prefixBytes;
  #count = 0;
  readonly #createTime = new EncodedTime();
  readonly #updateTime = new EncodedTime();

  get count(): number {
    return this.#count;
  }

  add(item: EncodedItem): void {
    const { buffer, starts, lengths } = item;
    const splitsSize = sizeOfSplits(item);
    const versionNumber = readInt53(buffer, starts[version] as number);
    const created = this.#createTime.read(buffer, starts[createTime] as number);
    const updated = this.#updateTime.read(buffer, starts[updateTime] as number);
    const isPurged = buffer[starts[purged] as number] === 1;
    const expectedLength = lengths[expectedOutput] as number;
    const size =
      sizeOfField(lengths[itemId] as number) +
      sizeOfField(lengths[input] as number) +
      (expectedLength < 0 ? 0 : 1 + sizeOfVarint(expectedLength) + expectedLength) +
      sizeOfField(lengths[metadata] as number) +
      splitsSize +
      sizeOfField(lengths[contentHash] as number) +
      (1 + sizeOfVarint(versionNumber)) +
      sizeOfField(created.length) +
      sizeOfField(updated.length) +
      (isPurged ? 2 : 0);
    this.#reserve(size + 6);
    this.#byte(tags.items);
    this.#varint(size);
    this.#column(tags.itemId, item, itemId);
    this.#column(tags.inputJson, item, input);
    if (expectedLength >= 0)
      this.#bytes(tags.expectedOutputJson, buffer, starts[expectedOutput] as number, expectedLength);
    this.#column(tags.metadataJson, item, metadata);
    if (splitsSize > 0) this.#splits(item);
    this.#column(tags.contentHash, item, contentHash);
    this.#byte(tags.itemVersion);
    this.#varint(versionNumber);
    this.#bytes(tags.createTime, created, 0, created.length);
    this.#bytes(tags.updateTime, updated, 0, updated.length);
    if (isPurged) {
      this.#byte(tags.purged);
      this.#byte(1);
    }
    this.#count++;
  }

  /** The batch, with its length in front of it. */
  finish(batchVersion: bigint, cursor: string): Buffer {
    const cursorBytes = Buffer.from(cursor);
    this.#reserve(cursorBytes.length + 32);
    this.#byte(tags.version);
    this.#varint(Number(batchVersion));
    this.#bytes(tags.cursor, cursorBytes, 0, cursorBytes.length);
    const length = this.#at - prefixBytes;
    const start = prefixBytes - sizeOfVarint(length);
    const end = this.#at;
    this.#at = start;
    this.#varint(length);
    return this.#buffer.subarray(start, end);
  }

  #column(tag: number, { buffer, starts, lengths }: EncodedItem, column: number): void {
    const length = lengths[column] as number;
    if (length > 0) this.#bytes(tag, buffer, starts[column] as number, length);
  }

  #bytes(tag: number, source: Buffer, start: number, length: number): void {
    this.#byte(tag);
    this.#varint(length);
    source.copy(this.#buffer, this.#at, start, start + length);
    this.#at += length;
  }

  #splits({ buffer, starts }: EncodedItem): void {
    const start = starts[splits] as number;
    const count = buffer.readInt32BE(start + arrayCount);
    let at = start + arrayHeader;
    for (let n = 0; n < count; n++) {
      const length = buffer.readInt32BE(at);
      this.#bytes(tags.splits, buffer, at + 4, length);
      at += 4 + length;
    }
  }

  #byte(value: number): void {
    this.#buffer[this.#at++] = value;
  }

  /** A number from 0 to 2^53. */
  #varint(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      this.#buffer[this.#at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[this.#at++] = rest;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#buffer.length, this.#at + bytes));
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
  }
}

/** A time as a Timestamp. Most items of a version have that of the item before, so it is encoded when it changes. */
class EncodedTime {
  #high = 0;
  #low = 0;
  #encoded = Buffer.alloc(0);

  /** @param start where 8 bytes of microseconds since 2000 begin. */
  read(buffer: Buffer, start: number): Buffer {
    const high = buffer.readInt32BE(start);
    const low = buffer.readUInt32BE(start + 4);
    if (high === this.#high && low === this.#low && this.#encoded.length > 0) return this.#encoded;
    this.#high = high;
    this.#low = low;
    const micros = readInt53(buffer, start);
    const seconds = Math.floor(micros / 1e6);
    const nanos = (micros - seconds * 1e6) * 1_000;
    const bytes: number[] = [];
    const add = (tag: number, value: number) => {
      if (value === 0) return;
      bytes.push(tag);
      let rest = value;
      for (; rest > 0x7f; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
      bytes.push(rest);
    };
    // Versions are made after 1970, so that seconds are never negative.
    add(tags.seconds, seconds + postgresEpochSeconds);
    add(tags.nanos, nanos);
    this.#encoded = Buffer.from(bytes);
    return this.#encoded;
  }
}

/** Where an array of one dimension has its number of elements, and where they begin: each behind its length. */
const arrayCount = 12;
const arrayHeader = 20;

/** Bytes of all splits with their tags and lengths. */
function sizeOfSplits({ buffer, starts, lengths }: EncodedItem): number {
  // Without elements there are no dimensions, and nothing behind the header.
  if ((lengths[splits] as number) < arrayHeader) return 0;
  const start = starts[splits] as number;
  const count = buffer.readInt32BE(start + arrayCount);
  let at = start + arrayHeader;
  let size = 0;
  for (let n = 0; n < count; n++) {
    const length = buffer.readInt32BE(at);
    size += 1 + sizeOfVarint(length) + length;
    at += 4 + length;
  }
  return size;
}

/** Bytes of a field that is left out when it is empty or null, with its tag and length. */
function sizeOfField(length: number): number {
  return length <= 0 ? 0 : 1 + sizeOfVarint(length) + length;
}

/** Bytes of a number from 0 to 2^53. */
function sizeOfVarint(value: number): number {
  let size = 1;
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 0x80)) size++;
  return size;
}

/** Eight bytes as a number: versions and times are far from 2^53. */
function readInt53(buffer: Buffer, start: number): number {
  return buffer.readInt32BE(start) * 2 ** 32 + buffer.readUInt32BE(start + 4);
}

/**
 * A frame with a batch that is encoded already. It goes out as a field that the message does not know, which is written as it
 * is. That does not work in JSON, where the batch is decoded first.
 */
export function batchFrame(batch: Buffer, isJson: boolean): StreamItemsResponse {
  const frame = create(StreamItemsResponseSchema);
  if (!isJson) {
    const { number: no } = StreamItemsResponseSchema.field.batch;
    frame.$unknown = [{ no, wireType: WireType.LengthDelimited, data: batch }];
    return frame;
  }
  frame.frame = { case: "batch", value: fromBinary(ItemBatchSchema, batch.subarray(sizeOfPrefix(batch))) };
  return frame;
}

/** Bytes of the length in front of a batch. */
function sizeOfPrefix(batch: Buffer): number {
  return batch.findIndex((byte) => byte < 0x80) + 1;
}
