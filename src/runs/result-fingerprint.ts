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
  const outcome =
    canonicalOutput === undefined ? `error ${JSON.stringify(result.error)}` : `output ${canonicalOutput}`;
  return hash("sha256", `${outcome}\n${circumstances(result)}`, "buffer");
}

function circumstances(result: Omit<NewResult, "fingerprint" | "scores">): string {
  const { usage } = result;
  return JSON.stringify({
    start_time: result.startTime?.toString(),
    complete_time: result.completeTime?.toString(),
    latency: result.latencyMicros?.toString(),
    retry_count: result.retryCount || undefined,
    trace_id: result.traceId || undefined,
    usage: usage && {
      input_tokens: usage.inputTokens?.toString(),
      output_tokens: usage.outputTokens?.toString(),
      cost: usage.cost,
      currency: usage.currency || undefined,
    },
  });
}
