import type { Instant } from "../db/instant.ts";
import { failure } from "../failure.ts";
import { Faults } from "../faults.ts";
import type { RunHandle } from "../handles.ts";
import type { Item } from "../items/item.ts";
import { type RunCell, resultId } from "../runs/run.ts";
import type { RecordedScore, Score } from "./score.ts";

/** Why an item has no output. */
export interface ResultError {
  readonly code: string;
  readonly message: string;
  readonly stack: string;
}

/** Returns the error of a purged item: its code, which groups it with others, without texts. */
export function erasedError({ code }: ResultError): ResultError {
  return { code, message: "", stack: "" };
}

/** The cost of a result. Undefined means unknown, which is not 0. */
export interface Usage {
  readonly inputTokens: bigint | undefined;
  readonly outputTokens: bigint | undefined;
  /** Finite and not negative. */
  readonly cost: number | undefined;
  /** A code of ISO 4217; empty means USD. */
  readonly currencyCode: string;
}

/** Whether a result carries its item. */
export type ResultView = "basic" | "with_item";

/** Keeps results by their outcome. */
export type OutcomeFilter = "any" | "succeeded" | "failed";

/** The fields of every result, sent or read. */
interface ResultContent extends RunCell {
  /** JSON as sent. Undefined exactly where `error` is set. */
  readonly output: string | undefined;
  readonly error: ResultError | undefined;
  readonly startTime: Instant | undefined;
  readonly completeTime: Instant | undefined;
  readonly latencyMicros: bigint | undefined;
  readonly retryCount: number;
  readonly traceId: string;
  readonly usage: Usage | undefined;
}

/** A result as a caller sent it, validated. */
export interface NewResult extends ResultContent {
  /** Equal for identical results, scores aside. 32 bytes. */
  readonly fingerprint: Uint8Array;
  readonly scores: readonly Score[];
}

/** A result as it was recorded. */
export interface Result extends ResultContent {
  readonly resultId: string;
  readonly runId: RunHandle;
  readonly itemVersion: bigint;
  readonly attempt: number;
  readonly sequence: bigint;
  readonly scores: readonly RecordedScore[];
  readonly createTime: Instant;
  /** Empty unless the result was carried from another run. */
  readonly carriedFromResultId: string;
  /** True once another result took its cell. */
  readonly replaced: boolean;
  /** Set only in the view `with_item`. */
  readonly item: Item | undefined;
}

/** The facts about the current result of a cell that recording another one needs. */
export interface CurrentResult {
  readonly number: bigint;
  readonly sequence: bigint;
  readonly attempt: number;
  readonly succeeded: boolean;
  readonly carried: boolean;
  readonly fingerprint: Uint8Array;
  /** Bytes of its output or error. */
  readonly bytes: number;
}

/** The effect that a sent result has. */
export type ResultDecision =
  | { readonly kind: "created" }
  | { readonly kind: "replaced"; readonly current: CurrentResult }
  | { readonly kind: "unchanged"; readonly current: CurrentResult };

const created: ResultDecision = { kind: "created" };

/** The effects of recording, counted in results or in scores. */
export interface RecordedCounts {
  readonly created: number;
  readonly replaced: number;
  readonly unchanged: number;
  /** Results that were there already and got other scores. Always 0 where scores are counted. */
  readonly rescored: number;
}

/** A request to record, and the present state of its cells. */
export interface ResultsToDecide {
  readonly results: readonly NewResult[];
  /** The current result of each cell, at the position of the new one. */
  readonly current: readonly (CurrentResult | undefined)[];
  readonly overwrite: boolean;
  /** The ids of those items that were purged. */
  readonly purged: ReadonlySet<string>;
}

/**
 * Decides about each result of a request: a success is final, an error may be replaced by anything, and sending an identical
 * result again is idempotent. Purged items no longer take results or scores.
 *
 * @throws Failure RESULT_FINAL if a success would be replaced without `overwrite`; ITEM_PURGED
 */
export function decideResults(
  run: { readonly runId: RunHandle; readonly resultIdPrefix: string },
  { results, current, overwrite, purged }: ResultsToDecide,
): ResultDecision[] {
  const faults = new Faults();
  const decisions = results.map((result, index): ResultDecision => {
    const known = current[index];
    const isSame = known !== undefined && Buffer.compare(known.fingerprint, result.fingerprint) === 0;
    const isPurged = purged.has(result.itemId) && !(isSame && result.scores.length === 0);
    if (isPurged) faults.add("ITEM_PURGED", { index, item_id: result.itemId }, `results[${index}]`);
    if (known === undefined) return created;
    if (isSame) return { kind: "unchanged", current: known };
    if (!isPurged && known.succeeded && !overwrite) {
      const facts = {
        run_id: run.runId,
        index,
        item_id: result.itemId,
        repetition: result.repetition,
        result_id: resultId(run.resultIdPrefix, known.number),
      };
      faults.add("RESULT_FINAL", facts, `results[${index}]`);
    }
    return { kind: "replaced", current: known };
  });
  faults.throwIfAny();
  return decisions;
}

/**
 * Checks that a run covers the cells of all results. `itemVersions` has the items among them that it covers; `field` is the
 * field of the request that holds the results.
 *
 * @throws Failure ITEM_NOT_IN_RUN
 */
export function requireCovered(
  run: { readonly runId: RunHandle; readonly repetitions: number },
  results: readonly RunCell[],
  itemVersions: ReadonlyMap<string, bigint>,
  field = "results",
): void {
  const faults = new Faults();
  results.forEach(({ itemId, repetition }, index) => {
    if (repetition >= 1 && repetition <= run.repetitions && itemVersions.has(itemId)) return;
    const facts = { run_id: run.runId, index, item_id: itemId, repetition };
    faults.add("ITEM_NOT_IN_RUN", facts, `${field}[${index}]`);
  });
  faults.throwIfAny();
}

/** Returns the failure for an unknown result_id. */
export function resultNotFound(id: string) {
  return failure("RESULT_NOT_FOUND", { result_id: id });
}
