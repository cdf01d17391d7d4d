import { cors } from "@connectrpc/connect";
import type { RequestHandler } from "./listener.ts";

/** How long a browser may cache a permission, in seconds. Browsers accept two hours at most. */
const maxAge = 7_200;

const allowedMethods = cors.allowedMethods.join(", ");
const allowedHeaders = [...cors.allowedHeaders, "Authorization"].join(", ");
const exposedHeaders = cors.exposedHeaders.join(", ");

/**
 * Allows pages of some origins to call (https://connectrpc.com/docs/cors): answers the preflight requests of browsers,
 * and names the allowed origin in every answer. Cookies are never allowed.
 *
 * @param origins such as `https://evals.example.com`; `*` allows all. Empty changes nothing: browsers then keep pages
 * of other origins out by themselves.
 */
export function allowOrigins(origins: readonly string[], handle: RequestHandler): RequestHandler {
  if (origins.length === 0) return handle;
  const all = origins.includes("*");
  return (request, response) => {
    const { origin } = request.headers;
    // A cache must not serve the answer for one origin to another.
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
