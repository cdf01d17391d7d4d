import { hash } from "node:crypto";
import type { NewResult } from "./result.ts";

/**
 * The SHA-256 of all that makes a result the very same as another: outcome, times, latency, retries, trace and usage, but
 * no scores. Outputs count by meaning: `canonicalOutput` is the RFC 8785 form. What is unset is left out, so that what
 * results may say one day does not change the fingerprints of those that do not say it.
 */
export function resultFingerprint(
  result: Omit<NewResult, "fingerprint" | "scores">,
  canonicalOutput: string | undefined,
): Uint8Array {
  const { startTime, completeTime, latencyMicros, retryCount, traceId, usage } = result;
  let text =
    canonicalOutput === undefined ? `error ${JSON.stringify(result.error)}` : `output ${canonicalOutput}`;
  // Neither JSON nor any of the values has a line break in it, but for the trace, which is last.
  if (startTime !== undefined) text += `\nstart_time ${startTime}`;
  if (completeTime !== undefined) text += `\ncomplete_time ${completeTime}`;
  if (latencyMicros !== undefined) text += `\nlatency ${latencyMicros}`;
  if (retryCount !== 0) text += `\nretry_count ${retryCount}`;
  if (usage !== undefined) {
    text += `\nusage ${usage.inputTokens ?? ""} ${usage.outputTokens ?? ""} ${usage.cost ?? ""} ${usage.currencyCode}`;
  }
  if (traceId !== "") text += `\ntrace_id ${traceId}`;
  // By way of a string, as in contentHash.
  return Buffer.from(hash("sha256", text, "binary"), "binary");
}
