import type { OutgoingHttpHeader, OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Http2ServerResponse } from "node:http2";

const name = "grpc-message";

/**
 * Makes gRPC error messages as readable as the protocol allows. It asks to escape only the percent sign and characters
 * that are not printable ASCII (gRPC over HTTP2, "Responses"); Connect escapes all of `$:"(),` too, and some clients,
 * grpc-js among them, do not unescape these.
 */
export function readableErrorMessages<R extends ServerResponse | Http2ServerResponse>(response: R): R {
  const { writeHead, addTrailers } = response;
  return Object.assign(response, {
    writeHead: (...args: unknown[]) => Reflect.apply(writeHead, response, args.map(readable)),
    addTrailers: (trailers: OutgoingHttpHeaders) =>
      Reflect.apply(addTrailers, response, [readable(trailers)]),
  });
}

/** Returns headers with a readable message; anything else unchanged. */
function readable<T>(headers: T): T {
  if (typeof headers !== "object" || headers === null || !(name in headers)) return headers;
  const message = (headers as Record<string, OutgoingHttpHeader>)[name];
  return typeof message === "string" ? { ...headers, [name]: encode(decodeURIComponent(message)) } : headers;
}

/** Percent-encodes percent signs and the UTF-8 bytes of characters that are not printable ASCII. */
function encode(message: string): string {
  return message.replace(/[^ -$&-~]+/gu, encodeURIComponent);
}
