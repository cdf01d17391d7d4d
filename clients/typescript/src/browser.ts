import { createConnectTransport } from "@connectrpc/connect-web";
import { sha256 } from "@noble/hashes/sha2.js";
import { type ClientOptions, clientOptionNames, type ItembankClient, newClient } from "./client.ts";
import type { Platform } from "./platform.ts";
import { invalidField } from "./rpc/error.ts";
import { knownOptions, type OptionNames } from "./rpc/option-names.ts";

export * from "./api.ts";

/** The options of a client in a browser. */
export interface ItembankClientOptions extends ClientOptions {
  /** The server. It must allow the origin of the page; see its setting `ITEMBANK_ALLOWED_ORIGINS`. */
  readonly url: string;
  /** Replaces the browser's `fetch`, for example to send cookies. */
  readonly fetch?: typeof globalThis.fetch;
}

const optionNames: OptionNames<ItembankClientOptions> = { ...clientOptionNames, url: true, fetch: true };

const encoder = new TextEncoder();

const platform: Platform = {
  // The browser's own is available only with TLS, and only asynchronously.
  sha256: (text) => sha256(encoder.encode(text)),
  byteLength: (text) => encoder.encode(text).length,
  userAgentHeader: "x-user-agent",
};

/**
 * Creates a client that speaks Connect over `fetch`. Browsers cannot send a stream, so `upsertDataset` takes at most one call's
 * worth of rows (1,000 rows, 3 MiB), and `workRun` is not available; everything else is as in Node.
 *
 * @throws ItembankError INVALID_FIELD for an invalid `url`
 */
export function createItembankClient(options: ItembankClientOptions): ItembankClient {
  const { url, fetch } = knownOptions("createItembankClient", options, optionNames);
  if (!URL.canParse(url)) throw invalidField("url", `${JSON.stringify(url)} is not a URL`);
  const transport = createConnectTransport({ baseUrl: url, useBinaryFormat: true, ...(fetch && { fetch }) });
  // The browser manages the connections.
  return newClient({ transport, platform, duplex: false, close: () => undefined }, options);
}
