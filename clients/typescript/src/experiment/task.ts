import type { ReadItem } from "../reading/read-item.ts";
import type { OptionNames } from "../rpc/option-names.ts";
import type { Metadata } from "../upsert/metadata.ts";

/** The usage of an attempt. Absent values are unknown, which is not 0. */
export interface TaskUsage {
  readonly inputTokens?: number;
  readonly outputTokens?: number;
  /** In `currencyCode`. */
  readonly cost?: number;
  /** ISO 4217. USD by default. */
  readonly currencyCode?: string;
}

/** The names of the members of `TaskContext.report`. */
export const reportNames = {
  usage: {
    inputTokens: true,
    outputTokens: true,
    cost: true,
    currencyCode: true,
  } satisfies OptionNames<TaskUsage>,
  traceId: true,
} as const;

/** The context of a task besides its item. */
export interface TaskContext {
  /** The repetition, from 1. */
  readonly repetition: number;
  /** The attempt at it, from 1. */
  readonly attempt: number;
  /** Aborts when the attempt times out, and when the experiment ends early. Pass it to the calls that the task makes. */
  readonly signal: AbortSignal;
  /** The run. Empty in a dry run. */
  readonly runId: string;
  /** Records the usage of the attempt, and its trace. */
  report(about: { readonly usage?: TaskUsage; readonly traceId?: string }): void;
}

/**
 * The subject of an experiment. Returns the output for an item, any JSON, `null` included. Throwing fails the attempt. An error
 * with the status 429 is a rate limit: it holds back all attempts for the time in its `retry-after`. Every attempt gets an item of
 * its own, so that a task may change it.
 */
export type Task<Input, Output, Expected> = (
  item: ReadItem<Input, Expected>,
  context: TaskContext,
) => Output | Promise<Output>;

/** An output for an evaluator to score. Every evaluator gets an item of its own, and a structured clone of the output. */
export interface Subject<Input, Output, Expected> {
  readonly input: Input;
  readonly output: Output;
  /** Undefined if the item has no reference answer. */
  readonly expectedOutput: Expected | undefined;
  readonly item: ReadItem<Input, Expected>;
  readonly repetition: number;
  readonly signal: AbortSignal;
}

/** A full judgement of an output. */
export interface Judgement {
  /** True counts as 1, false as 0. */
  readonly value?: number | boolean;
  readonly label?: string;
  readonly explanation?: string;
  readonly metadata?: Metadata;
}

/** The names of `Judgement`. */
export const judgementNames: OptionNames<Judgement> = {
  value: true,
  label: true,
  explanation: true,
  metadata: true,
};

/**
 * The result of an evaluator: a number, a boolean (1 or 0), a label, or a full judgement. `null` means that there is nothing to
 * judge, so no score is recorded.
 */
export type EvaluatorOutput = number | boolean | string | null | Judgement;

/** Scores an output. */
export type Evaluate<Input, Output, Expected> = (
  subject: Subject<Input, Output, Expected>,
) => EvaluatorOutput | Promise<EvaluatorOutput>;

/** Scores outputs: a function, or one with its kind of annotator (`code` by default). Throwing records an error as the score. */
export type Evaluator<Input, Output, Expected> =
  | Evaluate<Input, Output, Expected>
  | { readonly evaluate: Evaluate<Input, Output, Expected>; readonly kind: "code" | "llm" | "human" };

/** The default of `WorkOptions.concurrency`. */
export const defaultConcurrency = 10;

/** How to work on the cells of a run. */
export interface WorkOptions<Input, Output, Expected> {
  readonly task: Task<Input, Output, Expected>;
  /** Evaluators by the names of their scores. */
  readonly evaluators?: Readonly<Record<string, Evaluator<Input, Output, Expected>>>;
  /** The most cells to work on at a time. 10 by default. */
  readonly concurrency?: number;
  /** The time limit of an attempt, and of each evaluator, in milliseconds. None by default. */
  readonly timeoutMs?: number;
  /** How often to retry a failed attempt, after pauses. 2 by default. Rate limits do not count. */
  readonly retries?: number;
  /** Whether to retry after an error. By default, after every one. */
  readonly shouldRetry?: (error: unknown) => boolean;
  /** The most attempts to start in a minute, evenly spaced. Unlimited by default. */
  readonly rateLimit?: { readonly perMinute: number };
}

/** The names of `WorkOptions`. */
export const workOptionNames: OptionNames<WorkOptions<never, never, never>> = {
  task: true,
  evaluators: [{ evaluate: true, kind: true }],
  concurrency: true,
  timeoutMs: true,
  retries: true,
  shouldRetry: true,
  rateLimit: { perMinute: true },
};
