import { isDeepStrictEqual } from "node:util";
import type { Instant } from "../db/instant.ts";
import { failure } from "../failure.ts";
import type { DatasetHandle, RunHandle } from "../handles.ts";
import { newId } from "../ids.ts";
import { isSameJson } from "../json/json-object.ts";

/** The state of a run. It only moves forward; the last three are final. */
export type RunState = "pending" | "running" | "completed" | "failed" | "cancelled";

/** The channel that notifies of changed runs, by run_id. */
export const runsChannel = "runs";

/** The mutable description of a run. */
export interface RunDefinition {
  readonly name: string;
  readonly description: string;
  readonly targetType: string;
  readonly targetId: string;
  /** A JSON object as it was sent; undefined means none. */
  readonly metadata: string | undefined;
  /** Distinct, in ascending order. */
  readonly labels: readonly string[];
}

/** Changes to a run: members that are present replace the present values, even by undefined. */
export type RunPatch = Partial<RunDefinition>;

/** The arguments from which a caller creates a run. */
export interface NewRun extends RunDefinition {
  /** In ascending byte order. Empty covers all items. */
  readonly splits: readonly string[];
  readonly repetitions: number;
}

/** The number of cells of a run, by content. */
export interface RunCounts {
  readonly itemCount: bigint;
  /** Items times repetitions. */
  readonly expected: bigint;
  readonly succeeded: bigint;
  readonly failed: bigint;
  readonly carried: bigint;
}

/** One cell in the grid of a run. */
export interface RunCell {
  readonly itemId: string;
  /** From 1. */
  readonly repetition: number;
}

/** The identity of a run, and its immutable facts. */
export interface RunScope {
  readonly runId: RunHandle;
  readonly datasetId: DatasetHandle;
  readonly datasetVersion: bigint;
  readonly splits: readonly string[];
  readonly repetitions: number;
  /** The number of items that it covers. */
  readonly itemCount: bigint;
  /** Another name of the run, see migrations/0002_runs.sql. */
  readonly runNumber: bigint;
  /** The prefix of the ids of its results. */
  readonly resultIdPrefix: string;
}

/** One experiment on one version of a dataset. */
export interface Run extends NewRun, RunScope {
  readonly state: RunState;
  readonly failureMessage: string;
  readonly counts: RunCounts;
  /** The last sequence number assigned to a change of its results; 0 before the first. */
  readonly sequence: bigint;
  readonly etag: string;
  readonly author: string;
  readonly createTime: Instant;
  readonly startTime: Instant | undefined;
  readonly completeTime: Instant | undefined;
  readonly updateTime: Instant;
}

/** The last cell of a run that was leased to a worker, in the order of repetition and item_id. */
export interface DispatchPosition {
  /** The repetition of the last leased cell; one beyond the last repetition if all cells were leased. */
  readonly repetition: number;
  /** Empty before the first item. */
  readonly itemId: string;
  /** The last number assigned to a lease. */
  readonly leaseNumber: bigint;
}

/** A run under its row lock, with the facts needed to record results, lease cells and end it. */
export interface LockedRun extends RunScope, Pick<Run, "state" | "counts" | "sequence"> {
  /** Undefined until a worker joins. */
  readonly dispatchPosition: DispatchPosition | undefined;
  /** The time under the lock. */
  readonly time: Instant;
}

/** The terms of FinishRun. */
export interface FinishTerms {
  /** 0 to 1. */
  readonly minSuccessRatio: number;
  /** Empty unless the caller declares the run failed. */
  readonly failureMessage: string;
}

/** Maximum characters of a run's name. */
export const maxRunNameLength = 128;

/** Returns the definition of a run without its other members. */
export function runDefinitionOf({
  name,
  description,
  targetType,
  targetId,
  metadata,
  labels,
}: RunDefinition): RunDefinition {
  return { name, description, targetType, targetId, metadata, labels };
}

/** Returns whether two definitions are equal. Metadata is compared as JSON, however it is spelled. */
export function isSameRunDefinition(one: RunDefinition, other: RunDefinition): boolean {
  const withoutMetadata = (definition: RunDefinition) => ({
    ...runDefinitionOf(definition),
    metadata: undefined,
  });
  return (
    isSameJson(one.metadata, other.metadata) &&
    isDeepStrictEqual(withoutMetadata(one), withoutMetadata(other))
  );
}

/** Returns the number of cells without any result: the expected cells that neither succeeded nor failed. */
export function missingCells({ expected, succeeded, failed }: RunCounts): bigint {
  return expected - succeeded - failed;
}

export function hasEnded(state: RunState): state is "completed" | "failed" | "cancelled" {
  return state === "completed" || state === "failed" || state === "cancelled";
}

/**
 * Returns the state in which FinishRun ends a run. It completes if there is a success, and the share of expected cells that are
 * successes is at least `minSuccessRatio`; missing cells count against it. A failure message fails it in any case.
 */
export function finishVerdict(
  { expected, succeeded }: RunCounts,
  { minSuccessRatio, failureMessage }: FinishTerms,
): "completed" | "failed" {
  if (failureMessage !== "" || succeeded === 0n) return "failed";
  return Number(succeeded) / Number(expected) < minSuccessRatio ? "failed" : "completed";
}

/** Fails if the run has ended. @throws Failure RUN_ENDED */
export function requireOpen({ runId, state }: Pick<Run, "runId" | "state">): void {
  if (hasEnded(state)) throw runEnded(runId, state);
}

/** Returns the failure of a call that is refused because the run is in a final state. */
export function runEnded(runId: string, state: RunState) {
  return failure("RUN_ENDED", { run_id: runId, state: `STATE_${state.toUpperCase()}` });
}

/** Returns the default name of a run, such as `gpt-5 on capitals`, cut to 128 characters. */
export function defaultName(datasetName: string, { targetId }: Pick<NewRun, "targetId">): string {
  const name = targetId === "" ? datasetName : `${targetId} on ${datasetName}`;
  return [...name].slice(0, maxRunNameLength).join("");
}

/**
 * Returns a new prefix of the ids of a run's results, 22 characters: `rslt`, 10 of time, 8 random ones. So the id of a result
 * identifies its run without an index over all results. 40 random bits per millisecond, and a constraint, keep prefixes unique.
 */
export function newResultIdPrefix(): string {
  return newId("rslt").slice(0, resultIdPrefixLength);
}

const resultIdPrefixLength = 22;

/** Returns the id of the result with this number in a run: the prefix followed by eight digits in base 32. */
export function resultId(prefix: string, number: bigint | number): string {
  return prefix + number.toString(32).padStart(8, "0");
}

/** Splits a result_id into its parts. Returns undefined if the text is not a result_id. */
export function resultIdParts(id: string): { readonly prefix: string; readonly number: bigint } | undefined {
  if (!/^rslt[0-9a-z]{18}[0-9a-v]{8}$/.test(id)) return undefined;
  return {
    prefix: id.slice(0, resultIdPrefixLength),
    number: BigInt(Number.parseInt(id.slice(resultIdPrefixLength), 32)),
  };
}
