import type { Instant } from "../db/instant.ts";
import type { AnnotatorKind, RecordedScore, Score } from "./score.ts";

/** A score as stored in JSON. Unset fields are left out; times are microseconds since 1970. */
interface StoredScore {
  name: string;
  value?: number | undefined;
  label?: string | undefined;
  explanation?: string | undefined;
  error?: string | undefined;
  annotator_kind?: AnnotatorKind | undefined;
  metadata?: string | undefined;
  trace_id?: string | undefined;
  start_time?: string | undefined;
  complete_time?: string | undefined;
  create_time: string;
}

/** The columns of run_results that hold scores. */
export interface ScoreColumns {
  /** All scores, as JSON. */
  readonly scores: string | undefined;
  /** The names of the scores that are not errors. */
  readonly judged: readonly string[] | undefined;
  /** Their values, undefined where there is only a label. */
  readonly judgedValues: readonly (number | undefined)[] | undefined;
}

/** Returns the columns for the scores of a result. */
export function scoresToColumns(scores: readonly RecordedScore[]): ScoreColumns {
  return columnsOf(scores, (score) => toStored(score, score.createTime));
}

/** Returns the columns for scores that are recorded at `createTime`. */
export function newScoresToColumns(scores: readonly Score[], createTime: Instant): ScoreColumns {
  return columnsOf(scores, (score) => toStored(score, createTime));
}

function columnsOf<S extends Score>(scores: readonly S[], store: (score: S) => StoredScore): ScoreColumns {
  if (scores.length === 0) return { scores: undefined, judged: undefined, judgedValues: undefined };
  const judged = scores.filter((score) => score.error === "");
  return {
    scores: JSON.stringify(scores.map(store)),
    judged: judged.length === 0 ? undefined : judged.map((score) => score.name),
    judgedValues: judged.length === 0 ? undefined : judged.map((score) => score.value),
  };
}

/** Reads the column `scores` of run_results. */
export function scoresFromColumn(scores: string | undefined): readonly RecordedScore[] {
  if (scores === undefined) return [];
  const stored: StoredScore[] = JSON.parse(scores);
  return stored.map(fromStored);
}

/** Returns one score as stored in replaced_scores. */
export function scoreToColumn(score: RecordedScore): string {
  return JSON.stringify(toStored(score, score.createTime));
}

/** Reads one score of replaced_scores. */
export function scoreFromColumn(score: string): RecordedScore {
  return fromStored(JSON.parse(score));
}

function toStored(score: Score, createTime: Instant): StoredScore {
  return {
    name: score.name,
    value: score.value,
    label: score.label || undefined,
    explanation: score.explanation || undefined,
    error: score.error || undefined,
    annotator_kind: score.annotatorKind,
    metadata: score.metadata,
    trace_id: score.traceId || undefined,
    start_time: score.startTime?.toString(),
    complete_time: score.completeTime?.toString(),
    create_time: createTime.toString(),
  };
}

function fromStored(stored: StoredScore): RecordedScore {
  return {
    name: stored.name,
    value: stored.value,
    label: stored.label ?? "",
    explanation: stored.explanation ?? "",
    error: stored.error ?? "",
    annotatorKind: stored.annotator_kind,
    metadata: stored.metadata,
    traceId: stored.trace_id ?? "",
    startTime: stored.start_time === undefined ? undefined : BigInt(stored.start_time),
    completeTime: stored.complete_time === undefined ? undefined : BigInt(stored.complete_time),
    createTime: BigInt(stored.create_time),
  };
}
