import type { JsonObject } from "@bufbuild/protobuf";
import type { ReadItem } from "../reading/read-item.ts";

/** What a result cost. Left out means unknown, which is not 0. */
export interface TaskUsage {
  readonly inputTokens?: number;
  readonly outputTokens?: number;
  readonly cost?: number;
  /** ISO 4217. USD unless set. */
  readonly currencyCode?: string;
}

/** What a task knows besides its item. */
export interface TaskContext {
  /** Which repetition, from 1. */
  readonly repetition: number;
  /** Which attempt at it, from 1. */
  readonly attempt: number;
  /** Aborted when the attempt has run out of time, and when the experiment ends early. Hand it on to whatever you call. */
  readonly signal: AbortSignal;
  /** The run. Empty in a dry run. */
  readonly runId: string;
  /** Records what the attempt cost, and where it is traced. */
  report(about: { readonly usage?: TaskUsage; readonly traceId?: string }): void;
}

/**
 * What is tried: gives the output for an item, any JSON, `null` included. Throwing is a failed attempt. An error with the
 * status 429 is a rate limit: it holds back all attempts for as long as its `retry-after` says.
 */
export type Task<Input, Output, Expected> = (
  item: ReadItem<Input, Expected>,
  context: TaskContext,
) => Output | Promise<Output>;

/** What an evaluator judges. */
export interface Subject<Input, Output, Expected> {
  readonly input: Input;
  readonly output: Output;
  /** Undefined if the item has no reference answer. */
  readonly expectedOutput: Expected | undefined;
  readonly item: ReadItem<Input, Expected>;
  readonly repetition: number;
  readonly signal: AbortSignal;
}

/** A judgement in full. */
export interface Judgement {
  /** True counts as 1, false as 0. */
  readonly value?: number | boolean;
  readonly label?: string;
  readonly explanation?: string;
  readonly metadata?: JsonObject;
}

/**
 * A judgement: a number, a truth value (1 or 0), a label, or all of it. `null` means that there is nothing to judge; then
 * no score is recorded.
 */
export type Verdict = number | boolean | string | null | Judgement;

export type Evaluate<Input, Output, Expected> = (
  subject: Subject<Input, Output, Expected>,
) => Verdict | Promise<Verdict>;

/** Judges outputs: a function, or one with a word on who judges (`code` unless said). Throwing records an error as the score. */
export type Evaluator<Input, Output, Expected> =
  | Evaluate<Input, Output, Expected>
  | { readonly evaluate: Evaluate<Input, Output, Expected>; readonly kind: "code" | "llm" | "human" };

export const defaultConcurrency = 10;

/** How the cells of a run are worked on. */
export interface WorkOptions<Input, Output, Expected> {
  readonly task: Task<Input, Output, Expected>;
  /** Evaluators by the names of their scores. */
  readonly evaluators?: Readonly<Record<string, Evaluator<Input, Output, Expected>>>;
  /** How many items to work on at a time. 10 unless set. */
  readonly concurrency?: number;
  /** How long an attempt, and each evaluator, may take, in milliseconds. Any time unless set. */
  readonly timeoutMs?: number;
  /** How often an attempt that failed is repeated, after pauses. 2 unless set. Rate limits do not count. */
  readonly retries?: number;
  /** Whether a failure is worth another attempt. Every one is unless this says otherwise. */
  readonly shouldRetry?: (error: unknown) => boolean;
  /** The most attempts to start in a minute. Any number unless set. */
  readonly rateLimit?: { readonly perMinute: number };
}
