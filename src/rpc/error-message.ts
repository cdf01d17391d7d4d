import type { OutgoingHttpHeader, OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Http2ServerResponse } from "node:http2";

const name = "grpc-message";

/**
 * Lets error messages of gRPC travel as readable as the protocol allows. It asks that only what is no printable ASCII, and
 * the percent sign, be escaped (gRPC over HTTP2, "Responses"); Connect escapes all of `$:"(),` too, and some clients, grpc-js
 * among them, do not take that back.
 */
export function readableErrorMessages<R extends ServerResponse | Http2ServerResponse>(response: R): R {
  const { writeHead, addTrailers } = response;
  return Object.assign(response, {
    writeHead: (...args: unknown[]) => Reflect.apply(writeHead, response, args.map(readable)),
    addTrailers: (trailers: OutgoingHttpHeaders) =>
      Reflect.apply(addTrailers, response, [readable(trailers)]),
  });
}

/** Headers with a readable message; anything else is given back. */
function readable<T>(headers: T): T {
  if (typeof headers !== "object" || headers === null || !(name in headers)) return headers;
  const message = (headers as Record<string, OutgoingHttpHeader>)[name];
  return typeof message === "string" ? { ...headers, [name]: encode(decodeURIComponent(message)) } : headers;
}

/** Percent-encodes the UTF-8 bytes of what is no printable ASCII, and percent signs. */
function encode(message: string): string {
  return message.replace(/[^ -$&-~]+/gu, encodeURIComponent);
}
