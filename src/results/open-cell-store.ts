import type { Client } from "../db/pool.ts";
import type { DispatchPosition, LockedRun, RunCell } from "../runs/run.ts";

/** The state of a cell after a change. */
export interface CellChange extends RunCell {
  /** Whether its current result is a success. */
  readonly succeeded: boolean;
  /** The number of results it has had: 0 if they were deleted. */
  readonly attempts: number;
}

/**
 * Keeps the cells that workers lease consistent with the results of a locked run. Every write or deletion of results calls it,
 * with distinct cells: a success ends the lease on its cell, and a cell that is no longer done waits for a worker again.
 */
export async function syncOpenCells(
  client: Client,
  run: LockedRun,
  changes: readonly CellChange[],
): Promise<void> {
  // No worker has joined yet: once one does, cells are leased according to the results that exist.
  if (run.dispatchPosition === undefined) return;
  const done = changes.filter((change) => change.succeeded);
  const open = changes.filter((change) => !change.succeeded);
  await deleteOpenCells(client, run, done);
  if (open.length > 0) await upsertCells(client, run, run.dispatchPosition, open);
}

/** Deletes open cells. On `ctid`, see “Planner idioms” in docs/storage.md. */
export async function deleteOpenCells(
  client: Client,
  { datasetId, runId }: LockedRun,
  cells: readonly RunCell[],
): Promise<void> {
  if (cells.length === 0) return;
  await client.query(
    `delete from open_cells as c
     using (
       select open.tuple_id, open.dataset_id
       from unnest($3::text[], $4::int[]) as cell(item_id, repetition)
       cross join lateral (
         select ctid as tuple_id, dataset_id from open_cells as o
         where o.dataset_id = $1 and o.run_id = $2 and o.item_id = cell.item_id and o.repetition = cell.repetition
         limit 1
       ) as open
     ) as found
     where c.ctid = found.tuple_id and c.dataset_id = found.dataset_id`,
    [datasetId, runId, cells.map((cell) => cell.itemId), cells.map((cell) => cell.repetition)],
  );
}

/** Inserts or updates open cells; leases on them stay. Cells that the grid has not reached yet are left out until it does. */
async function upsertCells(
  client: Client,
  { datasetId, runId }: LockedRun,
  position: DispatchPosition,
  cells: readonly CellChange[],
): Promise<void> {
  await client.query(
    `insert into open_cells (dataset_id, run_id, item_id, repetition, attempts)
     select $1, $2, cell.item_id, cell.repetition, cell.attempts
     from unnest($3::text[], $4::int[], $5::int[]) as cell(item_id, repetition, attempts)
     where (cell.repetition, cell.item_id collate "C") <= ($6::int, $7::text collate "C")
     on conflict (dataset_id, run_id, item_id, repetition) do update set attempts = excluded.attempts`,
    [
      datasetId,
      runId,
      cells.map((cell) => cell.itemId),
      cells.map((cell) => cell.repetition),
      cells.map((cell) => cell.attempts),
      position.repetition,
      position.itemId,
    ],
  );
}
