import type { Client } from "../db/pool.ts";
import type { DatasetHandle, RunHandle } from "../handles.ts";
import type { ResultError } from "./result.ts";
import type { RecordedScore } from "./score.ts";
import { scoreFromColumn, scoresFromColumn, scoresToColumns, scoreToColumn } from "./score-columns.ts";

/** Rows per page: a result with its scores takes up to 2 MiB, mostly a few KiB. */
const pageSize = 50;

/** A result with those of its texts that erasing changes. */
export interface ResultTexts {
  readonly runNumber: bigint;
  readonly sequence: bigint;
  readonly error: ResultError | undefined;
  readonly scores: readonly RecordedScore[];
}

/** A score that was replaced. */
export interface ReplacedScore {
  readonly runId: RunHandle;
  readonly number: bigint;
  readonly sequence: bigint;
  readonly score: RecordedScore;
}

/** Locks the runs on a dataset that take results, and the runs that have results of an item and may take scores of them. */
export async function lockRunsOfItem(
  client: Client,
  datasetId: DatasetHandle,
  itemId: string,
): Promise<void> {
  await client.query(
    `select from runs
     left join lateral (
       select true as found from run_results
       where dataset_id = $1 and run_id = runs.run_id and item_id = $2
       limit 1
     ) result on true
     where runs.dataset_id = $1 and (runs.state in ('pending', 'running') or result.found)
     order by runs.run_id
     for no key update of runs`,
    [datasetId, itemId],
  );
}

/** All results of an item, run by run. */
const resultsOfItem = `
  runs
  join run_results result on result.dataset_id = $1 and result.run_id = runs.run_id and result.item_id = $2`;

/** Streams the results of an item in all runs on a dataset, page by page. They may be changed in between. */
export async function* streamResultsOfItem(
  client: Client,
  datasetId: DatasetHandle,
  itemId: string,
): AsyncGenerator<ResultTexts[]> {
  await client.query(
    `declare results_of_item no scroll cursor for
     select result.run_number, result.sequence, result.error, result.scores
     from ${resultsOfItem}
     where runs.dataset_id = $1`,
    [datasetId, itemId],
  );
  for (;;) {
    const { rows } = await client.query<{
      run_number: bigint;
      sequence: bigint;
      error: string | null;
      scores: string | null;
    }>(`fetch ${pageSize} from results_of_item`);
    if (rows.length === 0) break;
    yield rows.map((row) => ({
      runNumber: row.run_number,
      sequence: row.sequence,
      error: row.error === null ? undefined : JSON.parse(row.error),
      scores: scoresFromColumn(row.scores ?? undefined),
    }));
  }
  await client.query("close results_of_item");
}

/** Writes these errors and scores into results, and an empty output into successes: an empty text is not JSON. */
export async function updateErasedResults(
  client: Client,
  datasetId: DatasetHandle,
  results: readonly ResultTexts[],
): Promise<void> {
  // On `ctid`, see “Planner idioms” in docs/storage.md. Results without text are skipped, so that erasing twice writes nothing.
  await client.query(
    `update run_results as r
     set output = case when r.output is null then null else '' end, error = found.error, scores = found.scores
     from (
       select change.*, old.tuple_id, old.dataset_id
       from unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[])
         as change(run_number, sequence, error, scores)
       cross join lateral (
         select ctid as tuple_id, dataset_id from run_results as o
         where o.run_number = change.run_number and o.sequence = change.sequence and o.dataset_id = $1
         limit 1
       ) as old
     ) as found
     where r.ctid = found.tuple_id and r.dataset_id = found.dataset_id
       and (r.output <> '' or r.error <> found.error or r.scores <> found.scores)`,
    [
      datasetId,
      results.map((one) => one.runNumber),
      results.map((one) => one.sequence),
      results.map((one) => one.error && JSON.stringify(one.error)),
      results.map((one) => scoresToColumns(one.scores).scores),
    ],
  );
}

/** Streams the replaced scores of all results of an item, page by page. They may be changed in between. */
export async function* streamReplacedScoresOfItem(
  client: Client,
  datasetId: DatasetHandle,
  itemId: string,
): AsyncGenerator<ReplacedScore[]> {
  // On `offset 0`, see “Planner idioms” in docs/storage.md.
  await client.query(
    `declare replaced_scores_of_item no scroll cursor for
     select replaced.run_id, replaced.number, replaced.sequence, replaced.score
     from ${resultsOfItem}
     cross join lateral (
       select * from replaced_scores where dataset_id = $1 and run_id = result.run_id and number = result.number offset 0
     ) replaced
     where runs.dataset_id = $1`,
    [datasetId, itemId],
  );
  for (;;) {
    const { rows } = await client.query<{
      run_id: RunHandle;
      number: bigint;
      sequence: bigint;
      score: string;
    }>(`fetch ${pageSize} from replaced_scores_of_item`);
    if (rows.length === 0) break;
    yield rows.map((row) => ({
      runId: row.run_id,
      number: row.number,
      sequence: row.sequence,
      score: scoreFromColumn(row.score),
    }));
  }
  await client.query("close replaced_scores_of_item");
}

/** Writes replaced scores back. */
export async function updateErasedScores(
  client: Client,
  datasetId: DatasetHandle,
  scores: readonly ReplacedScore[],
): Promise<void> {
  await client.query(
    `update replaced_scores as r
     set score = found.score
     from (
       select change.score, old.tuple_id, old.dataset_id
       from unnest($2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[])
         as change(run_id, number, sequence, name, score)
       cross join lateral (
         select ctid as tuple_id, dataset_id from replaced_scores as o
         where o.dataset_id = $1 and o.run_id = change.run_id and o.number = change.number
           and o.sequence = change.sequence and o.name = change.name
         limit 1
       ) as old
     ) as found
     where r.ctid = found.tuple_id and r.dataset_id = found.dataset_id and r.score <> found.score`,
    [
      datasetId,
      scores.map((one) => one.runId),
      scores.map((one) => one.number),
      scores.map((one) => one.sequence),
      scores.map((one) => one.score.name),
      scores.map((one) => scoreToColumn(one.score)),
    ],
  );
}
