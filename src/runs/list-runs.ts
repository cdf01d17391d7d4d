import type { DatasetRef } from "../datasets/dataset.ts";
import { getDataset } from "../datasets/dataset-store.ts";
import type { Pool } from "../db/pool.ts";
import type { ProjectId } from "../handles.ts";
import type { PageTokens } from "../rpc/page-token.ts";
import type { Run } from "./run.ts";
import { listRuns, type RunFilter } from "./run-list-store.ts";

/** One page to list. */
export interface RunListing {
  /** Undefined lists the runs on all datasets. */
  readonly dataset: DatasetRef | undefined;
  readonly filter: Omit<RunFilter, "datasetId">;
  readonly pageSize: number;
  /** Empty for the first page. */
  readonly pageToken: string;
}

/**
 * Lists runs page by page, newest first.
 *
 * @throws Failure DATASET_NOT_FOUND, INVALID_PAGE_TOKEN
 */
export async function listRunPage(
  { pool, pageTokens }: { readonly pool: Pool; readonly pageTokens: PageTokens },
  projectId: ProjectId,
  { dataset, filter, pageSize, pageToken }: RunListing,
): Promise<{ readonly runs: readonly Run[]; readonly nextPageToken: string }> {
  const datasetId = dataset && (await getDataset(pool, projectId, dataset)).datasetId;
  const { datasetVersion = 0n, states, label, targetId } = filter;
  const binding = [projectId, datasetId ?? "", datasetVersion, states.join(), label, targetId];
  const after =
    pageToken === "" ? undefined : positionOf(pageTokens.open("page_token", pageToken, "ListRuns", binding));
  const query = { filter: { ...filter, datasetId }, after, limit: pageSize };
  const { rows: runs, more } = await listRuns(pool, projectId, query);
  const last = runs.at(-1);
  return {
    runs,
    nextPageToken:
      more && last !== undefined
        ? pageTokens.seal("ListRuns", binding, [`${last.createTime}`, last.runId])
        : "",
  };
}

function positionOf([createTime = "0", runId = ""]: readonly string[]) {
  return { createTime: BigInt(createTime), runId };
}
