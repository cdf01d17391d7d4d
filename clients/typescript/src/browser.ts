import { createConnectTransport } from "@connectrpc/connect-web";
import { sha256 } from "@noble/hashes/sha2.js";
import { type ClientOptions, type ItembankClient, newClient } from "./client.ts";
import type { Platform } from "./platform.ts";
import { invalidField } from "./rpc/error.ts";

export * from "./api.ts";

/** What a client in a browser can be told. */
export interface ItembankClientOptions extends ClientOptions {
  /** Where the server is. Has to allow the origin of the page, see its setting `ITEMBANK_ALLOWED_ORIGINS`. */
  readonly url: string;
  /** Takes the place of the browser's `fetch`, to send cookies for example. */
  readonly fetch?: typeof globalThis.fetch;
}

const encoder = new TextEncoder();

const platform: Platform = {
  // That of the browser itself is there only with TLS, and only asynchronous.
  sha256: (text) => sha256(encoder.encode(text)),
  byteLength: (text) => encoder.encode(text).length,
  userAgentHeader: "x-user-agent",
};

/**
 * A client that speaks Connect by `fetch`. Browsers cannot send a stream, so `upsertDataset` takes what fits into one call
 * (1,000 rows, 3 MiB), and there is no `workRun`; all else is as in Node.
 *
 * @throws ItembankError INVALID_FIELD for a `url` that is none
 */
export function createItembankClient(options: ItembankClientOptions): ItembankClient {
  const { url, fetch } = options;
  if (!URL.canParse(url)) throw invalidField("url", `${JSON.stringify(url)} is not a URL`);
  const transport = createConnectTransport({ baseUrl: url, useBinaryFormat: true, ...(fetch && { fetch }) });
  // Connections belong to the browser.
  return newClient({ transport, platform, duplex: false, close: () => undefined }, options);
}
