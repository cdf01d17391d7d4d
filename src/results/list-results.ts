import type { Pool } from "../db/pool.ts";
import type { ProjectId } from "../handles.ts";
import { limits } from "../limits.ts";
import type { PageTokens } from "../rpc/page-token.ts";
import { getRunScope } from "../runs/run-store.ts";
import type { Result, ResultView } from "./result.ts";
import { listResults, type ResultFilter } from "./result-store.ts";

/** The page to list. */
export interface ResultListing {
  readonly runId: string;
  readonly filter: ResultFilter;
  readonly view: ResultView;
  readonly pageSize: number;
  /** Empty for the first page. */
  readonly pageToken: string;
}

/**
 * Lists results page by page.
 *
 * @throws Failure RUN_NOT_FOUND, INVALID_PAGE_TOKEN
 */
export async function listResultPage(
  { pool, pageTokens }: { readonly pool: Pool; readonly pageTokens: PageTokens },
  projectId: ProjectId,
  { runId, filter, view, pageSize, pageToken }: ResultListing,
): Promise<{ readonly results: readonly Result[]; readonly nextPageToken: string }> {
  const binding = [
    runId,
    filter.itemId,
    filter.outcome,
    JSON.stringify(filter.missingScores),
    filter.includeReplaced,
    view,
  ];
  const scope = await getRunScope(pool, projectId, runId);
  const after =
    pageToken === ""
      ? undefined
      : positionOf(pageTokens.open("page_token", pageToken, "ListResults", binding));
  const bounds = { results: pageSize, bytes: limits.maxBatchBytes, view };
  const { results, isLast } = await listResults(pool, scope, { filter, after, bounds });
  // If the run was deleted meanwhile, some of its results may have been missed.
  if (isLast) await getRunScope(pool, projectId, runId);
  const last = results.at(-1);
  return {
    results,
    nextPageToken:
      isLast || last === undefined
        ? ""
        : pageTokens.seal("ListResults", binding, [last.itemId, `${last.repetition}`, `${last.attempt}`]),
  };
}

function positionOf([itemId = "", repetition, attempt]: readonly string[]) {
  return { itemId, repetition: Number(repetition), attempt: Number(attempt) };
}
