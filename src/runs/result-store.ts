import type { Queryable } from "../db/pool.ts";
import type { Instant } from "../instant.ts";
import { listItemsById } from "../items/item-store.ts";
import type { Result, ResultError, Usage } from "./result.ts";
import { type RunScope, resultId } from "./run.ts";
import { scoresFromColumn } from "./score-store.ts";

interface ResultRow {
  item_id: string;
  repetition: number;
  attempt: number;
  superseded_by: number | null;
  sequence: bigint;
  number: bigint;
  item_version: bigint;
  output: string | null;
  error: string | null;
  start_time: Instant | null;
  complete_time: Instant | null;
  latency_micros: bigint | null;
  retry_count: number;
  trace_id: string;
  input_tokens: bigint | null;
  output_tokens: bigint | null;
  cost: number | null;
  currency: string | null;
  scores: string | null;
  carried_from_result_id: string | null;
  create_time: Instant;
}

const columns = `
  r.item_id, r.repetition, r.attempt, r.superseded_by, r.sequence, r.number, r.item_version, r.output, r.error,
  r.start_time, r.complete_time, r.latency_micros, r.retry_count, r.trace_id, r.input_tokens, r.output_tokens, r.cost,
  r.currency, r.scores, r.carried_from_result_id, r.create_time`;

/** Which results of a run to list. Empty and false keep all. */
export interface ResultFilter {
  readonly itemId: string;
  readonly failedOnly: boolean;
  /** Keeps successes that lack a score of any of these names, or have one that is an error. */
  readonly missingScores: readonly string[];
  /** Whether results that were replaced are listed as well. */
  readonly includeReplaced: boolean;
}

/** Where a listing goes on: behind this result. */
export interface ResultPosition {
  readonly itemId: string;
  readonly repetition: number;
  readonly attempt: number;
}

/** Bounds of a page. At least one result is on it, however large. */
export interface ResultBounds {
  readonly results: number;
  /** Of outcomes and scores, and of items where they are asked for. */
  readonly bytes: number;
  readonly includeItem: boolean;
}

/** Some results. `isLast` if nothing was behind them when they were read. */
export interface ResultPage {
  readonly results: readonly Result[];
  readonly isLast: boolean;
}

/** The result with this number, current or replaced. */
export async function findResult(
  db: Queryable,
  scope: RunScope,
  number: bigint,
  includeItem: boolean,
): Promise<Result | undefined> {
  // A result that never moved is at its number; the others have an index of their own.
  const { rows } = await db.query<ResultRow>(
    `select ${columns} from run_results as r
     where r.run_number = $2 and r.sequence = $3 and r.dataset_id = $1 and r.number = $3
     union all
     select ${columns} from run_results as r
     where r.run_number = $2 and r.number = $3 and r.dataset_id = $1 and r.number <> r.sequence`,
    [scope.datasetId, scope.runNumber, number],
  );
  const [result] = await fromRows(db, scope, rows, includeItem);
  return result;
}

/** Results of a run by item_id, repetition and attempt. */
export async function listResults(
  db: Queryable,
  scope: RunScope,
  filter: ResultFilter,
  after: ResultPosition | undefined,
  bounds: ResultBounds,
): Promise<ResultPage> {
  const values: unknown[] = [];
  const parameter = (value: unknown) => `$${values.push(value)}`;
  const key = `r.dataset_id = ${parameter(scope.datasetId)} and r.run_id = ${parameter(scope.runId)}`;
  const conditions = [key];
  if (!filter.includeReplaced) conditions.push("r.superseded_by is null");
  if (filter.itemId !== "") conditions.push(`r.item_id = ${parameter(filter.itemId)}`);
  if (filter.failedOnly) conditions.push("r.output is null");
  if (filter.missingScores.length > 0) {
    const names = parameter(filter.missingScores);
    conditions.push(`r.output is not null and (r.judged is null or not r.judged @> ${names}::text[])`);
  }
  if (after !== undefined) {
    const cell = `(${parameter(after.itemId)}, ${parameter(after.repetition)}::int)`;
    // With attempts, the first condition is one range of the index by cell, and the second leaves out what was listed.
    conditions.push(
      filter.includeReplaced
        ? `(r.item_id, r.repetition) >= ${cell}
           and ((r.item_id, r.repetition) > ${cell} or r.attempt > ${parameter(after.attempt)}::int)`
        : `(r.item_id, r.repetition) > ${cell}`,
    );
  }
  // The index by cell has attempts in order: each is superseded by a later one, and null sorts last.
  return page(db, scope, { conditions, order: ["item_id", "repetition", "superseded_by"], values }, bounds);
}

/** Current results of a run in the order of their last change, behind the place `after`. */
export async function listChanges(
  db: Queryable,
  scope: RunScope,
  after: bigint,
  bounds: ResultBounds,
): Promise<ResultPage> {
  const conditions = [
    "r.dataset_id = $1 and r.run_number = $2 and r.sequence > $3 and r.superseded_by is null",
  ];
  const values = [scope.datasetId, scope.runNumber, after];
  return page(db, scope, { conditions, order: ["sequence"], values }, bounds);
}

interface PageQuery {
  readonly conditions: readonly string[];
  /** Columns. */
  readonly order: readonly string[];
  readonly values: readonly unknown[];
}

async function page(
  db: Queryable,
  scope: RunScope,
  { conditions, order, values }: PageQuery,
  { results, bytes, includeItem }: ResultBounds,
): Promise<ResultPage> {
  const [limit, maxBytes] = [`$${values.length + 1}::bigint`, `$${values.length + 2}::bigint`];
  // Sizes are summed before payloads are read, so that a page of large results costs no more memory than one of small
  // results. One result beyond the page tells whether there is another.
  const { rows } = await db.query<ResultRow & { found: bigint }>(
    `select * from (
       select r.*, count(*) over () as found, row_number() over in_order as place, sum(size) over in_order as bytes
       from (
         select ${columns}, ${outcomeSize} + ${includeItem ? itemSize : "0"} as size
         from run_results as r
         where ${conditions.join(" and ")}
         order by ${order.map((column) => `r.${column}`).join(", ")}
         limit ${limit} + 1
       ) as r
       window in_order as (order by ${order.join(", ")} rows unbounded preceding)
     ) as measured
     where place <= ${limit} and (place = 1 or bytes <= ${maxBytes})
     order by place`,
    [...values, results, bytes],
  );
  return {
    results: await fromRows(db, scope, rows, includeItem),
    isLast: BigInt(rows.length) === (rows[0]?.found ?? 0n),
  };
}

/** Bytes of a result on the wire, about: what has a length of its own, and a share for the rest. */
const outcomeSize = `(
  256 + coalesce(octet_length(r.output), 0) + coalesce(octet_length(r.error), 0) + coalesce(octet_length(r.scores), 0))`;

const itemSize = `coalesce((
  select 256 + octet_length(i.input) + coalesce(octet_length(i.expected_output), 0) + coalesce(octet_length(i.metadata), 0)
  from changesets as c
  join item_revisions as i on i.dataset_id = c.dataset_id and i.changeset_id = c.changeset_id
  where c.dataset_id = r.dataset_id and c.version = r.item_version and i.item_id = r.item_id
), 0)`;

async function fromRows(
  db: Queryable,
  scope: RunScope,
  rows: readonly ResultRow[],
  includeItem: boolean,
): Promise<Result[]> {
  const itemIds = includeItem ? [...new Set(rows.map((row) => row.item_id))] : [];
  const items =
    itemIds.length === 0 ? [] : await listItemsById(db, scope.datasetId, scope.datasetVersion, itemIds);
  const itemOf = new Map(items.map((item) => [item.itemId, item]));
  return rows.map((row) => ({
    resultId: resultId(scope.resultIdPrefix, row.number),
    runId: scope.runId,
    itemId: row.item_id,
    itemVersion: row.item_version,
    repetition: row.repetition,
    attempt: row.attempt,
    output: row.output ?? undefined,
    error: errorFromColumn(row.error),
    startTime: row.start_time ?? undefined,
    completeTime: row.complete_time ?? undefined,
    latencyMicros: row.latency_micros ?? undefined,
    retryCount: row.retry_count,
    traceId: row.trace_id,
    usage: usageFromRow(row),
    scores: scoresFromColumn(row.scores),
    sequence: row.sequence,
    createTime: row.create_time,
    carriedFromResultId: row.carried_from_result_id ?? "",
    replaced: row.superseded_by !== null,
    item: itemOf.get(row.item_id),
  }));
}

function errorFromColumn(error: string | null): ResultError | undefined {
  return error === null ? undefined : JSON.parse(error);
}

function usageFromRow(row: ResultRow): Usage | undefined {
  if (row.currency === null) return undefined;
  return {
    inputTokens: row.input_tokens ?? undefined,
    outputTokens: row.output_tokens ?? undefined,
    cost: row.cost ?? undefined,
    currency: row.currency,
  };
}
