import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  paginateListObjectsV2,
  S3Client,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import type { BlobLocation } from "./blob-location.ts";
import { BlobMissing, type BlobStore, requireKey, StorageError } from "./blob-store.ts";
import type { Scratch } from "./scratch.ts";

/**
 * Bytes of a part of a large blob, of which two are in memory at a time. S3 takes 10,000 parts, so this allows 160 GiB;
 * its smallest part, 5 MiB, would allow 50 and take three times as many requests.
 */
const partBytes = 16 * 1024 * 1024;

/** How long to wait for a connection, and for a byte. Long enough for a busy server, short enough for a waiting caller. */
const connectMilliseconds = 5_000;
const silenceMilliseconds = 30_000;

/**
 * Blobs as objects of an S3-compatible storage. Credentials come from the environment, as the SDK of AWS finds them:
 * variables, shared files, container or instance roles. An object appears when all of it is there; the parts of an
 * unfinished one are withdrawn, or stay invisible if the process was killed, until a lifecycle rule of the bucket
 * removes them.
 */
export function newS3Blobs(location: Extract<BlobLocation, { kind: "s3" }>, scratch: Scratch): BlobStore {
  const { bucket, prefix, endpoint, region, pathStyle } = location;
  const client = new S3Client({
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    forcePathStyle: pathStyle,
    // Other servers than AWS may not know the newer checksums; TLS and our own hashes guard the bytes.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    maxAttempts: 3,
    requestHandler: { connectionTimeout: connectMilliseconds, socketTimeout: silenceMilliseconds },
  });
  const description = `s3://${bucket}/${prefix}${endpoint === undefined ? "" : ` at ${endpoint}`}`;
  const objectOf = (key: string) => {
    requireKey(key);
    return { Bucket: bucket, Key: prefix + key };
  };
  const storageError = (error: unknown) => new StorageError(description, error);
  const send = <T>(request: Promise<T>): Promise<T> =>
    request.catch((error: unknown) => {
      throw storageError(error);
    });

  async function bodyOf(key: string): Promise<Readable> {
    const command = new GetObjectCommand(objectOf(key));
    try {
      const { Body } = await client.send(command);
      if (!(Body instanceof Readable)) throw new Error("the answer has no content");
      return Body;
    } catch (error) {
      if (error instanceof Error && error.name === "NoSuchKey") throw new BlobMissing(key);
      throw storageError(error);
    }
  }

  return {
    description,

    async check() {
      await send(client.send(new HeadBucketCommand({ Bucket: bucket })));
    },

    async put(key, content) {
      // Errors of the content are the caller's, all others the storage's.
      const source: { fault?: { readonly thrown: unknown } } = {};
      const body = Readable.from(noting(content, source), { objectMode: false });
      const upload = new Upload({
        client,
        params: { ...objectOf(key), Body: body },
        partSize: partBytes,
        queueSize: 1,
      });
      try {
        await upload.done();
      } catch (error) {
        throw source.fault === undefined ? storageError(error) : source.fault.thrown;
      } finally {
        body.destroy();
      }
    },

    async *read(key) {
      const body = await bodyOf(key);
      try {
        yield* body;
      } catch (error) {
        throw storageError(error);
      } finally {
        body.destroy();
      }
    },

    async openFile(key) {
      const body = await bodyOf(key);
      const file = await scratch.newFile();
      try {
        await send(pipeline(body, createWriteStream(file.path)));
        return file;
      } catch (error) {
        await file[Symbol.asyncDispose]();
        throw error;
      }
    },

    async delete(key) {
      await send(client.send(new DeleteObjectCommand(objectOf(key))));
    },

    async *list(keyPrefix) {
      const { Bucket, Key } = objectOf(keyPrefix);
      const pages = paginateListObjectsV2({ client }, { Bucket, Prefix: `${Key}/` })[Symbol.asyncIterator]();
      for (;;) {
        const { done, value: page } = await send(pages.next());
        if (done) return;
        for (const { Key: name = "", Size = 0, LastModified = new Date() } of page.Contents ?? []) {
          yield { key: name.slice(prefix.length), sizeBytes: Size, putTime: LastModified };
        }
      }
    },

    async [Symbol.asyncDispose]() {
      client.destroy();
    },
  };
}

/** Passes chunks on, and notes whether their source fails. */
async function* noting(
  content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  source: { fault?: { readonly thrown: unknown } },
): AsyncGenerator<Uint8Array> {
  try {
    yield* content;
  } catch (thrown) {
    source.fault = { thrown };
    throw thrown;
  }
}
