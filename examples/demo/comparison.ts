import type { Client } from "@connectrpc/connect";
import type {
  ComparisonRow,
  ComparisonSummary,
  ScoreComparison,
} from "../../gen/itembank/v1/comparison_pb.js";
import type { Item } from "../../gen/itembank/v1/item_pb.js";
import type { RunService } from "../../gen/itembank/v1/run_service_pb.js";

/** Two runs side by side. */
export interface Comparison {
  readonly summary: ComparisonSummary;
  readonly correct: ScoreComparison;
  /** The items that both runs cover, in order of item_id. */
  readonly rows: readonly ComparisonRow[];
}

/**
 * Compares how often two runs are correct. A cell that failed or is missing counts as wrong, so a target gains nothing by
 * staying silent on hard questions.
 *
 * @throws Error if the stream was cut.
 */
export async function compare(
  runs: Client<typeof RunService>,
  baseRunId: string,
  candidateRunId: string,
): Promise<Comparison> {
  let summary: ComparisonSummary | undefined;
  const rows: ComparisonRow[] = [];
  const scores = [{ name: "correct", failureValue: 0 }];
  for await (const { frame } of runs.compareRuns({ baseRunId, candidateRunId, scores })) {
    if (frame.case === "summary") summary = frame.value;
    if (frame.case === "rows") rows.push(...frame.value.rows);
    if (frame.case !== "end") continue;
    const correct = summary?.scores[0];
    if (summary !== undefined && correct !== undefined) return { summary, correct, rows };
  }
  throw new Error("the comparison ended without its last frame");
}

/** One group of items in both runs. */
export interface GroupComparison {
  readonly name: string;
  readonly items: number;
  readonly baseMean: number;
  readonly candidateMean: number;
  readonly wins: number;
  readonly losses: number;
  readonly ties: number;
}

/** Returns the comparison topic by topic, ordered by name. */
export function compareByTopic(rows: readonly ComparisonRow[], items: readonly Item[]): GroupComparison[] {
  const topicOf = new Map(items.map(({ itemId, metadataJson }) => [itemId, topic(metadataJson)]));
  const groups = Map.groupBy(rows, ({ itemId }) => topicOf.get(itemId) ?? "");
  return [...groups]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, group]) => sum(name, group));
}

function topic(metadataJson: string): string {
  const { topic: name } = JSON.parse(metadataJson || "{}");
  return typeof name === "string" ? name : "";
}

function sum(name: string, rows: readonly ComparisonRow[]): GroupComparison {
  const pairs = rows.flatMap(({ scores: [score] }) =>
    score?.base === undefined || score.candidate === undefined
      ? []
      : [{ base: score.base, candidate: score.candidate }],
  );
  const mean = (values: readonly number[]) =>
    values.reduce((total, value) => total + value, 0) / Math.max(values.length, 1);
  return {
    name,
    items: pairs.length,
    baseMean: mean(pairs.map(({ base }) => base)),
    candidateMean: mean(pairs.map(({ candidate }) => candidate)),
    wins: pairs.filter(({ base, candidate }) => candidate > base).length,
    losses: pairs.filter(({ base, candidate }) => candidate < base).length,
    ties: pairs.filter(({ base, candidate }) => candidate === base).length,
  };
}

/** Outcomes of a comparison worth a look, one example of each. */
const kinds: readonly ((row: ComparisonRow) => boolean)[] = [
  (row) => difference(row) === 1 && row.base?.failed === 0,
  (row) => difference(row) === 1 && (row.base?.failed ?? 0) > 0,
  (row) => difference(row) < 0 && row.candidate?.failed === 0 && row.candidate.missing === 0,
  (row) => (row.candidate?.failed ?? 0) > 0,
  (row) => (row.candidate?.missing ?? 0) > 0,
];

/** Returns some items that the runs answer differently: a win, a win over an error, a loss, an error, a gap. */
export function examplesOf(rows: readonly ComparisonRow[]): ComparisonRow[] {
  return kinds.flatMap((isOfKind) => rows.find(isOfKind) ?? []);
}

function difference({ scores: [score] }: ComparisonRow): number {
  return score?.difference ?? 0;
}
