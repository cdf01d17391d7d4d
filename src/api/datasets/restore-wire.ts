import type { RestoreVersionRequest } from "../../../gen/itembank/v1/dataset_service_pb.js";
import { type ChangesetRequest, noGuard } from "../../changesets/changeset.ts";
import type { DatasetRef } from "../../datasets/dataset.ts";
import { Faults } from "../../faults.ts";
import { note } from "../../rpc/request-wire.ts";
import type { VersionSelector } from "../../versions/version.ts";
import { datasetRefFromWire } from "../messages/dataset-wire.ts";
import { selectorFromWire } from "../messages/version-wire.ts";

/** The part of a restore that determines its write. */
type RestoreOptions = Omit<ChangesetRequest, "requestId" | "method" | "fingerprint" | "author">;

/** Reads the dataset, the version to restore, and the options of the write. @throws Failure INVALID_FIELD */
export function restoreFromWire(request: RestoreVersionRequest): {
  ref: DatasetRef;
  at: VersionSelector;
  options: RestoreOptions;
} {
  const faults = new Faults();
  const ref = faults.check(() => datasetRefFromWire("dataset", request.dataset));
  const at = faults.check(() => selectorFromWire("at", request.at));
  const text = faults.check(() => note("note", request.note));
  const { expectedVersion, validateOnly } = request;
  if (request.at === undefined) faults.addInvalid("at", "is required");
  if (expectedVersion !== undefined && expectedVersion < 0n) {
    faults.addInvalid("expected_version", "must not be negative");
  }
  faults.throwIfAny();
  return {
    ref: ref as DatasetRef,
    at,
    options: {
      mode: "restore",
      replaceSplits: true,
      validateOnly,
      newDataset: undefined,
      expectedVersion,
      // No bounds on deletions: the version, which may be the empty one, already determines them.
      guard: { ...noGuard, allowEmpty: true },
      note: text ?? "",
    },
  };
}
