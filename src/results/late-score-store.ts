import type { Client } from "../db/pool.ts";
import type { RunScope } from "../runs/run.ts";
import type { ScoredResult } from "./late-score.ts";

/**
 * Returns the results with these numbers, current or replaced, by number. A result that was never rescored has its number as its
 * sequence number, the others have an index of their own: one or two look-ups by key each, see “Planner idioms” in
 * docs/storage.md.
 */
export async function findJudgedResults(
  client: Client,
  { datasetId, runNumber }: RunScope,
  numbers: readonly bigint[],
): Promise<Map<bigint, ScoredResult>> {
  const { rows } = await client.query<{
    number: bigint;
    sequence: bigint;
    item_id: string;
    repetition: number;
    succeeded: boolean;
    replaced: boolean;
    purged: boolean;
    bytes: number;
  }>(
    `select wanted.number, found.*
     from unnest($3::bigint[]) as wanted(number)
     cross join lateral (
       select ${columns} from run_results as r
       where r.run_number = $2 and r.sequence = wanted.number and r.dataset_id = $1 and r.number = wanted.number
       union all
       select ${columns} from run_results as r
       where r.run_number = $2 and r.number = wanted.number and r.dataset_id = $1 and r.number <> r.sequence
       limit 1
     ) as found`,
    [datasetId, runNumber, numbers],
  );
  return new Map(rows.map(({ item_id: itemId, ...row }) => [row.number, { ...row, itemId }]));
}

// Only an erased output is empty, and erasing takes the lock on the run, which the caller holds.
const columns = `
  r.sequence, r.item_id, r.repetition, r.output is not null as succeeded, r.superseded_by is not null as replaced,
  coalesce(r.output = '', false) as purged,
  octet_length(coalesce(r.output, r.error)) as bytes`;
