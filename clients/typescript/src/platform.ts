/** The functions that Node and browsers implement differently. */
export interface Platform {
  /** Returns the SHA-256 of a text in UTF-8, 32 bytes. */
  sha256(text: string): Uint8Array;
  /** Returns the length of a text in UTF-8, in bytes. */
  byteLength(text: string): number;
  /** The header that names the client. Browsers do not allow setting `user-agent`. */
  readonly userAgentHeader: "user-agent" | "x-user-agent";
}
