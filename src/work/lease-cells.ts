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

/** A worker that cells are leased to, and for how long. */
export interface Lessee extends Assignee {
  readonly leaseMicros: bigint;
}

/** A locked run that workers have joined. */
type DispatchedRun = LockedRun & { readonly dispatchPosition: DispatchPosition };

/** What was leased. */
export interface LeasedCells<L extends Lessee> {
  /** Leases of each worker that got some. */
  readonly leases: ReadonlyMap<L, readonly Lease[]>;
  /** Whether leasing stopped at a bound, so that there may be more for those who have room left. */
  readonly hasMore: boolean;
  /** Whether the whole grid has been leased, so that only cells that come back are left. */
  readonly isGridExhausted: boolean;
}

/** Cells that are leased at once. More would keep others waiting for the lock on the run. */
const maxCells = 1_000;

/** How many times as many cells that are done may be passed over at once, for the same reason. */
const maxPages = 10;

/** Cells that are looked at together at least: most of those that are not done are leased, so few are looked at twice. */
const minPage = 16;

/**
 * Leases cells of a locked run to workers that have room: first what workers have given back, which goes to others at once; then
 * the grid, in the order of repetition and item, so that all items are answered once before any is answered again; last what
 * was lost or has failed, so that neither a cell that kills its workers nor one that always fails is in the way of others.
 *
 * What it costs depends on how many cells are leased and not on how many there are or were.
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
  // All that is read here is the beginning of something in the order of an index.
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
  // Purged items take no results any more, so their cells are nobody's work.
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
  // Only when the grid has nothing left is the rest looked at.
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
  /** Cells without a result, at most as many as were wanted. */
  readonly cells: readonly WaitingCell[];
  /** The last cell that was looked at. */
  readonly position: Pick<DispatchPosition, "repetition" | "itemId">;
  /** Whether nothing is behind it. */
  readonly isExhausted: boolean;
}

/** Goes on through the grid until it has as many cells without a result as are wanted. Those that have failed wait from now on. */
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
