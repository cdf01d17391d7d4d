import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { ChangeCounts } from "../../gen/itembank/v1/dataset_pb.js";
import type { Receipt } from "../../gen/itembank/v1/receipt_pb.js";

/** What a write did, or will do, in items. Always, received = created + updated + unchanged. */
export interface Counts {
  readonly received: number;
  readonly created: number;
  readonly updated: number;
  readonly unchanged: number;
  /** Not part of `received`. */
  readonly deleted: number;
}

/** What an upsert has done. */
export interface UpsertResult {
  readonly datasetId: string;
  /** The version that readers see as the outcome: a new one or, if `noOp`, the one that was the latest already. */
  readonly version: number;
  /** True if nothing had to change. No version was made then. */
  readonly noOp: boolean;
  readonly counts: Counts;
  /** How many items the version has. */
  readonly itemCount: number;
  /** The digest of the version, in hexadecimal: equal for versions of equal items, in any dataset and on any server. */
  readonly digest: string;
  readonly createdDataset: boolean;
  /** The name of the write, for `GetUpsert`. */
  readonly requestId: string;
  readonly receipt: Receipt;
}

/** Bounds on what a mirror may delete. */
export interface Guards {
  /** The most items it may delete. */
  readonly maxDeleteCount?: number;
  /** The largest share of the present items it may delete, 0 to 1. */
  readonly maxDeleteRatio?: number;
  /** Whether a mirror without any row may empty the dataset. */
  readonly allowEmpty?: boolean;
}

export interface ApplyOptions {
  /** Applies the plan to the latest version even if that is not the one it was made for. */
  readonly allowRebase?: boolean;
  /** Replaces the guards that the plan was made with. */
  readonly guards?: Guards;
  readonly signal?: AbortSignal;
}

/** What an upsert would do. Nobody sees anything of it until it is applied. */
export interface UpsertPlan {
  readonly datasetId: string;
  /** The version that `counts` compare with. */
  readonly baseVersion: number;
  /** True if applying it would change nothing. */
  readonly noOp: boolean;
  readonly counts: Counts;
  /** How many items the dataset has afterwards. */
  readonly itemCount: number;
  readonly createsDataset: boolean;
  /** When the plan is discarded if nothing happens. */
  readonly expireTime: Date | undefined;
  readonly requestId: string;
  readonly receipt: Receipt;
  /** Publishes the plan. @throws ItembankError VERSION_CONFLICT if the dataset has moved on, unless rebasing is allowed */
  apply(options?: ApplyOptions): Promise<UpsertResult>;
  /** Gives the plan up. */
  discard(): Promise<void>;
}

export function countsOf(counts: ChangeCounts | undefined): Counts {
  return {
    received: Number(counts?.received ?? 0n),
    created: Number(counts?.created ?? 0n),
    updated: Number(counts?.updated ?? 0n),
    unchanged: Number(counts?.unchanged ?? 0n),
    deleted: Number(counts?.deleted ?? 0n),
  };
}

export function resultOf(receipt: Receipt, digest: Uint8Array): UpsertResult {
  return {
    datasetId: receipt.datasetId,
    version: Number(receipt.version),
    noOp: receipt.noOp,
    counts: countsOf(receipt.counts),
    itemCount: Number(receipt.itemCount),
    digest: toHex(digest),
    createdDataset: receipt.createsDataset,
    requestId: receipt.requestId,
    receipt,
  };
}

export function planOf(receipt: Receipt, actions: Pick<UpsertPlan, "apply" | "discard">): UpsertPlan {
  return {
    datasetId: receipt.datasetId,
    baseVersion: Number(receipt.baseVersion),
    noOp: receipt.noOp,
    counts: countsOf(receipt.counts),
    itemCount: Number(receipt.itemCount),
    createsDataset: receipt.createsDataset,
    expireTime: receipt.expireTime && timestampDate(receipt.expireTime),
    requestId: receipt.requestId,
    receipt,
    ...actions,
  };
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
