import { withIndexOrder } from "../db/planner.ts";
import type { Client, Pool } from "../db/pool.ts";
import { snapshot } from "../db/transaction.ts";
import type { ProjectId } from "../handles.ts";
import { listItemsById } from "../items/item-store.ts";
import { limits } from "../limits.ts";
import type { PageTokens } from "../rpc/page-token.ts";
import {
  countFitting,
  type IncompleteItem,
  type IncompleteView,
  missingRepetitions,
} from "./incomplete-item.ts";
import { countBlock, type IncompleteRange, listOpenItems, type OpenItem } from "./incomplete-store.ts";
import type { Run } from "./run.ts";
import { getRun } from "./run-store.ts";

/** One page to list. */
export interface IncompleteListing {
  readonly runId: string;
  readonly view: IncompleteView;
  readonly pageSize: number;
  /** Empty for the first page. */
  readonly pageToken: string;
}

/** One page. */
export interface IncompletePage {
  readonly items: readonly IncompleteItem[];
  readonly nextPageToken: string;
}

/**
 * Items that are skipped at a time if all are done: enough to make the statement's overhead negligible, few enough to read one
 * by one if a single cell among them is open.
 */
const blockSize = 2_000;

/**
 * Lists the items that lack a success in some repetition, page by page, each page from one snapshot. Finished items are skipped,
 * so the cost of the first page grows with their number, up to reading the results of the run once.
 *
 * @throws Failure RUN_NOT_FOUND, INVALID_PAGE_TOKEN
 */
export async function listIncompletePage(
  { pool, pageTokens }: { readonly pool: Pool; readonly pageTokens: PageTokens },
  projectId: ProjectId,
  { runId, view, pageSize, pageToken }: IncompleteListing,
): Promise<IncompletePage> {
  const binding = [runId, view];
  return snapshot(pool, async (client) => {
    const run = await getRun(client, projectId, runId);
    const [after = ""] =
      pageToken === "" ? [] : pageTokens.open("page_token", pageToken, "ListIncomplete", binding);
    // One more than the page holds shows whether another page follows.
    const found = await withIndexOrder(client, () =>
      findOpenItems(client, run, { after, limit: pageSize + 1, view }),
    );
    const count = countFitting(
      found.map(({ size }) => size),
      pageSize,
      limits.maxBatchBytes,
    );
    const page = found.slice(0, count);
    const last = page.at(-1);
    return {
      items: await withItems(client, run, page, view),
      nextPageToken:
        count < found.length && last !== undefined
          ? pageTokens.seal("ListIncomplete", binding, [last.itemId])
          : "",
    };
  });
}

async function findOpenItems(
  client: Client,
  run: Run,
  { after, limit, view }: Omit<IncompleteRange, "through">,
): Promise<OpenItem[]> {
  const found: OpenItem[] = [];
  if (run.counts.succeeded === run.counts.expected) return found;
  for (let from = after; ; ) {
    const { through, itemCount, succeeded } = await countBlock(client, run, from, blockSize);
    if (succeeded < itemCount * run.repetitions) {
      const range = { after: from, through, limit: limit - found.length, view };
      found.push(...(await listOpenItems(client, run, range)));
    }
    if (found.length === limit || itemCount < blockSize) return found;
    from = through;
  }
}

async function withItems(
  client: Client,
  { datasetId, datasetVersion, repetitions }: Run,
  page: readonly OpenItem[],
  view: IncompleteView,
): Promise<IncompleteItem[]> {
  const itemIds = view === "with_item" ? page.map(({ itemId }) => itemId) : [];
  const items = itemIds.length === 0 ? [] : await listItemsById(client, datasetId, datasetVersion, itemIds);
  const itemOf = new Map(items.map((item) => [item.itemId, item]));
  return page.map(({ itemId, succeededRepetitions, failedRepetitions }) => ({
    itemId,
    missingRepetitions: missingRepetitions(repetitions, [...succeededRepetitions, ...failedRepetitions]),
    failedRepetitions,
    item: itemOf.get(itemId),
  }));
}
