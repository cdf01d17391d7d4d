/** What Node and browsers do differently. */
export interface Platform {
  /** The SHA-256 of a text in UTF-8, 32 bytes. */
  sha256(text: string): Uint8Array;
  /** How many bytes a text takes in UTF-8. */
  byteLength(text: string): number;
  /** The header in which a client names itself. Browsers keep `user-agent` to themselves. */
  readonly userAgentHeader: "user-agent" | "x-user-agent";
}
