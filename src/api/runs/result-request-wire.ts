import type { MessageInitShape } from "@bufbuild/protobuf";
import { ResultView as WireResultView } from "../../../gen/itembank/v1/result_pb.js";
import {
  type DeleteResultsRequest,
  type IncompleteItemSchema,
  type ListIncompleteRequest,
  type ListResultsRequest,
  type StreamResultsRequest,
  type StreamResultsResponseSchema,
  IncompleteView as WireIncompleteView,
  OutcomeFilter as WireOutcomeFilter,
} from "../../../gen/itembank/v1/run_service_pb.js";
import { invalidField } from "../../failure.ts";
import { Faults } from "../../faults.ts";
import type { DeletionRequest } from "../../results/delete-results.ts";
import type { ResultsFrame, StreamRequest } from "../../results/follow-results.ts";
import type { ResultListing } from "../../results/list-results.ts";
import type { OutcomeFilter, ResultView } from "../../results/result.ts";
import { boundedText, enumFromWire, pageSize } from "../../rpc/request-wire.ts";
import { timestampToWire } from "../../rpc/time-wire.ts";
import type { IncompleteItem, IncompleteView } from "../../runs/incomplete-item.ts";
import type { IncompleteListing } from "../../runs/list-incomplete.ts";
import { itemIdFromWire, itemToWire, requireBatchSize } from "../messages/item-wire.ts";
import { runIdFromWire, runToWire } from "./run-wire.ts";

const maxScoreNameLength = 128;

const outcomes: Readonly<Record<WireOutcomeFilter, OutcomeFilter>> = {
  [WireOutcomeFilter.UNSPECIFIED]: "any",
  [WireOutcomeFilter.ANY]: "any",
  [WireOutcomeFilter.SUCCEEDED]: "succeeded",
  [WireOutcomeFilter.FAILED]: "failed",
};

const views: Readonly<Record<WireResultView, ResultView>> = {
  [WireResultView.UNSPECIFIED]: "basic",
  [WireResultView.BASIC]: "basic",
  [WireResultView.WITH_ITEM]: "with_item",
};

const incompleteViews: Readonly<Record<WireIncompleteView, IncompleteView>> = {
  [WireIncompleteView.UNSPECIFIED]: "basic",
  [WireIncompleteView.BASIC]: "basic",
  [WireIncompleteView.WITH_ITEM]: "with_item",
};

/** Reads the view of results. @throws Failure INVALID_FIELD */
export function resultViewFromWire(field: string, view: WireResultView): ResultView {
  return enumFromWire(field, view, views);
}

/** Reads a ListResults request. @throws Failure INVALID_FIELD, LIMIT_EXCEEDED */
export function resultListingFromWire(request: ListResultsRequest): ResultListing {
  requireBatchSize(request.missingScores.length);
  return {
    runId: runIdFromWire("run_id", request.runId),
    filter: {
      itemId: request.itemId === "" ? "" : itemIdFromWire("item_id", request.itemId),
      outcome: enumFromWire("outcome", request.outcome, outcomes),
      missingScores: request.missingScores.map((name, index) =>
        boundedText(`missing_scores[${index}]`, name, 1, maxScoreNameLength),
      ),
      includeReplaced: request.includeReplaced,
    },
    view: resultViewFromWire("view", request.view),
    pageSize: pageSize("page_size", request.pageSize),
    pageToken: request.pageToken,
  };
}

/** Reads a StreamResults request. @throws Failure INVALID_FIELD */
export function streamRequestFromWire(request: StreamResultsRequest): StreamRequest {
  if (request.afterSequence < 0n) throw invalidField("after_sequence", "must not be negative");
  return {
    runId: runIdFromWire("run_id", request.runId),
    afterSequence: request.afterSequence,
    follow: request.follow,
    view: resultViewFromWire("view", request.view),
  };
}

/** Reads a DeleteResults request. @throws Failure INVALID_FIELD, LIMIT_EXCEEDED */
export function deletionFromWire({ runId, cells }: DeleteResultsRequest): DeletionRequest {
  requireBatchSize(cells.length);
  if (cells.length === 0) throw invalidField("cells", "is required");
  const faults = new Faults();
  const checked = cells.map(({ itemId, repetition }, index) => ({
    itemId: faults.check(() => itemIdFromWire(`cells[${index}].item_id`, itemId)) ?? "",
    repetition,
  }));
  faults.throwIfAny();
  return { runId: runIdFromWire("run_id", runId), cells: checked };
}

/** Reads a ListIncomplete request. @throws Failure INVALID_FIELD */
export function incompleteListingFromWire(request: ListIncompleteRequest): IncompleteListing {
  return {
    runId: runIdFromWire("run_id", request.runId),
    view: enumFromWire("view", request.view, incompleteViews),
    pageSize: pageSize("page_size", request.pageSize),
    pageToken: request.pageToken,
  };
}

/** Converts an incomplete item to its wire message. */
export function incompleteToWire(one: IncompleteItem): MessageInitShape<typeof IncompleteItemSchema> {
  return {
    itemId: one.itemId,
    missingRepetitions: [...one.missingRepetitions],
    failedRepetitions: [...one.failedRepetitions],
    ...(one.item === undefined ? {} : { item: itemToWire(one.item) }),
  };
}

/** Converts a frame without results to its wire message. */
export function frameToWire(
  frame: Exclude<ResultsFrame, { readonly kind: "batch" }>,
): MessageInitShape<typeof StreamResultsResponseSchema> {
  switch (frame.kind) {
    case "heartbeat": {
      const { throughSequence, time } = frame;
      return { frame: { case: "heartbeat", value: { throughSequence, serverTime: timestampToWire(time) } } };
    }
    case "end": {
      const { throughSequence, run } = frame;
      return { frame: { case: "end", value: { throughSequence, run: runToWire(run) } } };
    }
  }
}
