import type { Run as WireRun } from "../../../gen/itembank/v1/run_pb.js";
import type { UpdateRunRequest } from "../../../gen/itembank/v1/run_service_pb.js";
import { invalidField } from "../../failure.ts";
import { Faults } from "../../faults.ts";
import { boundedText, fieldMaskNames } from "../../rpc/request-wire.ts";
import { maxRunNameLength, type RunDefinition, type RunPatch } from "../../runs/run.ts";
import { metadataFromWire } from "../messages/metadata-wire.ts";

const maxDescriptionLength = 4_096;
const maxTargetTypeLength = 64;
const maxTargetIdLength = 256;
const maxMetadataBytes = 64 * 1024;
const maxLabels = 16;

/** The fields of a run that describe it and may be updated. */
const definitionFields = [
  "name",
  "description",
  "target_type",
  "target_id",
  "metadata_json",
  "labels",
] as const;

type DefinitionField = (typeof definitionFields)[number];

/** The reader of each of these fields. All throw Failure INVALID_FIELD, that of metadata_json INVALID_JSON as well. */
const readers: Readonly<Record<DefinitionField, (field: string, run: WireRun) => RunPatch>> = {
  name: (field, { name }) => ({ name: boundedText(field, name, 0, maxRunNameLength) }),
  description: (field, { description }) => ({
    description: boundedText(field, description, 0, maxDescriptionLength),
  }),
  target_type: (field, { targetType }) => ({
    targetType: boundedText(field, targetType, 0, maxTargetTypeLength),
  }),
  target_id: (field, { targetId }) => ({ targetId: targetIdFromWire(field, targetId) }),
  metadata_json: (field, { metadataJson }) => ({
    metadata: metadataFromWire(field, metadataJson, maxMetadataBytes),
  }),
  labels: (field, { labels }) => ({ labels: labelsFromWire(field, labels) }),
};

/** Reads the target_id of a run. @throws Failure INVALID_FIELD */
export function targetIdFromWire(field: string, targetId: string): string {
  return boundedText(field, targetId, 0, maxTargetIdLength);
}

/** Reads labels, without duplicates and in ascending order. */
function labelsFromWire(field: string, labels: readonly string[]): string[] {
  const distinct = [...new Set(labels)].sort();
  if (distinct.length > maxLabels) {
    throw invalidField(field, `has ${distinct.length} labels; at most ${maxLabels} are allowed`);
  }
  distinct.forEach((label) => {
    if (!/^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/.test(label)) {
      throw invalidField(field, `${JSON.stringify(label)} must match ^[A-Za-z_][A-Za-z0-9_.-]{0,63}$`);
    }
  });
  return distinct;
}

/** Reads the named fields of the run at the path `field`. Collects malformed ones in `faults`. */
function readFields(field: string, run: WireRun, names: Iterable<DefinitionField>, faults: Faults): RunPatch {
  let read: RunPatch = {};
  for (const name of names) {
    read = { ...read, ...faults.check(() => readers[name](`${field}.${name}`, run)) };
  }
  return read;
}

const nothingSaid: RunDefinition = {
  name: "",
  description: "",
  targetType: "",
  targetId: "",
  metadata: undefined,
  labels: [],
};

/** Reads the definition of a new run; its name may be empty. Collects malformed fields in `faults`. */
export function runDefinitionFromWire(field: string, run: WireRun, faults: Faults): RunDefinition {
  return { ...nothingSaid, ...readFields(field, run, definitionFields, faults) };
}

/**
 * Reads the changes of an update, and the etag that guards it, which may be empty.
 *
 * @throws Failure INVALID_FIELD, also if there are no changes; INVALID_JSON
 */
export function runPatchFromWire({ patch, updateMask }: UpdateRunRequest): {
  readonly patch: RunPatch;
  readonly etag: string;
} {
  if (patch === undefined) throw invalidField("patch", "is required");
  const names = fieldMaskNames("update_mask", updateMask, definitionFields) ?? namesSetIn(patch);
  if (names.size === 0) throw invalidField("patch", "must set a field unless update_mask names one");
  const faults = new Faults();
  const changes = readFields("patch", patch, names, faults);
  if (changes.name === "") faults.addInvalid("patch.name", "must not be cleared");
  faults.throwIfAny();
  return { patch: changes, etag: patch.etag };
}

function namesSetIn(patch: WireRun): ReadonlySet<DefinitionField> {
  const isSet: Readonly<Record<DefinitionField, boolean>> = {
    name: patch.name !== "",
    description: patch.description !== "",
    target_type: patch.targetType !== "",
    target_id: patch.targetId !== "",
    metadata_json: patch.metadataJson !== "",
    labels: patch.labels.length > 0,
  };
  return new Set(definitionFields.filter((name) => isSet[name]));
}
