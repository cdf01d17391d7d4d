import type { Instant } from "../db/instant.ts";
import type { CurrentResult, NewResult, ResultDecision } from "../results/result.ts";
import type { Run } from "../runs/run.ts";
import type { Lease } from "./lease.ts";

/** How a worker joins a run. */
export interface WorkerTerms {
  readonly runId: string;
  /** Its name within the run. */
  readonly workerId: string;
  /** The most leases to hold at a time. */
  readonly capacity: number;
  /** How long a lease lasts without a heartbeat. */
  readonly leaseMicros: bigint;
  /** A cell that failed is leased again until it has had this many attempts. */
  readonly maxAttempts: number;
}

/** The result of a leased cell. */
export interface WorkResult {
  readonly leaseId: string;
  readonly leaseNumber: bigint;
  readonly result: NewResult;
}

/** What a worker sends once it has joined. */
export type WorkFrame =
  | { readonly kind: "results"; readonly results: readonly WorkResult[] }
  /** Without a capacity, it stays as it is. */
  | { readonly kind: "heartbeat"; readonly capacity: number | undefined }
  /** Without numbers, all leases that the worker holds. */
  | { readonly kind: "release"; readonly leaseNumbers: readonly bigint[] };

/** What becomes of a result. */
export type WorkOutcome = "recorded" | "duplicate" | "dropped";

/** What became of one result. */
export interface WorkAck {
  readonly leaseId: string;
  readonly outcome: WorkOutcome;
}

/** What a worker is answered. */
export type WorkAnswer =
  | { readonly kind: "acks"; readonly acks: readonly WorkAck[] }
  | { readonly kind: "renewal"; readonly deadline: Instant; readonly lostLeaseIds: readonly string[] };

/** What a worker is told unasked. */
export type WorkEvent =
  | { readonly kind: "idle"; readonly leasedCellCount: number }
  | { readonly kind: "finished"; readonly run: Run };

/** A lease with the id that a worker knows it by. */
export interface IdentifiedLease extends Lease {
  readonly leaseId: string;
}

/** What is to be done with a result. A result that is dropped is not recorded. */
export type WorkDecision =
  | { readonly outcome: "recorded" | "duplicate"; readonly decision: ResultDecision }
  | { readonly outcome: "dropped" };

/**
 * Decides about the result of a worker. A success is final, as everywhere. An error counts only under a lease that lasts,
 * since another worker may be at the cell; a success counts whenever the cell has none.
 *
 * @param isLeased Whether the lease of the result lasts.
 * @param current The current result of the cell.
 */
export function decideWork(
  result: NewResult,
  isLeased: boolean,
  current: CurrentResult | undefined,
): WorkDecision {
  const isSame = current !== undefined && Buffer.compare(current.fingerprint, result.fingerprint) === 0;
  // Under a lease, an error that reads like the one before is another attempt: else it would be repeated for ever.
  if (isSame && (current.succeeded || !isLeased)) {
    return { outcome: "duplicate", decision: { kind: "unchanged", current } };
  }
  if (current?.succeeded || (result.error !== undefined && !isLeased)) return { outcome: "dropped" };
  return {
    outcome: "recorded",
    decision: current === undefined ? { kind: "created" } : { kind: "replaced", current },
  };
}

/**
 * Splits positions of results into groups of distinct cells, to be recorded one after the other: a cell that a worker lost and
 * got again may have two results in one frame.
 */
export function groupsOfDistinctCells(
  results: readonly Pick<NewResult, "itemId" | "repetition">[],
): number[][] {
  const groups: number[][] = [];
  const seen = new Map<string, number>();
  results.forEach(({ itemId, repetition }, position) => {
    const cell = `${repetition} ${itemId}`;
    const group = seen.get(cell) ?? 0;
    seen.set(cell, group + 1);
    if (groups.length === group) groups.push([]);
    groups[group]?.push(position);
  });
  return groups;
}
