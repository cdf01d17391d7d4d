import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import type { Item } from "../../gen/itembank/v1/item_pb.js";
import type { Limits } from "../../gen/itembank/v1/limits_pb.js";
import type { RunResultSchema, UsageSchema } from "../../gen/itembank/v1/result_pb.js";
import { plainJson } from "../json/json-value.ts";
import type { Platform } from "../platform.ts";
import { readItem } from "../reading/read-item.ts";
import { jittered } from "../rpc/backoff.ts";
import { knownOptions } from "../rpc/option-names.ts";
import { sleep } from "../rpc/sleep.ts";
import { attempt } from "./attempt.ts";
import { toResultError } from "./error-text.ts";
import { evaluate, type ScoreInit } from "./evaluate.ts";
import { type RateGate, rateLimitOf } from "./rate-gate.ts";
import { reportNames, type TaskUsage, type WorkOptions } from "./task.ts";

/** The result of a cell, as a message of the contract. */
export type ResultInit = MessageInitShape<typeof RunResultSchema> & {
  readonly itemId: string;
  readonly repetition: number;
};

type UsageInit = MessageInitShape<typeof UsageSchema>;

/** One cell of a run. */
export interface Cell {
  /**
   * The item as it was received: every attempt and every evaluator reads it anew, so that what one of them changes does not
   * reach another.
   */
  readonly item: Item;
  readonly repetition: number;
}

/** The setting that all cells share. */
export interface CellSetting<Input, Output, Expected> {
  readonly options: WorkOptions<Input, Output, Expected>;
  readonly gate: RateGate;
  readonly platform: Platform;
  readonly limits: Pick<Limits, "maxItemBytes">;
  /** Empty in a dry run. */
  readonly runId: string;
}

const defaultRetries = 2;

/** The pauses before retries. */
const pauses = { initialDelayMs: 250, maxDelayMs: 10_000 };

/** The most rate limits that one cell waits for. More of them mean that slowing down does not help. */
const maxRateLimits = 20;

/** An output that cannot be recorded. */
class OutputError extends Error {
  override readonly name = "OutputError";
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * Works on one cell: attempts the task until it returns an output or no retries are left, then runs all evaluators. Failures
 * become part of the result.
 *
 * @throws the reason of `signal`, and nothing else
 */
export async function runCell<Input, Output, Expected>(
  setting: CellSetting<Input, Output, Expected>,
  { item, repetition }: Cell,
  signal: AbortSignal,
): Promise<ResultInit> {
  const { options, gate, runId } = setting;
  const { retries = defaultRetries, shouldRetry = () => true } = options;
  let usage: UsageInit | undefined;
  let traceId = "";
  for (let failures = 0, rateLimits = 0; ; ) {
    const pass = await gate.pass(signal);
    const startTime = timestampNow();
    const started = performance.now();
    [usage, traceId] = [undefined, ""];
    const result = () => ({
      itemId: item.itemId,
      repetition,
      startTime,
      completeTime: timestampNow(),
      latency: toDuration(performance.now() - started),
      retryCount: failures + rateLimits,
      traceId: traceId.slice(0, 128),
      ...(usage && { usage }),
    });
    try {
      const output = await attempt(
        (own) =>
          options.task(readItem<Input, Expected>(item), {
            repetition,
            attempt: failures + rateLimits + 1,
            signal: own,
            runId,
            report(given) {
              const about = knownOptions("report", given, reportNames);
              if (about.usage !== undefined) usage = usageToWire(about.usage);
              traceId = about.traceId ?? traceId;
            },
          }),
        options.timeoutMs,
        signal,
      );
      const outputJson = spell(setting, output);
      const answered = { ...result(), outcome: { case: "outputJson", value: outputJson } } as const;
      gate.succeeded();
      return { ...answered, scores: await judge(setting, { item, output, repetition }, signal) };
    } catch (error) {
      signal.throwIfAborted();
      const limit = rateLimitOf(error);
      if (limit !== undefined && rateLimits < maxRateLimits) {
        rateLimits++;
        gate.pause(pass, limit.retryAfterMs);
        continue;
      }
      if (failures >= retries || !shouldRetry(error)) {
        return { ...result(), outcome: { case: "error", value: toResultError(error) } };
      }
      failures++;
      await sleep(jittered(pauses, failures), signal);
    }
  }
}

/** Converts milliseconds to a Duration, to the microsecond. */
function toDuration(milliseconds: number) {
  const microseconds = Math.round(milliseconds * 1_000);
  return { seconds: BigInt(Math.floor(microseconds / 1e6)), nanos: (microseconds % 1e6) * 1_000 };
}

/** Serializes the output as JSON. @throws OutputError */
function spell<Input, Output, Expected>(
  { platform, limits }: CellSetting<Input, Output, Expected>,
  output: Output,
): string {
  let text: string;
  try {
    text = JSON.stringify(plainJson(output, "$.output"));
  } catch (error) {
    throw new OutputError("INVALID_OUTPUT", error instanceof Error ? error.message : String(error));
  }
  const bytes = platform.byteLength(text);
  if (bytes > limits.maxItemBytes) {
    throw new OutputError(
      "OUTPUT_TOO_LARGE",
      `the output has ${bytes.toLocaleString("en-US")} bytes; the server accepts at most ${limits.maxItemBytes.toLocaleString("en-US")}`,
    );
  }
  return text;
}

async function judge<Input, Output, Expected>(
  { options }: CellSetting<Input, Output, Expected>,
  {
    item: message,
    output,
    repetition,
  }: { readonly item: Item; readonly output: Output; readonly repetition: number },
  signal: AbortSignal,
): Promise<ScoreInit[]> {
  const newSubject = () => {
    const item = readItem<Input, Expected>(message);
    const { input, expectedOutput } = item;
    return { input, output: structuredClone(output), expectedOutput, item, repetition };
  };
  const scores = await Promise.all(
    Object.entries(options.evaluators ?? {}).map(([name, evaluator]) =>
      evaluate(name, evaluator, newSubject, { timeoutMs: options.timeoutMs, signal }),
    ),
  );
  return scores.filter((score) => score !== undefined);
}

/** Converts usage to a message of the contract. @throws RangeError for an invalid amount, to the task that reported it */
function usageToWire({ inputTokens, outputTokens, cost, currencyCode = "" }: TaskUsage): UsageInit {
  for (const [name, amount] of Object.entries({ inputTokens, outputTokens, cost })) {
    const isCount = name !== "cost";
    if (
      amount === undefined ||
      (amount >= 0 && (isCount ? Number.isSafeInteger(amount) : Number.isFinite(amount)))
    ) {
      continue;
    }
    throw new RangeError(
      `usage.${name} must be a ${isCount ? "whole " : ""}number of 0 or more, not ${amount}`,
    );
  }
  if (!/^([A-Z]{3})?$/.test(currencyCode))
    throw new RangeError(`usage.currencyCode must be an ISO 4217 code, not ${currencyCode}`);
  return {
    ...(inputTokens !== undefined && { inputTokens: BigInt(inputTokens) }),
    ...(outputTokens !== undefined && { outputTokens: BigInt(outputTokens) }),
    ...(cost !== undefined && { cost }),
    currencyCode,
  };
}
