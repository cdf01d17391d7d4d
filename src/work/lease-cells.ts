import { withIndexOrder } from "../db/planner.ts";
import type { Client } from "../db/pool.ts";
import { listPurged } from "../items/purge-store.ts";
import { present } from "../present.ts";
import { findCurrentResults } from "../results/current-result-store.ts";
import { type CellChange, deleteOpenCells, syncOpenCells } from "../results/open-cell-store.ts";
import type { DispatchPosition, LockedRun, RunCell } from "../runs/run.ts";
import { listCoveredItems } from "../runs/run-item-store.ts";
import { type Assignee, assignCells, type CellAssignment, type ReturnPolicy } from "./cell-assignment.ts";
import type { Lease } from "./lease.ts";
import {
  listWaiting,
  type NewLease,
  putLeases,
  updateDispatchPosition,
  type WaitingCell,
} from "./lease-store.ts";

/** A worker that takes leases, with the duration of each. */
export interface Lessee extends Assignee {
  readonly leaseMicros: bigint;
}

/** A locked run that workers have joined. */
type DispatchedRun = LockedRun & { readonly dispatchPosition: DispatchPosition };

/** The outcome of leasing. */
export interface LeasedCells<L extends Lessee> {
  /** The new leases of each worker that got any. */
  readonly leases: ReadonlyMap<L, readonly Lease[]>;
  /** Whether leasing stopped at a bound, so that there may be more cells for workers that have room left. */
  readonly hasMore: boolean;
  /** Whether the whole grid has been leased, so that only cells that come back remain. */
  readonly isGridExhausted: boolean;
}

/** The most cells to lease in one call. More would keep others waiting for the lock on the run. */
const maxCells = 1_000;

/** The most pages of the grid to read in one call, for the same reason: most of their cells may be done already. */
const maxPages = 10;

/** The smallest page of the grid: most cells that are not done are leased at once, so few are read twice. */
const minPage = 16;

/**
 * Leases cells of a locked run to workers that have room: first released cells, which go to other workers at once; then the
 * grid, in the order of repetition and item, so that all items are answered once before any is answered again; last cells that
 * were lost or have failed, so that neither a cell that kills its workers nor one that always fails holds up others.
 *
 * The cost depends on the number of cells leased, not on the number of cells in the run.
 */
export async function leaseCells<L extends Lessee>(
  client: Client,
  run: DispatchedRun,
  lessees: readonly L[],
): Promise<LeasedCells<L>> {
  const room = lessees.reduce((sum, lessee) => sum + lessee.free, 0);
  if (room === 0) {
    return {
      leases: new Map(),
      hasMore: false,
      isGridExhausted: run.dispatchPosition.repetition > run.repetitions,
    };
  }
  // Every read here takes the first rows in the order of an index.
  return withIndexOrder(client, () => leaseInOrder(client, run, lessees, room));
}

async function leaseInOrder<L extends Lessee>(
  client: Client,
  run: DispatchedRun,
  lessees: readonly L[],
  room: number,
): Promise<LeasedCells<L>> {
  const maxAttempts = Math.max(...lessees.map((lessee) => lessee.maxAttempts));
  let wanted = Math.min(room, maxCells);
  const assigned: CellAssignment<WaitingCell, L>[] = [];
  let dropped = 0;
  // Purged items no longer take results, so their cells are dropped.
  const dropPurged = async (cells: readonly WaitingCell[]) => {
    const purged = await findPurged(client, run, cells);
    const gone = cells.filter((cell) => purged.has(cell.itemId));
    await deleteOpenCells(client, run, gone);
    dropped += gone.length;
    return gone.length === 0 ? cells : cells.filter((cell) => !purged.has(cell.itemId));
  };
  const assign = (cells: readonly WaitingCell[], mayReturn: ReturnPolicy) => {
    const result = assignCells(cells, lessees, mayReturn);
    assigned.push(...result.assigned);
    wanted -= result.assigned.length;
    return result.left;
  };

  const released = await listWaiting(client, run, { released: true, maxAttempts, limit: wanted });
  const kept = assign(await dropPurged(released), "never");
  const grid = await advanceGrid(client, run, wanted);
  assign(grid.cells, "as a last resort");
  // Waiting cells are read only once the grid is exhausted.
  if (wanted > 0 && grid.isExhausted) {
    const waiting = await listWaiting(client, run, { released: false, maxAttempts, limit: wanted });
    assign([...kept, ...(await dropPurged(waiting))], "as a last resort");
  }

  let { leaseNumber } = run.dispatchPosition;
  const leases = assigned.map(({ cell, assignee }): NewLease => {
    leaseNumber++;
    const { itemId, repetition, attempts } = cell;
    const deadline = run.time + assignee.leaseMicros;
    return {
      itemId,
      repetition,
      attempt: attempts + 1,
      number: leaseNumber,
      deadline,
      workerId: assignee.workerId,
    };
  });
  await putLeases(client, run, leases);
  const position = { ...grid.position, leaseNumber };
  if (!isSamePosition(position, run.dispatchPosition)) await updateDispatchPosition(client, run, position);
  const leasesOf = Map.groupBy(
    leases.map((lease, index) => ({
      lease,
      lessee: present(assigned[index]).assignee,
    })),
    ({ lessee }) => lessee,
  );
  return {
    leases: new Map([...leasesOf].map(([lessee, own]) => [lessee, own.map(({ lease }) => lease)])),
    isGridExhausted: grid.isExhausted,
    hasMore: wanted > 0 ? !grid.isExhausted || dropped > 0 : room > maxCells,
  };
}

interface GridAdvance {
  /** Cells without a result, at most `wanted`. */
  readonly cells: readonly WaitingCell[];
  /** The last cell that was read. */
  readonly position: Pick<DispatchPosition, "repetition" | "itemId">;
  /** Whether no cell follows it. */
  readonly isExhausted: boolean;
}

/** Advances through the grid until it has `wanted` cells without a result. Failed cells that it passes wait from then on. */
async function advanceGrid(client: Client, run: DispatchedRun, wanted: number): Promise<GridAdvance> {
  let { repetition, itemId } = run.dispatchPosition;
  const cells: WaitingCell[] = [];
  const failed: CellChange[] = [];
  for (let pages = 0; pages < maxPages && cells.length < wanted && repetition <= run.repetitions; pages++) {
    const size = Math.min(Math.max(wanted - cells.length, minPage) * 2 ** pages, maxCells);
    const items = await listCoveredItems(client, run, itemId, size);
    const page = items.map((item): RunCell => ({ itemId: item.itemId, repetition }));
    const current = await findCurrentResults(client, run, page);
    const purged = await findPurged(client, run, page);
    for (const [at, cell] of page.entries()) {
      const result = current[at];
      const isMissing = result === undefined && !purged.has(cell.itemId);
      if (isMissing && cells.length === wanted) break;
      if (isMissing) cells.push({ ...cell, attempts: 0, workerId: "" });
      if (result?.succeeded === false) failed.push({ ...cell, succeeded: false, attempts: result.attempt });
      itemId = cell.itemId;
    }
    if (items.length < size && itemId === (items.at(-1)?.itemId ?? itemId)) {
      repetition++;
      itemId = "";
    }
  }
  const position = { ...run.dispatchPosition, repetition, itemId };
  await syncOpenCells(client, { ...run, dispatchPosition: position }, failed);
  return { cells, position: { repetition, itemId }, isExhausted: repetition > run.repetitions };
}

function findPurged(
  client: Client,
  { datasetId }: LockedRun,
  cells: readonly RunCell[],
): Promise<ReadonlySet<string>> {
  return listPurged(client, datasetId, [...new Set(cells.map((cell) => cell.itemId))]);
}

function isSamePosition(one: DispatchPosition, other: DispatchPosition): boolean {
  return (
    one.repetition === other.repetition &&
    one.itemId === other.itemId &&
    one.leaseNumber === other.leaseNumber
  );
}
