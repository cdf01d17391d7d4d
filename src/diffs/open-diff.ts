import { itemCountOf } from "../changesets/changeset-store.ts";
import { getPlan } from "../changesets/get-upsert.ts";
import type { DatasetRef } from "../datasets/dataset.ts";
import { findDataset, getDataset, getWriteDatasetId } from "../datasets/dataset-store.ts";
import type { Client } from "../db/pool.ts";
import type { DatasetHandle, ProjectId } from "../handles.ts";
import { readDifferences } from "../versions/read-differences.ts";
import type { VersionSelector } from "../versions/version.ts";
import { resolveVersion } from "../versions/version-store.ts";
import type { DiffPosition, VersionComparison } from "./diff-versions.ts";
import { readPlanDifferences } from "./read-plan-differences.ts";

/** The two sides of a diff: two versions, or the head version and the result of a planned write. */
export type DiffSubject =
  | { readonly kind: "versions"; readonly before: VersionSelector; readonly after: VersionSelector }
  | { readonly kind: "plan"; readonly requestId: string };

/** Where a diff resumes, at the versions that it began with. */
export interface DiffResumption {
  readonly before: bigint;
  /** Undefined for a plan. */
  readonly after: bigint | undefined;
  readonly position: DiffPosition;
}

/** A diff that is ready to be streamed. */
export interface OpenDiff extends DiffResumption {
  readonly comparison: VersionComparison;
  /** The number of items in the earlier state. */
  readonly itemCount: bigint;
}

/** The dataset of a diff. */
export interface DiffTarget {
  readonly projectId: ProjectId;
  readonly ref: DatasetRef;
}

const start: DiffPosition = { through: undefined, counts: { created: 0n, updated: 0n, deleted: 0n } };

/**
 * Resolves the two sides of a diff.
 *
 * @param resume returns, for the dataset that was found, where the diff resumes; undefined starts at the beginning.
 * @throws Failure DATASET_NOT_FOUND, VERSION_NOT_FOUND, TAG_NOT_FOUND, UPSERT_NOT_FOUND, UPSERT_NOT_READY, and those of
 * `resume`.
 */
export async function openDiff(
  client: Client,
  target: DiffTarget,
  subject: DiffSubject,
  resume: (datasetId: DatasetHandle) => DiffResumption | undefined,
): Promise<OpenDiff> {
  return subject.kind === "plan"
    ? openPlan(client, target, subject.requestId, resume)
    : openVersions(client, target, subject, resume);
}

async function openVersions(
  client: Client,
  { projectId, ref }: DiffTarget,
  subject: { readonly before: VersionSelector; readonly after: VersionSelector },
  resume: (datasetId: DatasetHandle) => DiffResumption | undefined,
): Promise<OpenDiff> {
  const dataset = await getDataset(client, projectId, ref);
  const { datasetId } = dataset;
  const resumed = resume(datasetId);
  const before = resumed?.before ?? (await resolveVersion(client, dataset, subject.before));
  const after = resumed?.after ?? (await resolveVersion(client, dataset, subject.after));
  return {
    before,
    after,
    position: resumed?.position ?? start,
    itemCount: await itemCountOf(client, datasetId, before),
    comparison: {
      datasetId,
      planned: false,
      read: await readDifferences(client, { datasetId, before, after }),
      async check(reader) {
        await getDataset(reader, projectId, { datasetId });
      },
    },
  };
}

async function openPlan(
  client: Client,
  { projectId, ref }: DiffTarget,
  requestId: string,
  resume: (datasetId: DatasetHandle) => DiffResumption | undefined,
): Promise<OpenDiff> {
  const datasetId = await getWriteDatasetId(client, projectId, ref);
  const resumed = resume(datasetId);
  const plan = await getPlan(client, datasetId, requestId);
  // A dataset that the plan is going to create is at version 0.
  const dataset = await findDataset(client, projectId, { datasetId });
  const before = resumed?.before ?? dataset?.headVersion ?? 0n;
  return {
    before,
    after: undefined,
    position: resumed?.position ?? start,
    itemCount: await itemCountOf(client, datasetId, before),
    comparison: {
      datasetId,
      planned: true,
      read:
        plan.restoredVersion === undefined
          ? readPlanDifferences(plan, before)
          : await readDifferences(client, { datasetId, before, after: plan.restoredVersion }),
      async check(reader) {
        await getPlan(reader, datasetId, requestId);
      },
    },
  };
}
