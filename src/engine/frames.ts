import { present } from "../present.ts";
/**
 * The unit of exchange between the service and the processes of its engine: a kind, a length and a body. Most are
 * messages, as JSON. Rows travel in their wire form, after their number, so that the service can pass them on as they
 * are.
 */
export type EngineFrame =
  | { readonly kind: "message"; readonly message: unknown }
  | { readonly kind: "rows"; readonly rowCount: number; readonly rows: Buffer };

const messageKind = 0;
const rowsKind = 1;
const frameHeaderBytes = 5;

export function messageFrame(message: unknown): Buffer {
  const body = Buffer.from(JSON.stringify(message));
  return Buffer.concat([header(messageKind, body.length), body]);
}

/** @param rows A JSON array of rows. */
export function rowsFrame(rowCount: number, rows: string): Buffer {
  const length = Buffer.byteLength(rows);
  const frame = Buffer.allocUnsafe(frameHeaderBytes + 4 + length);
  header(rowsKind, 4 + length).copy(frame);
  frame.writeUInt32LE(rowCount, frameHeaderBytes);
  frame.write(rows, frameHeaderBytes + 4);
  return frame;
}

function header(kind: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(frameHeaderBytes);
  bytes.writeUInt8(kind, 0);
  bytes.writeUInt32LE(length, 1);
  return bytes;
}

/** Yields the frames of a stream of bytes. An incomplete frame at the end of the stream is dropped. */
export async function* readFrames(input: AsyncIterable<Buffer>): AsyncGenerator<EngineFrame> {
  let chunks: Buffer[] = [];
  let available = 0;
  const take = (length: number) => {
    const all = chunks.length === 1 ? present(chunks[0]) : Buffer.concat(chunks, available);
    chunks = [all.subarray(length)];
    available -= length;
    return all.subarray(0, length);
  };
  let next: { readonly kind: number; readonly length: number } | undefined;
  for await (const chunk of input) {
    chunks.push(chunk);
    available += chunk.length;
    for (;;) {
      if (next === undefined) {
        if (available < frameHeaderBytes) break;
        const head = take(frameHeaderBytes);
        next = { kind: head.readUInt8(0), length: head.readUInt32LE(1) };
      }
      if (available < next.length) break;
      const body = take(next.length);
      yield next.kind === rowsKind
        ? { kind: "rows", rowCount: body.readUInt32LE(0), rows: body.subarray(4) }
        : { kind: "message", message: JSON.parse(body.toString()) };
      next = undefined;
    }
  }
}
