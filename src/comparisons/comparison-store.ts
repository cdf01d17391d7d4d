import type { Queryable } from "../db/pool.ts";
import { type RunScope, resultId } from "../runs/run.ts";
import { listCoveredItems } from "../runs/run-item-store.ts";
import type { ComparisonItem, ComparisonSide, ScoreSum } from "./comparison.ts";

/** Rows per query: enough to keep the database busy, few enough to keep memory flat. */
const pageSize = 5_000;

/** Two runs side by side. */
export interface RunsSideBySide {
  /** Items that both cover, in ascending byte order of item_id. */
  readonly items: readonly ComparisonItem[];
  readonly baseOnlyItemCount: number;
  readonly candidateOnlyItemCount: number;
  /** The names of all scores that either run has. */
  readonly scoreNames: ReadonlySet<string>;
}

/**
 * Reads everything that a comparison needs of two runs on one dataset. Memory grows with items, repetitions and scores, but not
 * with payloads: a few hundred bytes per item. Run it in a snapshot, so that both runs are read at one point in time.
 */
export async function readSideBySide(
  db: Queryable,
  base: RunScope,
  candidate: RunScope,
): Promise<RunsSideBySide> {
  const scoreNames = new Set<string>();
  const candidateItems = await readItems(db, candidate);
  const baseSides = await readSides(db, base, scoreNames);
  const candidateSides = await readSides(db, candidate, scoreNames);
  const items: ComparisonItem[] = [];
  let baseOnlyItemCount = 0;
  for await (const { itemId, contentHash } of coveredItems(db, base)) {
    const other = candidateItems.get(itemId);
    if (other === undefined) {
      baseOnlyItemCount++;
      continue;
    }
    items.push({
      itemId,
      drifted: !contentHash.equals(other),
      base: baseSides.get(itemId) ?? emptySide(base),
      candidate: candidateSides.get(itemId) ?? emptySide(candidate),
    });
  }
  return { items, baseOnlyItemCount, candidateOnlyItemCount: candidateItems.size - items.length, scoreNames };
}

async function readItems(db: Queryable, scope: RunScope): Promise<Map<string, Buffer>> {
  const hashes = new Map<string, Buffer>();
  for await (const { itemId, contentHash } of coveredItems(db, scope)) hashes.set(itemId, contentHash);
  return hashes;
}

async function* coveredItems(db: Queryable, scope: RunScope) {
  for (let after = ""; ; ) {
    const page = await listCoveredItems(db, scope, after, pageSize);
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < pageSize) return;
    after = last.itemId;
  }
}

function emptySide({ repetitions }: RunScope): SideBuilder {
  return { succeeded: 0, failed: 0, missing: repetitions, resultIds: [], scores: new Map() };
}

interface SideBuilder extends ComparisonSide {
  missing: number;
  readonly resultIds: string[];
  readonly scores: Map<string, ScoreSum>;
}

/** Reads the results of a run by item, with the sums of their scores. Adds the names of scores to `names`. */
async function readSides(
  db: Queryable,
  scope: RunScope,
  names: Set<string>,
): Promise<Map<string, ComparisonSide>> {
  const sides = new Map<string, SideBuilder>();
  for (let after = { itemId: "", repetition: 0 }; ; ) {
    const page = await listJudgements(db, scope, after);
    for (const row of page) {
      const side = sides.get(row.item_id) ?? emptySide(scope);
      sides.set(row.item_id, side);
      side.missing--;
      if (row.succeeded) side.succeeded++;
      else side.failed++;
      side.resultIds.push(resultId(scope.resultIdPrefix, row.number));
      addScores(side.scores, row, names);
    }
    const last = page.at(-1);
    if (last === undefined || page.length < pageSize) return sides;
    after = { itemId: last.item_id, repetition: last.repetition };
  }
}

function addScores(scores: Map<string, ScoreSum>, row: JudgementRow, names: Set<string>): void {
  row.judged?.forEach((name, index) => {
    const value = row.judged_values?.[index];
    names.add(name);
    if (value === undefined || value === null) return;
    const sum = scores.get(name);
    if (sum === undefined) scores.set(name, { sum: value, count: 1 });
    else {
      sum.sum += value;
      sum.count++;
    }
  });
}

interface JudgementRow {
  item_id: string;
  repetition: number;
  number: bigint;
  succeeded: boolean;
  judged: string[] | null;
  judged_values: (number | null)[] | null;
}

/** Lists current results without payloads, in the order of item_id and repetition, after a cell. */
async function listJudgements(
  db: Queryable,
  { datasetId, runId }: RunScope,
  after: { readonly itemId: string; readonly repetition: number },
): Promise<JudgementRow[]> {
  const { rows } = await db.query<JudgementRow>(
    `select item_id, repetition, number, output is not null as succeeded, judged, judged_values
     from run_results
     where dataset_id = $1 and run_id = $2 and superseded_by is null and (item_id, repetition) > ($3, $4::int)
     order by item_id, repetition
     limit $5`,
    [datasetId, runId, after.itemId, after.repetition, pageSize],
  );
  return rows;
}
