import type { Instant } from "../db/instant.ts";
import { failure } from "../failure.ts";
import { isSameJson } from "../json/json-object.ts";
import { limits } from "../limits.ts";

/** The kind of judge. Undefined if not given. */
export type AnnotatorKind = "llm" | "code" | "human";

/** One judgement of a result. Empty texts mean unset. */
export interface Score {
  readonly name: string;
  /** Finite. */
  readonly value: number | undefined;
  readonly label: string;
  readonly explanation: string;
  /** Why there is no judgement: then there is neither value nor label. */
  readonly error: string;
  readonly annotatorKind: AnnotatorKind | undefined;
  /** A JSON object as it was sent; undefined means none. */
  readonly metadata: string | undefined;
  readonly traceId: string;
  readonly startTime: Instant | undefined;
  readonly completeTime: Instant | undefined;
}

/** A score as it was recorded. */
export interface RecordedScore extends Score {
  readonly createTime: Instant;
}

/** A change to the scores of a result. */
export interface ScoreChange {
  /** All scores of the result after the change: the ones it had, in their order, then new ones. */
  readonly scores: readonly RecordedScore[];
  /** The earlier scores that were replaced by another of the same name. */
  readonly replaced: readonly RecordedScore[];
  readonly created: number;
  readonly unchanged: number;
}

/**
 * Adds scores to those of a result. A score replaces the one of its name; an identical score, whenever it was recorded, changes
 * nothing.
 */
export function applyScores(
  current: readonly RecordedScore[],
  added: readonly Score[],
  time: Instant,
): ScoreChange {
  const byName = new Map(current.map((score) => [score.name, score]));
  const replaced: RecordedScore[] = [];
  let created = 0;
  let unchanged = 0;
  for (const score of added) {
    const known = byName.get(score.name);
    if (known !== undefined && isSameScore(known, score)) {
      unchanged++;
      continue;
    }
    if (known === undefined) created++;
    else replaced.push(known);
    byName.set(score.name, { ...score, createTime: time });
  }
  return { scores: [...byName.values()], replaced, created, unchanged };
}

/** The error text of a failed score after its item was purged: an empty text would turn it into a judgement. */
const purgedError = "purged";

/** Returns the score of a purged item: value, label and times are kept, texts and metadata removed. */
export function erasedScore(score: RecordedScore): RecordedScore {
  return { ...score, explanation: "", error: score.error && purgedError, metadata: undefined };
}

/** Whether `change` leaves the scores as they were. */
export function changesNothing({ created, replaced }: ScoreChange): boolean {
  return created === 0 && replaced.length === 0;
}

/**
 * Checks that a result whose own payload has `bytes` can carry all of its scores.
 *
 * @throws Failure LIMIT_EXCEEDED
 */
export function requireScoresFit(scores: readonly Score[], bytes: number): void {
  if (scores.length > limits.maxScoresPerResult) {
    throw failure("LIMIT_EXCEEDED", {
      limit: "max_scores_per_result",
      maximum: limits.maxScoresPerResult,
      received: scores.length,
    });
  }
  const received = scores.reduce((sum, score) => sum + scoreBytes(score), bytes);
  if (received > limits.maxResultBytes) {
    throw failure("LIMIT_EXCEEDED", { limit: "max_result_bytes", maximum: limits.maxResultBytes, received });
  }
}

/** Returns the bytes of the texts of a score. Its other fields are small and bounded. */
function scoreBytes({ name, label, explanation, error, metadata = "" }: Score): number {
  return [name, label, explanation, error, metadata].reduce((sum, text) => sum + Buffer.byteLength(text), 0);
}

function isSameScore(one: Score, other: Score): boolean {
  return (
    one.value === other.value &&
    one.label === other.label &&
    one.explanation === other.explanation &&
    one.error === other.error &&
    one.annotatorKind === other.annotatorKind &&
    one.traceId === other.traceId &&
    one.startTime === other.startTime &&
    one.completeTime === other.completeTime &&
    isSameJson(one.metadata, other.metadata)
  );
}
