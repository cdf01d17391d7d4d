import { LRUCache } from "lru-cache";
import type { Pool } from "../db/pool.ts";
import {
  type CopiedItems,
  copyItems,
  cursorAfter,
  type ItemCursor,
  type VersionItems,
} from "../items/item-page-store.ts";
import type { RunCell, RunScope } from "../runs/run.ts";
import { findCoveredItems } from "../runs/run-item-store.ts";

/** How many items are remembered, of all runs together. Each takes about 150 bytes. */
const mostRemembered = 300_000;

/** How many items of a run are looked up one by one before all are read: one of so many, where that begins to be cheaper. */
const askedShare = 10;

/** How many runs are known by how much of them has been asked for. */
const mostRuns = 10_000;

/** How much is read at a time. */
const readSize = { limit: 32_000, bytes: 4 * 1024 * 1024 };

type ItemVersions = ReadonlyMap<string, bigint>;

/**
 * Which items runs cover, each with the version that wrote it. A version never changes: once a good part of a run has been asked
 * for, all of it is read, which takes a fifth of the time, and remembered, so that further repetitions cost no look-up. What
 * was used longest ago is forgotten.
 */
export class CoveredItemsCache {
  readonly #pool: Pool;
  /** How many items have been asked for, by run_id. */
  readonly #asked = new LRUCache<string, number>({ max: mostRuns });
  /** By run_id; their size is how many items the run covers. */
  readonly #remembered = new LRUCache<string, Promise<ItemVersions>>({ maxSize: mostRemembered });

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /** Those of the items of these cells that a run covers, and maybe others that it covers. */
  async find(scope: RunScope, cells: readonly RunCell[]): Promise<ItemVersions> {
    const all = this.#allItems(scope, cells.length);
    if (all !== undefined) return all;
    return findCoveredItems(this.#pool, scope, [...new Set(cells.map(({ itemId }) => itemId))]);
  }

  /** All items of a run, if they are remembered or worth it. */
  #allItems(scope: RunScope, asked: number): Promise<ItemVersions> | undefined {
    const { runId } = scope;
    const known = this.#remembered.get(runId);
    if (known !== undefined) return known;
    const size = Number(scope.itemCount);
    const askedInAll = (this.#asked.get(runId) ?? 0) + asked;
    if (size > mostRemembered || askedInAll * askedShare < size) {
      this.#asked.set(runId, askedInAll);
      return undefined;
    }
    this.#asked.delete(runId);
    const items = readAll(this.#pool, scope);
    // A run without items takes some room, too.
    this.#remembered.set(runId, items, { size: Math.max(size, 1) });
    // What could not be read is asked for again.
    items.catch(() => {
      if (this.#remembered.peek(runId) === items) this.#remembered.delete(runId);
    });
    return items;
  }
}

/** Reads all items that a run covers, along their key. */
async function readAll(pool: Pool, { datasetId, datasetVersion, splits }: RunScope): Promise<ItemVersions> {
  const covered: VersionItems = { datasetId, version: datasetVersion, filter: { splits, view: "keys" } };
  const all = new Map<string, bigint>();
  let behind: ItemCursor | undefined = cursorAfter(undefined);
  while (behind !== undefined) {
    const part = { behind, ...readSize };
    const items: CopiedItems = await copyItems(pool, covered, part);
    while (items.next()) all.set(items.itemId, items.provenance.version);
    behind = items.rest;
  }
  return all;
}
