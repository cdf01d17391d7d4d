import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { AnnotatorKind, type ScoreSchema } from "../../gen/itembank/v1/result_pb.js";
import { objectText } from "../json/object-text.ts";
import { knownOptions } from "../rpc/option-names.ts";
import { attempt } from "./attempt.ts";
import { describeFailure, shortened } from "./error-text.ts";
import {
  type Evaluator,
  type EvaluatorOutput,
  type Judgement,
  judgementNames,
  type Subject,
} from "./task.ts";

/** A Score of the contract, as plain data. */
export type ScoreInit = MessageInitShape<typeof ScoreSchema>;

/** The kinds of annotators that an evaluator may be. */
export const evaluatorKinds = {
  code: AnnotatorKind.CODE,
  llm: AnnotatorKind.LLM,
  human: AnnotatorKind.HUMAN,
};

/** The limits of the contract: bytes of an explanation or error, and characters of a label. */
const maxTextBytes = 16 * 1024;
const maxLabelLength = 256;

/**
 * Runs an evaluator on a subject of its own. Any failure becomes the error of the score, so that it is counted and visible.
 *
 * @returns undefined if there is nothing to judge
 * @throws the reason of `signal`, and nothing else
 */
export async function evaluate<Input, Output, Expected>(
  name: string,
  evaluator: Evaluator<Input, Output, Expected>,
  newSubject: () => Omit<Subject<Input, Output, Expected>, "signal">,
  { timeoutMs, signal }: { readonly timeoutMs: number | undefined; readonly signal: AbortSignal },
): Promise<ScoreInit | undefined> {
  const [run, kind] =
    typeof evaluator === "function" ? [evaluator, "code" as const] : [evaluator.evaluate, evaluator.kind];
  const startTime = timestampNow();
  const score = (judged: ScoreInit): ScoreInit => ({
    ...judged,
    name,
    annotatorKind: evaluatorKinds[kind],
    startTime,
    completeTime: timestampNow(),
  });
  try {
    const verdict = await attempt((own) => run({ ...newSubject(), signal: own }), timeoutMs, signal);
    return verdict === null ? undefined : score(judge(verdict));
  } catch (error) {
    signal.throwIfAborted();
    return score({ error: shortened(describeFailure(error), maxTextBytes) || "failed without a message" });
  }
}

/** Converts a verdict to a score. @throws Error for an invalid verdict */
function judge(verdict: EvaluatorOutput): ScoreInit {
  const judgement: Judgement =
    typeof verdict === "string"
      ? { label: verdict }
      : typeof verdict === "object" && verdict !== null
        ? knownOptions("the judgement", verdict, judgementNames)
        : { value: verdict as number | boolean };
  const { value, label, explanation, metadata } = judgement;
  const number = typeof value === "boolean" ? Number(value) : value;
  if (number === undefined && label === undefined) {
    throw new Error(
      "the evaluator returned neither a value nor a label; return null if there is nothing to judge",
    );
  }
  if (number !== undefined && (typeof number !== "number" || !Number.isFinite(number))) {
    throw new Error(`the evaluator returned ${String(number)}, which is not a finite number`);
  }
  if (label !== undefined && (typeof label !== "string" || label === "" || label.length > maxLabelLength)) {
    throw new Error(
      `the evaluator returned a label that is not a string of 1 to ${maxLabelLength} characters`,
    );
  }
  return {
    ...(number !== undefined && { value: number }),
    ...(label !== undefined && { label: label.toWellFormed() }),
    ...(explanation !== undefined && { explanation: shortened(String(explanation), maxTextBytes) }),
    ...(metadata !== undefined && { metadataJson: objectText(metadata, "$.metadata") }),
  };
}
