import type { Changeset } from "../changesets/changeset.ts";
import type { Client } from "../db/pool.ts";
import { compareBytes } from "../items/splits.ts";
import type { Difference, DifferenceWindow } from "../versions/difference.ts";
import { type ReadWindow, windowSize } from "../versions/read-differences.ts";
import {
  listCarriedDifferences,
  listStagedDifferences,
  listUnaddressedDifferences,
  type PlannedDifference,
  type WindowBounds,
} from "./plan-difference-store.ts";

/**
 * Reads the differences that publishing a plan would make to a version, without changing the plan, even if the plan was
 * compared with another version.
 */
export function readPlanDifferences(plan: Changeset, headVersion: bigint, size = windowSize): ReadWindow {
  const lists = [listStagedDifferences];
  if (plan.baseVersion !== headVersion) lists.push(listCarriedDifferences);
  if (plan.mode === "mirror" || plan.unidentified.rows > 0n) lists.push(listUnaddressedDifferences);
  return async (client: Client, after: string | undefined): Promise<DifferenceWindow> => {
    const bounds: WindowBounds = { after, limit: size };
    const found: PlannedDifference[][] = [];
    // Sequentially: they share a connection.
    for (const list of lists) found.push(await list(client, plan, headVersion, bounds));
    return mergeLists(found, size);
  };
}

/**
 * Merges lists in ascending order of item_id. A list of full size may continue, so the window ends where the first of those
 * lists ends.
 */
function mergeLists(lists: readonly (readonly PlannedDifference[])[], size: number): DifferenceWindow {
  const ends = lists.flatMap((list) => (list.length === size ? [list.at(-1)?.itemId ?? ""] : []));
  const through = ends.sort(compareBytes)[0];
  const differences: Difference[] = lists
    .flat()
    .filter(({ itemId, differs }) => differs && (through === undefined || compareBytes(itemId, through) <= 0))
    .sort((one, other) => compareBytes(one.itemId, other.itemId));
  return { differences, through };
}
