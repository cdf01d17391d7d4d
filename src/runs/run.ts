import { isDeepStrictEqual } from "node:util";
import type { Instant } from "../db/instant.ts";
import { failure } from "../failure.ts";
import type { DatasetHandle, RunHandle } from "../handles.ts";
import { newId } from "../ids.ts";
import { isSameJson } from "../json/json-object.ts";

/** Where a run stands. It moves forward only; the last three are final. */
export type RunState = "pending" | "running" | "completed" | "failed" | "cancelled";

/** Where runs are told of by their ids that have changed. */
export const runsChannel = "runs";

/** What a run says about itself, and may say otherwise later. */
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

/** What to change about a run: members that are there are taken over, also those that are undefined. */
export type RunPatch = Partial<RunDefinition>;

/** What a caller says about a run when it is created. */
export interface NewRun extends RunDefinition {
  /** In ascending byte order. Empty covers all items. */
  readonly splits: readonly string[];
  readonly repetitions: number;
}

/** The cells of a run, by what is in them. */
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

/** Where a run is kept, and what about it never changes. */
export interface RunScope {
  readonly runId: RunHandle;
  readonly datasetId: DatasetHandle;
  readonly datasetVersion: bigint;
  readonly splits: readonly string[];
  readonly repetitions: number;
  /** How many items it covers. */
  readonly itemCount: bigint;
  /** Another name of the run, see migrations/0002_runs.sql. */
  readonly runNumber: bigint;
  /** What the ids of its results begin with. */
  readonly resultIdPrefix: string;
}

/** One experiment on one version of a dataset. */
export interface Run extends NewRun, RunScope {
  readonly state: RunState;
  readonly failureMessage: string;
  readonly counts: RunCounts;
  /** The last sequence number given to a change of its results; 0 before the first. */
  readonly sequence: bigint;
  readonly etag: string;
  readonly author: string;
  readonly createTime: Instant;
  readonly startTime: Instant | undefined;
  readonly completeTime: Instant | undefined;
  readonly updateTime: Instant;
}

/** How far the cells of a run have been leased to workers, in the order of repetition and item_id. */
export interface DispatchPosition {
  /** Of the last cell that was leased; one beyond the last repetition if all were. */
  readonly repetition: number;
  /** Empty before the first item. */
  readonly itemId: string;
  /** The last number given to a lease. */
  readonly leaseNumber: bigint;
}

/** A run under its row lock, as far as recording, leasing its cells and ending it need to know. */
export interface LockedRun extends RunScope, Pick<Run, "state" | "counts" | "sequence"> {
  /** Undefined as long as no worker has joined. */
  readonly dispatchPosition: DispatchPosition | undefined;
  /** What the clock says behind the lock. */
  readonly time: Instant;
}

/** What FinishRun asks for. */
export interface FinishTerms {
  /** 0 to 1. */
  readonly minSuccessRatio: number;
  /** Empty unless the caller declares the run failed. */
  readonly failureMessage: string;
}

/** Characters of a run's name. */
export const maxRunNameLength = 128;

/** What a run says about itself, without the rest. */
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

/** Whether two runs say the same about themselves. Metadata may be spelled differently. */
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

/** Cells without any result: together with those that succeeded or failed, all that are expected. */
export function missingCells({ expected, succeeded, failed }: RunCounts): bigint {
  return expected - succeeded - failed;
}

export function hasEnded(state: RunState): state is "completed" | "failed" | "cancelled" {
  return state === "completed" || state === "failed" || state === "cancelled";
}

/**
 * How a run ends by FinishRun. It completes if the share of expected cells that are successes is at least
 * `minSuccessRatio`, and there is at least one; missing cells count against it. A failure message fails it in any case.
 */
export function finishVerdict(
  { expected, succeeded }: RunCounts,
  { minSuccessRatio, failureMessage }: FinishTerms,
): "completed" | "failed" {
  if (failureMessage !== "" || succeeded === 0n) return "failed";
  return Number(succeeded) / Number(expected) < minSuccessRatio ? "failed" : "completed";
}

/** @throws Failure RUN_ENDED if the run is in a final state. */
export function requireOpen({ runId, state }: Pick<Run, "runId" | "state">): void {
  if (hasEnded(state)) throw runEnded(runId, state);
}

/** The failure of a call that a run in a final state does not take. */
export function runEnded(runId: string, state: RunState) {
  return failure("RUN_ENDED", { run_id: runId, state: `STATE_${state.toUpperCase()}` });
}

/** The name of a run whose creator gave none: `gpt-5 on capitals`, cut to 128 characters. */
export function defaultName(datasetName: string, { targetId }: Pick<NewRun, "targetId">): string {
  const name = targetId === "" ? datasetName : `${targetId} on ${datasetName}`;
  return [...name].slice(0, maxRunNameLength).join("");
}

/**
 * What the ids of a run's results begin with, 22 characters: `rslt`, 10 of time, 8 of chance. So the id of a result tells
 * its run without an index over all results. 40 bits of chance on top of the millisecond, and a constraint, keep runs apart.
 */
export function newResultIdPrefix(): string {
  return newId("rslt").slice(0, resultIdPrefixLength);
}

const resultIdPrefixLength = 22;

/** The id of the result with this number in a run: eight digits to the base of 32 behind the prefix. */
export function resultId(prefix: string, number: bigint | number): string {
  return prefix + number.toString(32).padStart(8, "0");
}

/** Takes an id of a result apart. Undefined for a text that is none. */
export function resultIdParts(id: string): { readonly prefix: string; readonly number: bigint } | undefined {
  if (!/^rslt[0-9a-z]{18}[0-9a-v]{8}$/.test(id)) return undefined;
  return {
    prefix: id.slice(0, resultIdPrefixLength),
    number: BigInt(Number.parseInt(id.slice(resultIdPrefixLength), 32)),
  };
}
