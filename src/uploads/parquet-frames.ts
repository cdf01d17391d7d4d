import type { Readable } from "node:stream";
import type { FilePlace } from "./invalid-file.ts";

/** What a reader of Parquet says, in this order: columns, then pages of rows, or what is wrong with the file at any time. */
export type ParquetFrame =
  | { readonly columns: readonly { readonly name: string; readonly isText: boolean }[] }
  | { readonly rows: readonly (readonly (string | null)[])[] }
  | { readonly problem: string; readonly place: FilePlace };

/** What a reader of Parquet is told. */
export interface ParquetRequest {
  readonly file: string;
  readonly spillFolder: string;
}

/** A frame as bytes: its length, then its JSON. */
export function encodeFrame(frame: ParquetFrame): Buffer {
  const json = Buffer.from(JSON.stringify(frame));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(json.length);
  return Buffer.concat([length, json]);
}

/** The frames that arrive, each as a whole. One that is cut off is left out. */
export async function* decodeFrames(input: Readable): AsyncGenerator<ParquetFrame> {
  let pieces: Buffer[] = [];
  let received = 0;
  for await (const piece of input as AsyncIterable<Buffer>) {
    pieces.push(piece);
    received += piece.length;
    for (;;) {
      const first = pieces[0];
      if (first === undefined || received < 4) break;
      if (first.length < 4) pieces = [Buffer.concat(pieces)];
      const end = 4 + (pieces[0] as Buffer).readUInt32BE();
      if (received < end) break;
      const bytes = pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces);
      yield JSON.parse(bytes.toString("utf8", 4, end)) as ParquetFrame;
      pieces = bytes.length === end ? [] : [bytes.subarray(end)];
      received -= end;
    }
  }
}
