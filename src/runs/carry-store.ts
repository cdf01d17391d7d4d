import { type Instant, instantToSql } from "../db/instant.ts";
import type { Client } from "../db/pool.ts";
import { itemAt } from "../items/visible-at.ts";
import type { RunScope } from "./run.ts";
import { coveredRevisions } from "./run-item-store.ts";

/** Prevents the deletion of a run until the transaction ends. Returns false if the run no longer exists. */
export async function keepRun(
  client: Client,
  { datasetId, runId }: Pick<RunScope, "datasetId" | "runId">,
): Promise<boolean> {
  const { rowCount } = await client.query(
    "select from runs where dataset_id = $1 and run_id = $2 for key share",
    [datasetId, runId],
  );
  return rowCount === 1;
}

/**
 * Copies successes of one run with their scores into another one that is new and on the same dataset: those in cells that both
 * have, of items with equal content in both versions. They get the sequence numbers 1, 2, 3, … in the order of cells. Returns
 * their number.
 *
 * Each result looks up its item by key in both versions, see “Planner idioms” in docs/storage.md.
 */
export async function copyResults(
  client: Client,
  from: RunScope,
  to: RunScope,
  time: Instant,
): Promise<number> {
  const { rowCount } = await client.query(
    `insert into run_results (
       dataset_id, run_id, run_number, item_id, repetition, attempt, sequence, number, item_version, ${copied},
       carried_from_result_id, create_time)
     select $1, $4, $5, item_id, repetition, 1, place, place, version, ${copied}, origin, $6
     from (
       select source.*, unchanged.version, row_number() over (order by source.item_id, source.repetition) as place,
              coalesce(source.carried_from_result_id, $7 || ${idDigits("source.number")}) as origin
       from run_results as source
       cross join lateral (
         select changeset.version
         from ${coveredRevisions} and revision.item_id = source.item_id
           and revision.content_hash = (${itemAt("revision.content_hash", "$8", "source.item_id")})
         limit 1
       ) as unchanged
       where source.dataset_id = $1 and source.run_id = $9 and source.superseded_by is null
         and source.output is not null and source.repetition <= $10::int
     ) as carried`,
    [
      to.datasetId,
      to.datasetVersion,
      to.splits,
      to.runId,
      to.runNumber,
      instantToSql(time),
      from.resultIdPrefix,
      from.datasetVersion,
      from.runId,
      to.repetitions,
    ],
  );
  return rowCount ?? 0;
}

/** The columns of a result that are copied unchanged. */
const copied = `
  output, start_time, complete_time, latency_micros, retry_count, trace_id, input_tokens, output_tokens, cost, currency_code,
  fingerprint, scores, judged, judged_values`;

/** Returns the SQL for the end of a result_id, as `resultId` makes it from the number: eight digits in base 32. */
function idDigits(number: string): string {
  return [35, 30, 25, 20, 15, 10, 5, 0]
    .map((bits) => `substr('0123456789abcdefghijklmnopqrstuv', (${number} >> ${bits} & 31)::int + 1, 1)`)
    .join(" || ");
}
