import { hash } from "node:crypto";
import type { NewResult } from "./result.ts";

/**
 * Returns the SHA-256 of everything that identifies a result: outcome, times, latency, retries, trace and usage, but not scores.
 * Outputs are compared by meaning: `canonicalOutput` is the RFC 8785 form. Unset fields are left out, so that a field that is
 * added one day does not change the fingerprints of results without it.
 */
export function resultFingerprint(
  result: Omit<NewResult, "fingerprint" | "scores">,
  canonicalOutput: string | undefined,
): Uint8Array {
  const { startTime, completeTime, latencyMicros, retryCount, traceId, usage } = result;
  let text =
    canonicalOutput === undefined ? `error ${JSON.stringify(result.error)}` : `output ${canonicalOutput}`;
  // No value contains a line break, canonical JSON included, except the trace, which comes last.
  if (startTime !== undefined) text += `\nstart_time ${startTime}`;
  if (completeTime !== undefined) text += `\ncomplete_time ${completeTime}`;
  if (latencyMicros !== undefined) text += `\nlatency ${latencyMicros}`;
  if (retryCount !== 0) text += `\nretry_count ${retryCount}`;
  if (usage !== undefined) {
    text += `\nusage ${usage.inputTokens ?? ""} ${usage.outputTokens ?? ""} ${usage.cost ?? ""} ${usage.currencyCode}`;
  }
  if (traceId !== "") text += `\ntrace_id ${traceId}`;
  // Through a string, as in contentHash.
  return Buffer.from(hash("sha256", text, "binary"), "binary");
}
