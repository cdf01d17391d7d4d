import type { Client } from "../db/pool.ts";
import { transaction } from "../db/transaction.ts";
import type { ProjectId } from "../handles.ts";
import { advanceRun, lockRun } from "../runs/locked-run-store.ts";
import { type RunCell, type RunScope, requireOpen } from "../runs/run.ts";
import { findCoveredItems } from "../runs/run-item-store.ts";
import { getRunScope } from "../runs/run-store.ts";
import { syncOpenCells } from "./open-cell-store.ts";
import type { Recorder } from "./record-results.ts";
import { requireCovered } from "./result.ts";
import { type Attempt, deleteAttempts, deleteReplacedScores, listAttempts } from "./result-deletion-store.ts";

/** Cells whose results are to be deleted. */
export interface DeletionRequest {
  readonly runId: string;
  readonly cells: readonly RunCell[];
}

/**
 * Deletes the results of cells with all their attempts and scores, and returns the number of cells that are missing because of
 * it. Their sequence numbers are not reused, so followers continue undisturbed.
 *
 * @throws Failure RUN_NOT_FOUND, RUN_ENDED, ITEM_NOT_IN_RUN
 */
export async function deleteResults(
  { pool, changes, mutex }: Recorder,
  projectId: ProjectId,
  { runId, cells }: DeletionRequest,
): Promise<number> {
  const scope = await getRunScope(pool, projectId, runId);
  const itemIds = [...new Set(cells.map((cell) => cell.itemId))];
  requireCovered(scope, cells, await findCoveredItems(pool, scope, itemIds), "cells");
  const count = await mutex.runExclusive(runId, () =>
    transaction(pool, (client) => deleteLocked(client, scope, cells)),
  );
  // Wakes workers that wait for cells.
  changes.notify(runId);
  return count;
}

async function deleteLocked(client: Client, scope: RunScope, cells: readonly RunCell[]): Promise<number> {
  const run = await lockRun(client, scope);
  requireOpen(run);
  const attempts = await listAttempts(client, scope, cells);
  if (attempts.length === 0) return 0;
  await deleteReplacedScores(
    client,
    scope,
    attempts.map(({ number }) => number),
  );
  await deleteAttempts(
    client,
    scope,
    attempts.map(({ sequence }) => sequence),
  );
  const current = attempts.filter((attempt) => !attempt.replaced);
  const { succeeded, failed, carried } = countCells(current);
  await advanceRun(client, run, { succeeded: -succeeded, failed: -failed, carried: -carried, sequences: 0 });
  await syncOpenCells(
    client,
    run,
    current.map(({ itemId, repetition }) => ({ itemId, repetition, succeeded: false, attempts: 0 })),
  );
  return succeeded + failed;
}

/** Counts current results by outcome, as the counts of the run hold them. */
function countCells(current: readonly Attempt[]) {
  const succeeded = current.filter((attempt) => attempt.succeeded).length;
  const carried = current.filter((attempt) => attempt.carried).length;
  return { succeeded, failed: current.length - succeeded, carried };
}
