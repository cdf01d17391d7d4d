import {
  AnnotatorKind as WireAnnotatorKind,
  type Score as WireScore,
} from "../../../gen/itembank/v1/result_pb.js";
import { Failure, failureAt, invalidField } from "../../failure.ts";
import { failureWithin } from "../../faults.ts";
import { limits } from "../../limits.ts";
import { grouped } from "../../quantities.ts";
import type { AnnotatorKind, RecordedScore, Score } from "../../results/score.ts";
import { boundedText, enumFromWire } from "../../rpc/request-wire.ts";
import { instantFromWire, timestampToWire } from "../../rpc/time-wire.ts";
import { metadataFromWire } from "../messages/metadata-wire.ts";

const maxScoreNameLength = 128;
const maxLabelLength = 256;
const maxTraceIdLength = 128;
const maxTextBytes = 16 * 1024;
const maxMetadataBytes = 16 * 1024;

/**
 * Reads the scores of one result.
 *
 * @throws Failure INVALID_FIELD, INVALID_JSON, LIMIT_EXCEEDED, with paths that begin at the result
 */
export function scoresFromWire(scores: readonly WireScore[]): Score[] {
  if (scores.length > limits.maxScoresPerResult) {
    const maximum = limits.maxScoresPerResult;
    const facts = { limit: "max_scores_per_result", maximum, received: scores.length };
    throw failureAt("LIMIT_EXCEEDED", facts, "scores");
  }
  const names = new Set<string>();
  return scores.map((score, index) => {
    try {
      if (names.has(score.name))
        throw invalidField("name", "must not be the name of another score of the result");
      names.add(score.name);
      return scoreFromWire(score);
    } catch (error) {
      throw error instanceof Failure ? failureWithin(`scores[${index}]`, error) : error;
    }
  });
}

/** Reads one score. @throws Failure INVALID_FIELD, INVALID_JSON, with paths that begin at the score */
export function scoreFromWire(score: WireScore): Score {
  const { value, label, error } = score;
  if (error !== "" && (value !== undefined || label !== "")) {
    throw invalidField("error", "excludes value and label");
  }
  if (value === undefined && label === "" && error === "") {
    throw invalidField("", "must have a value, a label or an error");
  }
  if (value !== undefined && !Number.isFinite(value)) throw invalidField("value", "must be finite");
  const startTime = score.startTime && instantFromWire("start_time", score.startTime);
  const completeTime = score.completeTime && instantFromWire("complete_time", score.completeTime);
  requireOrder("complete_time", startTime, completeTime);
  return {
    name: boundedText("name", score.name, 1, maxScoreNameLength),
    value,
    label: boundedText("label", label, 0, maxLabelLength),
    explanation: boundedBytes("explanation", score.explanation, maxTextBytes),
    error: boundedBytes("error", error, maxTextBytes),
    annotatorKind: enumFromWire("annotator_kind", score.annotatorKind, annotatorKinds),
    metadata: metadataFromWire("metadata_json", score.metadataJson, maxMetadataBytes),
    traceId: boundedText("trace_id", score.traceId, 0, maxTraceIdLength),
    startTime,
    completeTime,
  };
}

/** Checks that the end at `field` is not before the start. @throws Failure INVALID_FIELD */
export function requireOrder(field: string, start: bigint | undefined, end: bigint | undefined): void {
  if (start !== undefined && end !== undefined && end < start) {
    throw invalidField(field, "must not be before start_time");
  }
}

/** Returns a text of at most `maximum` bytes of UTF-8. @throws Failure INVALID_FIELD if it is longer */
export function boundedBytes(field: string, text: string, maximum: number): string {
  // No text has more than three bytes per UTF-16 unit.
  const bytes = text.length * 3 > maximum ? Buffer.byteLength(text) : 0;
  if (bytes > maximum)
    throw invalidField(field, `has ${grouped(bytes)} bytes; at most ${grouped(maximum)} are allowed`);
  return text;
}

/** Converts a score to its wire message, an object literal as in `resultToWire`. */
export function scoreToWire(score: RecordedScore): WireScore {
  const wire: WireScore = {
    $typeName: "itembank.v1.Score",
    name: score.name,
    label: score.label,
    explanation: score.explanation,
    error: score.error,
    annotatorKind:
      score.annotatorKind === undefined ? WireAnnotatorKind.UNSPECIFIED : wireKinds[score.annotatorKind],
    metadataJson: score.metadata ?? "",
    traceId: score.traceId,
    createTime: timestampToWire(score.createTime),
  };
  if (score.value !== undefined) wire.value = score.value;
  if (score.startTime !== undefined) wire.startTime = timestampToWire(score.startTime);
  if (score.completeTime !== undefined) wire.completeTime = timestampToWire(score.completeTime);
  return wire;
}

const annotatorKinds: Readonly<Record<WireAnnotatorKind, AnnotatorKind | undefined>> = {
  [WireAnnotatorKind.UNSPECIFIED]: undefined,
  [WireAnnotatorKind.LLM]: "llm",
  [WireAnnotatorKind.CODE]: "code",
  [WireAnnotatorKind.HUMAN]: "human",
};

const wireKinds: Readonly<Record<AnnotatorKind, WireAnnotatorKind>> = {
  llm: WireAnnotatorKind.LLM,
  code: WireAnnotatorKind.CODE,
  human: WireAnnotatorKind.HUMAN,
};
