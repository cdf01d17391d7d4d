import type { Instant } from "../db/instant.ts";
import type { CurrentResult, NewResult, ResultDecision } from "../results/result.ts";
import type { Run } from "../runs/run.ts";
import type { Lease } from "./lease.ts";

/** The terms on which a worker joins a run. */
export interface WorkerTerms {
  readonly runId: string;
  /** The name of the worker, unique within the run. */
  readonly workerId: string;
  /** The most leases to hold at a time. */
  readonly capacity: number;
  /** The duration of a lease without a heartbeat. */
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

/** A frame that a worker sends after it has joined. */
export type WorkFrame =
  | { readonly kind: "results"; readonly results: readonly WorkResult[] }
  /** Undefined leaves the capacity as it is. */
  | { readonly kind: "heartbeat"; readonly capacity: number | undefined }
  /** An empty list releases all leases that the worker holds. */
  | { readonly kind: "release"; readonly leaseNumbers: readonly bigint[] };

/** The outcome of a result that a worker sent. */
export type WorkOutcome = "recorded" | "duplicate" | "dropped";

/** The acknowledgement of one result. */
export interface WorkAck {
  readonly leaseId: string;
  readonly outcome: WorkOutcome;
}

/** The answer to a frame of a worker. */
export type WorkAnswer =
  | { readonly kind: "acks"; readonly acks: readonly WorkAck[] }
  | { readonly kind: "renewal"; readonly deadline: Instant; readonly lostLeaseIds: readonly string[] };

/** A frame that a worker gets without having asked. */
export type WorkEvent =
  | { readonly kind: "idle"; readonly leasedCellCount: number }
  | { readonly kind: "finished"; readonly run: Run };

/** A lease with its id, by which the worker refers to it. */
export interface IdentifiedLease extends Lease {
  readonly leaseId: string;
}

/** The decision about a result. A dropped result is not recorded. */
export type WorkDecision =
  | { readonly outcome: "recorded" | "duplicate"; readonly decision: ResultDecision }
  | { readonly outcome: "dropped" };

/**
 * Decides about the result of a worker. A success is final, as everywhere. An error counts only under a current lease, since
 * another worker may be at the cell; a success counts whenever the cell has none.
 *
 * @param isLeased Whether the lease of the result is current.
 * @param current The current result of the cell.
 */
export function decideWork(
  result: NewResult,
  isLeased: boolean,
  current: CurrentResult | undefined,
): WorkDecision {
  const isSame = current !== undefined && Buffer.compare(current.fingerprint, result.fingerprint) === 0;
  // Under a lease, an error identical to the previous one is another attempt: otherwise the cell would be retried forever.
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
 * Splits positions of results into groups of distinct cells, to record one group after the other: a cell that a worker lost and
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
