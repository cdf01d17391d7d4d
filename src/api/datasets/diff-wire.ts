import { create } from "@bufbuild/protobuf";
import type {
  DiffVersionsRequest,
  DiffVersionsResponse,
} from "../../../gen/itembank/v1/dataset_service_pb.js";
import { DiffVersionsResponseSchema } from "../../../gen/itembank/v1/dataset_service_pb.js";
import type { DiffBatch, DiffPosition } from "../../diffs/diff-versions.ts";
import type { DiffResumption, DiffSubject, OpenDiff } from "../../diffs/open-diff.ts";
import { Faults } from "../../faults.ts";
import type { DatasetHandle } from "../../handles.ts";
import type { ItemView } from "../../items/item.ts";
import type { Bound } from "../../rpc/page-token.ts";
import { requestId } from "../../rpc/request-wire.ts";
import { changeKindToWire, itemToWire } from "../messages/item-wire.ts";
import { boundSelector, selectorFromWire } from "../messages/version-wire.ts";

/** Reads the two sides of a diff from a request. @throws Failure INVALID_FIELD */
export function diffSubjectFromWire(request: DiffVersionsRequest): DiffSubject {
  const faults = new Faults();
  const planned = faults.check(() => requestId("planned_request_id", request.plannedRequestId));
  const before = faults.check(() => selectorFromWire("before", request.before));
  const after = faults.check(() => selectorFromWire("after", request.after));
  if (request.plannedRequestId === "") {
    if (request.before === undefined) faults.addInvalid("before", "is required");
  } else {
    if (request.before !== undefined) faults.addInvalid("before", "is not allowed with planned_request_id");
    if (request.after !== undefined) faults.addInvalid("after", "is not allowed with planned_request_id");
  }
  faults.throwIfAny();
  return planned === undefined ? { kind: "versions", before, after } : { kind: "plan", requestId: planned };
}

/** Returns the arguments that a cursor is bound to. The versions are part of its position. */
export function diffBinding(datasetId: DatasetHandle, subject: DiffSubject, view: ItemView): Bound[] {
  return subject.kind === "plan"
    ? [datasetId, "plan", subject.requestId, view]
    : [datasetId, boundSelector(subject.before), boundSelector(subject.after), view];
}

/** Returns the position to resume at, as texts of a cursor. */
export function resumptionToCursor(
  { before, after }: Pick<OpenDiff, "before" | "after">,
  { through, counts }: DiffPosition,
): string[] {
  const numbers = [before, after ?? "", counts.created, counts.updated, counts.deleted];
  return [...numbers.map(String), through ?? ""];
}

/** Reverses `resumptionToCursor`. Does not validate: only for cursors whose signature was verified. */
export function resumptionFromCursor([
  before = "",
  after = "",
  created = "",
  updated = "",
  deleted = "",
  through = "",
]: readonly string[]): DiffResumption {
  return {
    before: BigInt(before),
    after: after === "" ? undefined : BigInt(after),
    position: {
      through,
      counts: { created: BigInt(created), updated: BigInt(updated), deleted: BigInt(deleted) },
    },
  };
}

/** Returns a frame of differences. */
export function diffBatchToWire({ changes }: DiffBatch, cursor: string): DiffVersionsResponse {
  return create(DiffVersionsResponseSchema, {
    frame: {
      case: "batch",
      value: {
        changes: changes.map(({ kind, itemId, before, after, changedPaths }) => ({
          kind: changeKindToWire(kind),
          itemId,
          ...(before && { before: itemToWire(before) }),
          ...(after && { after: itemToWire(after) }),
          changedPaths: [...changedPaths],
        })),
        cursor,
      },
    },
  });
}

/** Returns the last frame. */
export function diffSummaryToWire(
  { before, after, itemCount }: Pick<OpenDiff, "before" | "after" | "itemCount">,
  { counts }: DiffPosition,
): DiffVersionsResponse {
  return create(DiffVersionsResponseSchema, {
    frame: {
      case: "summary",
      value: {
        beforeVersion: before,
        afterVersion: after ?? 0n,
        ...counts,
        unchanged: itemCount - counts.updated - counts.deleted,
      },
    },
  });
}
