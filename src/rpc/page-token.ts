import { createHmac, createSecretKey, timingSafeEqual } from "node:crypto";
import type { Pool } from "../db/pool.ts";
import { failure } from "../failure.ts";
import { getSecret } from "./secret-store.ts";

/** A value that a token is bound to. `1`, `1n`, `"1"` and `true` are all different. */
export type Bound = string | number | bigint | boolean;

/**
 * Makes and verifies the tokens of listings and the cursors of streams. A token holds the position after the last row
 * that was returned, signed together with the call and all inputs of its rows.
 */
export interface PageTokens {
  /**
   * Makes the token for the rows after `position`.
   *
   * @param call The listing that it is for: `ListItems`.
   * @param binding The arguments of the call, without the page size, and the version it reads, in a fixed order.
   * @param position The key of the last row.
   */
  seal(call: string, binding: readonly Bound[], position: readonly string[]): string;
  /**
   * Returns the position in a token.
   *
   * @throws Failure INVALID_PAGE_TOKEN unless `seal` made it for this call with this binding, on any server of the
   * installation.
   */
  open(
    field: "page_token" | "cursor",
    token: string,
    call: string,
    binding: readonly Bound[],
  ): readonly string[];
}

/** The first byte of a token. A new layout gets a new number, so that old tokens are refused and not misread. */
const layout = 1;

/** Size of the signature in bytes. 128 bits cannot be guessed; more would only make tokens longer. */
const signatureBytes = 16;

/** Where the body of a token begins. */
const bodyStart = 1 + signatureBytes;

/** Makes page tokens signed with `key`. */
export function newPageTokens(key: Uint8Array): PageTokens {
  // As plain bytes, the key would be prepared for every token, which takes longer than signing.
  const secret = createSecretKey(key);
  const sign = (call: string, binding: readonly Bound[], position: Uint8Array): Buffer =>
    createHmac("sha256", secret)
      .update(encoded([call, ...binding.map(typed)]))
      .update(position)
      .digest()
      .subarray(0, signatureBytes);

  return {
    seal(call, binding, position) {
      const body = encoded(position);
      return Buffer.concat([Buffer.of(layout), sign(call, binding, body), body]).toString("base64url");
    },
    open(field, token, call, binding) {
      const bytes = Buffer.from(token, "base64url");
      const body = bytes.subarray(bodyStart);
      if (
        // Decoding ignores invalid characters; a token has exactly one spelling.
        bytes.toString("base64url") !== token ||
        bytes.length < bodyStart ||
        bytes[0] !== layout ||
        !timingSafeEqual(bytes.subarray(1, bodyStart), sign(call, binding, body))
      ) {
        throw failure("INVALID_PAGE_TOKEN", { field });
      }
      return decoded(body);
    },
  };
}

/** Loads page tokens signed with the key that all servers on this database share. */
export async function loadPageTokens(pool: Pool): Promise<PageTokens> {
  return newPageTokens(await getSecret(pool, "page_token"));
}

function typed(value: Bound): string {
  return `${typeof value}:${value}`;
}

/** Joins texts, each after its length: no two lists have the same bytes. */
function encoded(texts: readonly string[]): Buffer {
  const count = Buffer.alloc(4);
  count.writeUInt32BE(texts.length);
  const parts = texts.flatMap((text) => {
    const bytes = Buffer.from(text);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return [length, bytes];
  });
  return Buffer.concat([count, ...parts]);
}

/** Reverses `encoded`. Only for bytes whose signature was verified. */
function decoded(bytes: Buffer): string[] {
  const texts: string[] = [];
  for (let at = 4, left = bytes.readUInt32BE(0); left > 0; left--) {
    const begin = at + 4;
    at = begin + bytes.readUInt32BE(at);
    texts.push(bytes.toString("utf8", begin, at));
  }
  return texts;
}
