import { ConfigError } from "../config.ts";

/** Returns in one line why the service did not start, for the person who started it. */
export function explainStart(error: unknown): string {
  if (error instanceof ConfigError) return error.message;
  // A host name with several addresses yields one error for each, and an empty message.
  if (error instanceof AggregateError) return error.errors.map(explainStart).join("; ");
  // The cause comes first, then the errors of releasing what had been opened.
  if (error instanceof SuppressedError) {
    return `${explainStart(error.suppressed)}; ${explainStart(error.error)}`;
  }
  if (!(error instanceof Error)) return String(error);
  if ("code" in error && error.code === "EADDRINUSE" && "port" in error) {
    return `port ${error.port} is in use. Stop the program that uses it, or set ITEMBANK_LISTEN to another address.`;
  }
  return error.message;
}
