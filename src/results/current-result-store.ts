import { type CopyRows, copyIn } from "../db/copy.ts";
import type { Instant } from "../db/instant.ts";
import type { Client } from "../db/pool.ts";
import type { RunScope } from "../runs/run.ts";
import type { CurrentResult, NewResult, Usage } from "./result.ts";
import { newScoresToColumns } from "./score-columns.ts";

/** A cell of a run. */
interface Cell {
  readonly itemId: string;
  readonly repetition: number;
}

/**
 * Returns the current result of each cell, at the position of the cell; undefined where there is none. One look-up by key per
 * cell, see “Planner idioms” in docs/storage.md.
 */
export async function findCurrentResults(
  client: Client,
  { datasetId, runId }: RunScope,
  cells: readonly Cell[],
): Promise<(CurrentResult | undefined)[]> {
  const { rows } = await client.query<{
    position: bigint;
    number: bigint;
    sequence: bigint;
    attempt: number;
    succeeded: boolean;
    carried: boolean;
    fingerprint: Buffer;
    bytes: number;
  }>(
    `select cell.position, found.*
     from unnest($3::text[], $4::int[]) with ordinality as cell(item_id, repetition, position)
     cross join lateral (
       select number, sequence, attempt, output is not null as succeeded,
              carried_from_result_id is not null as carried, fingerprint,
              octet_length(coalesce(output, error)) as bytes
       from run_results as r
       where r.dataset_id = $1 and r.run_id = $2 and r.item_id = cell.item_id and r.repetition = cell.repetition
         and r.superseded_by is null
       limit 1
     ) as found`,
    [datasetId, runId, cells.map((cell) => cell.itemId), cells.map((cell) => cell.repetition)],
  );
  const current = new Array<CurrentResult | undefined>(cells.length).fill(undefined);
  for (const { position, ...row } of rows) current[Number(position) - 1] = row;
  return current;
}

/**
 * Marks current results as superseded, each by the given attempt at its cell. On `ctid`, see “Planner idioms” in docs/storage.md.
 */
export async function supersedeResults(
  client: Client,
  { datasetId, runNumber }: RunScope,
  superseded: readonly { readonly sequence: bigint; readonly attempt: number }[],
): Promise<void> {
  if (superseded.length === 0) return;
  await client.query(
    `update run_results as r set superseded_by = found.attempt
     from (
       select change.attempt, old.tuple_id, old.dataset_id
       from unnest($3::bigint[], $4::int[]) as change(sequence, attempt)
       cross join lateral (
         select ctid as tuple_id, dataset_id from run_results as o
         where o.run_number = $2 and o.sequence = change.sequence and o.dataset_id = $1
         limit 1
       ) as old
     ) as found
     where r.ctid = found.tuple_id and r.dataset_id = found.dataset_id`,
    [datasetId, runNumber, superseded.map((one) => one.sequence), superseded.map((one) => one.attempt)],
  );
}

/** A result with the numbers that recording assigns to it. */
export interface SequencedResult {
  readonly result: NewResult;
  readonly attempt: number;
  readonly sequence: bigint;
  readonly itemVersion: bigint;
}

/** Inserts new current results. Their cells must not have one at this point. */
export async function insertResults(
  client: Client,
  { datasetId, runId, runNumber }: RunScope,
  results: readonly SequencedResult[],
  time: Instant,
): Promise<void> {
  if (results.length === 0) return;
  await copyIn(client, copyStatement, results, (rows, one) => {
    const { result, attempt, sequence, itemVersion } = one;
    rows.row(columnCount);
    rows.text(datasetId);
    rows.text(runId);
    rows.int8(runNumber);
    rows.text(result.itemId);
    rows.int4(result.repetition);
    rows.int4(attempt);
    rows.int8(sequence);
    rows.int8(sequence);
    rows.int8(itemVersion);
    rows.text(result.output);
    rows.text(result.error && JSON.stringify(result.error));
    rows.timestamptz(result.startTime);
    rows.timestamptz(result.completeTime);
    rows.int8(result.latencyMicros);
    rows.int4(result.retryCount);
    rows.text(result.traceId);
    addUsage(rows, result.usage);
    rows.bytes(result.fingerprint);
    addScores(rows, result, time);
    rows.timestamptz(time);
  });
}

const columns = [
  "dataset_id",
  "run_id",
  "run_number",
  "item_id",
  "repetition",
  "attempt",
  "sequence",
  "number",
  "item_version",
  "output",
  "error",
  "start_time",
  "complete_time",
  "latency_micros",
  "retry_count",
  "trace_id",
  "input_tokens",
  "output_tokens",
  "cost",
  "currency_code",
  "fingerprint",
  "scores",
  "judged",
  "judged_values",
  "create_time",
];
const columnCount = columns.length;
const copyStatement = `copy run_results (${columns.join(", ")}) from stdin (format binary)`;

function addUsage(rows: CopyRows, usage: Usage | undefined): void {
  rows.int8(usage?.inputTokens);
  rows.int8(usage?.outputTokens);
  rows.float8(usage?.cost);
  rows.text(usage?.currencyCode);
}

function addScores(rows: CopyRows, { scores }: NewResult, createTime: Instant): void {
  const recorded = newScoresToColumns(scores, createTime);
  rows.text(recorded.scores);
  rows.texts(recorded.judged);
  rows.float8s(recorded.judgedValues);
}
