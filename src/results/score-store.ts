import type { Client, Queryable } from "../db/pool.ts";
import type { RunScope } from "../runs/run.ts";
import type { RecordedScore } from "./score.ts";
import { scoreFromColumn, scoresFromColumn, scoresToColumns, scoreToColumn } from "./score-columns.ts";

/** Lists the current scores of the results with these sequence numbers. Results without scores are left out. */
export async function listScores(
  db: Queryable,
  { datasetId, runNumber }: RunScope,
  sequences: readonly bigint[],
): Promise<Map<bigint, readonly RecordedScore[]>> {
  const { rows } = await db.query<{ sequence: bigint; scores: string }>(
    `select wanted.sequence, found.scores
     from unnest($3::bigint[]) as wanted(sequence)
     cross join lateral (
       select scores from run_results as r
       where r.run_number = $2 and r.sequence = wanted.sequence and r.dataset_id = $1 and r.scores is not null
       limit 1
     ) as found`,
    [datasetId, runNumber, sequences],
  );
  return new Map(rows.map((row) => [row.sequence, scoresFromColumn(row.scores)]));
}

/** A result whose scores change. */
export interface Rescoring {
  /** Its number, its sequence number until now, and its new one. */
  readonly number: bigint;
  readonly oldSequence: bigint;
  readonly newSequence: bigint;
  /** All its scores after the change. */
  readonly scores: readonly RecordedScore[];
  /** Its earlier scores that were replaced. */
  readonly replaced: readonly RecordedScore[];
}

/**
 * Writes new scores and sequence numbers of results, and keeps replaced scores. On `ctid`, see “Planner idioms” in
 * docs/storage.md.
 */
export async function updateScores(
  client: Client,
  { datasetId, runId, runNumber }: RunScope,
  rescorings: readonly Rescoring[],
): Promise<void> {
  if (rescorings.length === 0) return;
  const columns = rescorings.map(({ scores }) => scoresToColumns(scores));
  // The rows of a two-dimensional array must have one length, so the judged columns travel as JSON.
  const judged = columns.map(({ judged, judgedValues }) =>
    judged === undefined
      ? null
      : JSON.stringify(judged.map((name, at) => ({ name, value: judgedValues?.[at] }))),
  );
  await client.query(
    `update run_results as r
     set sequence = found.new_sequence, scores = found.scores,
         judged = (select array_agg(j.name order by j.position) from ${judgedRows}),
         judged_values = (select array_agg(j.value order by j.position) from ${judgedRows})
     from (
       select change.*, old.tuple_id, old.dataset_id
       from unnest($3::bigint[], $4::bigint[], $5::text[], $6::text[])
         as change(old_sequence, new_sequence, scores, judged)
       cross join lateral (
         select ctid as tuple_id, dataset_id from run_results as o
         where o.run_number = $2 and o.sequence = change.old_sequence and o.dataset_id = $1
         limit 1
       ) as old
     ) as found
     where r.ctid = found.tuple_id and r.dataset_id = found.dataset_id`,
    [
      datasetId,
      runNumber,
      rescorings.map(({ oldSequence }) => oldSequence),
      rescorings.map(({ newSequence }) => newSequence),
      columns.map(({ scores }) => scores),
      judged,
    ],
  );
  const replaced = rescorings.flatMap(({ number, newSequence, replaced }) =>
    replaced.map((score) => ({ number, newSequence, score })),
  );
  if (replaced.length === 0) return;
  await client.query(
    `insert into replaced_scores (dataset_id, run_id, number, sequence, name, score)
     select $1, $2, old.* from unnest($3::bigint[], $4::bigint[], $5::text[], $6::text[]) as old`,
    [
      datasetId,
      runId,
      replaced.map(({ number }) => number),
      replaced.map(({ newSequence }) => newSequence),
      replaced.map(({ score }) => score.name),
      replaced.map(({ score }) => scoreToColumn(score)),
    ],
  );
}

const judgedRows = `
  rows from (json_to_recordset(found.judged::json) as (name text, value double precision))
    with ordinality as j(name, value, position)`;

/** Lists the replaced scores of a result, newest first. */
export async function listReplacedScores(
  db: Queryable,
  { datasetId, runId }: RunScope,
  number: bigint,
  limit: number,
): Promise<RecordedScore[]> {
  const { rows } = await db.query<{ score: string }>(
    `select score from replaced_scores
     where dataset_id = $1 and run_id = $2 and number = $3
     order by sequence desc, name desc
     limit $4`,
    [datasetId, runId, number, limit],
  );
  return rows.map((row) => scoreFromColumn(row.score));
}
