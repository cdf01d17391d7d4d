import { once } from "node:events";
import { type ClientRequest, request } from "node:http";

/** Sends a request whose body never ends, over HTTP/1.1, and waits until the service has begun to answer it. */
export async function unfinishedRequest(url: string): Promise<ClientRequest> {
  const headers = { "content-type": "application/json", expect: "100-continue" };
  const unfinished = request(url, { method: "POST", headers });
  unfinished.on("error", () => undefined).flushHeaders();
  await once(unfinished, "continue");
  unfinished.write("{");
  return unfinished;
}
