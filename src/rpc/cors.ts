import { cors } from "@connectrpc/connect";
import type { RequestHandler } from "./listener.ts";

/** How long a browser may remember what it was allowed, in seconds. More than two hours no browser accepts. */
const maxAge = 7_200;

const allowedMethods = cors.allowedMethods.join(", ");
const allowedHeaders = [...cors.allowedHeaders, "Authorization"].join(", ");
const exposedHeaders = cors.exposedHeaders.join(", ");

/**
 * Lets pages of some origins call (https://connectrpc.com/docs/cors): answers the question that a browser asks in advance,
 * and says in every answer who may read it. Cookies are never allowed.
 *
 * @param origins such as `https://evals.example.com`; `*` allows all. Empty changes nothing: browsers then keep pages of
 * other origins out by themselves.
 */
export function allowOrigins(origins: readonly string[], handle: RequestHandler): RequestHandler {
  if (origins.length === 0) return handle;
  const all = origins.includes("*");
  return (request, response) => {
    const { origin } = request.headers;
    // What one origin is answered must not be taken from a cache for another.
    if (!all) response.setHeader("vary", "origin");
    if (origin === undefined || !(all || origins.includes(origin))) {
      handle(request, response);
      return;
    }
    response.setHeader("access-control-allow-origin", all ? "*" : origin);
    if (request.method !== "OPTIONS" || request.headers["access-control-request-method"] === undefined) {
      response.setHeader("access-control-expose-headers", exposedHeaders);
      handle(request, response);
      return;
    }
    response.setHeader("access-control-allow-methods", allowedMethods);
    response.setHeader("access-control-allow-headers", allowedHeaders);
    response.setHeader("access-control-max-age", maxAge);
    response.statusCode = 204;
    response.end();
  };
}
