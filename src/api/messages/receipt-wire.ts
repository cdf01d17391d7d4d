import { create } from "@bufbuild/protobuf";
import { ChangeCountsSchema } from "../../../gen/itembank/v1/dataset_pb.js";
import { type Receipt, Receipt_State, ReceiptSchema } from "../../../gen/itembank/v1/receipt_pb.js";
import { type Changeset, type ChangesetState, isNoOp } from "../../changesets/changeset.ts";
import { timestampToWire } from "../../rpc/time-wire.ts";

const states: Readonly<Record<ChangesetState, Receipt_State>> = {
  open: Receipt_State.OPEN,
  planned: Receipt_State.PLANNED,
  published: Receipt_State.PUBLISHED,
  discarded: Receipt_State.DISCARDED,
};

/** Returns the receipt of a write in its current state. */
export function receiptToWire(changeset: Changeset): Receipt {
  const { counts, publishTime, expireTime } = changeset;
  const compared = changeset.state === "planned" || changeset.state === "published";
  return create(ReceiptSchema, {
    requestId: changeset.requestId,
    datasetId: changeset.datasetId,
    state: states[changeset.state],
    baseVersion: changeset.baseVersion,
    version: changeset.outcomeVersion ?? 0n,
    noOp: compared && isNoOp(counts),
    counts: create(ChangeCountsSchema, { received: changeset.received, ...counts }),
    itemCount: changeset.itemCount ?? 0n,
    receivedBytes: changeset.receivedBytes,
    createsDataset: changeset.createsDataset,
    createTime: timestampToWire(changeset.createTime),
    ...(publishTime === undefined ? {} : { publishTime: timestampToWire(publishTime) }),
    ...(expireTime === undefined ? {} : { expireTime: timestampToWire(expireTime) }),
  });
}
