import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { ChangeCounts } from "../../gen/itembank/v1/dataset_pb.js";
import type { Receipt } from "../../gen/itembank/v1/receipt_pb.js";
import type { OptionNames } from "../rpc/option-names.ts";

/** The effect of a write, in items. Always, received = created + updated + unchanged. */
export interface Counts {
  readonly received: number;
  readonly created: number;
  readonly updated: number;
  readonly unchanged: number;
  /** Not part of `received`. */
  readonly deleted: number;
}

/** The outcome of an upsert. */
export interface UpsertResult {
  readonly datasetId: string;
  /** The resulting version: a new one or, if `noOp`, the latest before. */
  readonly version: number;
  /** True if nothing had to change, so that no version was made. */
  readonly noOp: boolean;
  readonly counts: Counts;
  /** The number of items in the version. */
  readonly itemCount: number;
  /** The digest of the version, in hexadecimal: equal for versions of equal items, in any dataset and on any server. */
  readonly digest: string;
  readonly createdDataset: boolean;
  /** The name of the write, for `GetUpsert`. */
  readonly requestId: string;
  readonly receipt: Receipt;
}

/** Bounds on the deletions of a mirror. */
export interface Guards {
  /** The most items it may delete. */
  readonly maxDeleteCount?: number;
  /** The largest share of the present items it may delete, 0 to 1. */
  readonly maxDeleteRatio?: number;
  /** Whether a mirror without rows may empty the dataset. */
  readonly allowEmpty?: boolean;
}

/** The names of `Guards`. */
export const guardNames: OptionNames<Guards> = {
  maxDeleteCount: true,
  maxDeleteRatio: true,
  allowEmpty: true,
};

/** How to publish a plan. */
export interface ApplyOptions {
  /** Applies the plan to the latest version even if that is not the one it was made for. */
  readonly allowRebase?: boolean;
  /** Replaces the guards that the plan was made with. */
  readonly guards?: Guards;
  readonly signal?: AbortSignal;
}

/** The names of `ApplyOptions`. */
export const applyOptionNames: OptionNames<ApplyOptions> = {
  allowRebase: true,
  guards: guardNames,
  signal: true,
};

/** The effect that an upsert would have. Readers see none of it until it is applied. */
export interface UpsertPlan {
  readonly datasetId: string;
  /** The version that `counts` are relative to. */
  readonly baseVersion: number;
  /** True if applying it would change nothing. */
  readonly noOp: boolean;
  readonly counts: Counts;
  /** The number of items in the dataset afterwards. */
  readonly itemCount: number;
  readonly createsDataset: boolean;
  /** The time at which the plan expires. */
  readonly expireTime: Date | undefined;
  readonly requestId: string;
  readonly receipt: Receipt;
  /** Publishes the plan. @throws ItembankError VERSION_CONFLICT if the dataset has changed, unless rebasing is allowed */
  apply(options?: ApplyOptions): Promise<UpsertResult>;
  /** Discards the plan. */
  discard(): Promise<void>;
}

/** Converts the counts of a receipt. */
function countsOf(counts: ChangeCounts | undefined): Counts {
  return {
    received: Number(counts?.received ?? 0n),
    created: Number(counts?.created ?? 0n),
    updated: Number(counts?.updated ?? 0n),
    unchanged: Number(counts?.unchanged ?? 0n),
    deleted: Number(counts?.deleted ?? 0n),
  };
}

/** Converts the receipt of a published write. */
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

/** Converts the receipt of a planned write. */
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

/** Returns bytes in hexadecimal. */
export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
