import type { Queryable } from "../db/pool.ts";
import type { Item } from "../items/item.ts";
import { listItemsById } from "../items/item-store.ts";
import { limits } from "../limits.ts";
import type { RunScope } from "./run.ts";
import { findItemSizes } from "./run-item-store.ts";
import { runNotFound } from "./run-store.ts";
import type { GivenLease } from "./work.ts";

/** A lease with what is to be worked on. */
export interface Assignment {
  readonly lease: GivenLease;
  /** The item, as the run sees it. */
  readonly item: Item;
}

/** Items up to 1 MiB each: so many fit into a frame whatever they are. */
const alwaysFit = Math.floor(limits.maxBatchBytes / limits.maxItemBytes);

/**
 * The assignments of one frame: the first of these leases, at least one, at most as many as fit, with their items. Sizes are
 * looked up before payloads are read, so that memory holds no more than a frame.
 *
 * @throws Failure RUN_NOT_FOUND if items are gone, which they are with their dataset alone.
 */
export async function loadAssignments(
  db: Queryable,
  scope: RunScope,
  leases: readonly GivenLease[],
): Promise<Assignment[]> {
  const first = leases.slice(0, limits.maxBatchSize);
  const fitting = first.length <= alwaysFit ? first : await fittingOf(db, scope, first);
  const itemIds = [...new Set(fitting.map((lease) => lease.itemId))];
  const items = await listItemsById(db, scope.datasetId, scope.datasetVersion, itemIds);
  const itemOf = new Map(items.map((item) => [item.itemId, item]));
  return fitting.map((lease) => {
    const item = itemOf.get(lease.itemId);
    if (item === undefined) throw runNotFound(scope.runId);
    return { lease, item };
  });
}

async function fittingOf(
  db: Queryable,
  scope: RunScope,
  leases: readonly GivenLease[],
): Promise<readonly GivenLease[]> {
  const itemIds = [...new Set(leases.map((lease) => lease.itemId))];
  const sizes = await findItemSizes(db, scope, itemIds);
  let bytes = 0;
  const tooMany = leases.findIndex((lease, at) => {
    bytes += sizes.get(lease.itemId) ?? 0;
    return at > 0 && bytes > limits.maxBatchBytes;
  });
  return tooMany < 0 ? leases : leases.slice(0, tooMany);
}
