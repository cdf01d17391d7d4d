import { hash } from "node:crypto";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { type ClientOptions, clientOptionNames, type ItembankClient, newClient } from "./client.ts";
import type { Platform } from "./platform.ts";
import { invalidField } from "./rpc/error.ts";
import { knownOptions, type OptionNames } from "./rpc/option-names.ts";

export * from "./api.ts";

/** The options of a client in Node. */
export interface ItembankClientOptions extends ClientOptions {
  /** The server: `http://127.0.0.1:50051`, or `https://…` for one with TLS. */
  readonly url: string;
}

const optionNames: OptionNames<ItembankClientOptions> = { ...clientOptionNames, url: true };

const platform: Platform = {
  sha256: (text) => hash("sha256", text, "buffer"),
  byteLength: (text) => Buffer.byteLength(text),
  userAgentHeader: "user-agent",
};

/** The time without traffic, in milliseconds, after which a connection with open calls is pinged. */
const pingIntervalMs = 20_000;

/**
 * Creates a client that speaks gRPC over HTTP/2. It connects on first use, and reconnects whenever needed.
 *
 * @throws ItembankError INVALID_FIELD for an invalid `url`
 */
export function createItembankClient(options: ItembankClientOptions): ItembankClient {
  const { url } = knownOptions("createItembankClient", options, optionNames);
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw invalidField("url", `${JSON.stringify(url)} is not a URL such as http://127.0.0.1:50051`);
  }
  const sessionManager = new Http2SessionManager(url, { pingIntervalMs });
  return newClient(
    {
      transport: createGrpcTransport({ baseUrl: url, sessionManager }),
      platform,
      duplex: true,
      close: () => sessionManager.abort(),
    },
    options,
  );
}
