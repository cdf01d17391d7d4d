import { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { failure } from "../failure.ts";
import { invalidFile } from "./invalid-file.ts";

/** The first bytes of compressed files. No text begins with them: neither is valid UTF-8. */
const gzipMagic = Buffer.from([0x1f, 0x8b]);
const zstdMagic = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);

/**
 * Passes bytes on, decompressed if they begin as gzip or zstd does. Takes memory for a few chunks, whatever they unpack
 * to.
 *
 * @throws Failure INVALID_FILE if they cannot be decompressed; LIMIT_EXCEEDED if they unpack to more than `maxBytes`
 */
export async function* decompressed(
  bytes: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<Buffer> {
  const input = bytes[Symbol.asyncIterator]();
  try {
    let first = Buffer.alloc(0);
    while (first.length < zstdMagic.length) {
      const { done, value } = await input.next();
      if (done) break;
      first = Buffer.concat([first, value]);
    }
    const rest = (async function* (): AsyncGenerator<Uint8Array> {
      if (first.length > 0) yield first;
      for (;;) {
        const { done, value } = await input.next();
        if (done) return;
        yield value;
      }
    })();
    const unpacker = unpackerOf(first);
    if (unpacker === undefined) {
      for await (const chunk of rest) yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      return;
    }
    yield* unpacked(rest, unpacker, maxBytes);
  } finally {
    await input.return?.();
  }
}

function unpackerOf(first: Buffer) {
  const begins = (magic: Buffer) => magic.equals(first.subarray(0, magic.length));
  if (begins(gzipMagic)) return { name: "gzip", stream: createGunzip() };
  return begins(zstdMagic) ? { name: "zstd", stream: createZstdDecompress() } : undefined;
}

async function* unpacked(
  packed: AsyncIterable<Uint8Array>,
  { name, stream }: NonNullable<ReturnType<typeof unpackerOf>>,
  maxBytes: number,
): AsyncGenerator<Buffer> {
  const source = Readable.from(packed, { objectMode: false });
  let fault: { readonly thrown: unknown } | undefined;
  source.on("error", (thrown) => {
    // A failure of the source is not a fault of the file.
    fault = { thrown };
    stream.destroy(thrown);
  });
  source.pipe(stream);
  let received = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      received += chunk.length;
      if (received > maxBytes) {
        throw failure("LIMIT_EXCEEDED", { limit: "max_upload_bytes", maximum: maxBytes, received });
      }
      yield chunk;
    }
  } catch (error) {
    if (fault !== undefined) throw fault.thrown;
    if (!(error instanceof Error && "code" in error && /^(Z_|ZSTD_|ERR_)/.test(String(error.code))))
      throw error;
    throw invalidFile(`cannot be decompressed as ${name}: ${error.message}`);
  } finally {
    source.destroy();
    stream.destroy();
  }
}
