import { randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import type { Client } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type ComparisonRow,
  type ComparisonSummary,
  ComparisonView,
  ScoreDirection,
  Verdict,
} from "../../gen/itembank/v1/comparison_pb.js";
import { DatasetService } from "../../gen/itembank/v1/dataset_service_pb.js";
import type { Item } from "../../gen/itembank/v1/item_pb.js";
import { ItemService } from "../../gen/itembank/v1/item_service_pb.js";
import { QueryService } from "../../gen/itembank/v1/query_service_pb.js";
import type { Receipt } from "../../gen/itembank/v1/receipt_pb.js";
import type { RunResult } from "../../gen/itembank/v1/result_pb.js";
import { Run_State } from "../../gen/itembank/v1/run_pb.js";
import { RunService } from "../../gen/itembank/v1/run_service_pb.js";
import { CellParsing, FileFormat } from "../../gen/itembank/v1/upload_pb.js";
import { UpsertService } from "../../gen/itembank/v1/upsert_service_pb.js";
import { comparePairs } from "../comparisons/paired-model.ts";
import { startTestService, type TestService } from "../support/service.ts";
import { importFile } from "../uploads/sending.ts";

/** GSM8K is not part of the project. The tests run where its files lie beside the project. */
const folder = new URL("../../../shared/data/gsm8k/", import.meta.url);
const present = existsSync(folder);

interface Problem {
  readonly question: string;
  readonly answer: string;
}

const models = ["6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"] as const;

type Solutions = { readonly question: string } & Record<
  (typeof models)[number],
  { readonly is_correct: boolean; readonly solution: string }
>;

function read<T>(name: string): T[] {
  return readFileSync(new URL(name, folder), "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

/** Counts the matches of a pattern in a file: independent of the service, down to the JSON parser. */
function countText(name: string, pattern: RegExp): number {
  return readFileSync(new URL(name, folder), "utf8").match(pattern)?.length ?? 0;
}

const named = { by: { case: "name" as const, value: "gsm8k" } };
const idOf = (split: string, index: number) => `${split}-${String(index).padStart(4, "0")}`;

function toItems(split: string, problems: readonly Problem[]) {
  return problems.map(({ question, answer }, index) => ({
    itemId: idOf(split, index),
    inputJson: JSON.stringify({ question }),
    expectedOutputJson: JSON.stringify(answer),
    splits: [split],
  }));
}

/** Imports items as one version. */
async function importAll(
  client: Client<typeof UpsertService>,
  items: ReturnType<typeof toItems>,
): Promise<Receipt> {
  async function* frames() {
    yield {
      frame: {
        case: "open" as const,
        value: { dataset: named, requestId: randomUUID(), options: { createIfMissing: true } },
      },
    };
    for (let offset = 0; offset < items.length; offset += 1000) {
      yield {
        frame: {
          case: "batch" as const,
          value: { offset: BigInt(offset), items: items.slice(offset, offset + 1000) },
        },
      };
    }
    yield { frame: { case: "commit" as const, value: { itemCount: BigInt(items.length) } } };
  }
  for await (const { frame } of client.streamUpsertItems(frames())) {
    if (frame.case === "receipt") return frame.value;
  }
  throw new Error("the import ended without a receipt");
}

async function readAll(client: Client<typeof ItemService>, version: bigint): Promise<Item[]> {
  const items: Item[] = [];
  for await (const { frame } of client.streamItems({
    dataset: named,
    at: { by: { case: "version", value: version } },
  })) {
    if (frame.case === "batch") items.push(...frame.value.items);
    if (frame.case === "end") {
      expect(frame.value).toMatchObject({ version, itemCount: BigInt(items.length) });
      return items;
    }
  }
  throw new Error("the stream was cut");
}

async function compare(
  client: Client<typeof RunService>,
  request: Parameters<Client<typeof RunService>["compareRuns"]>[0],
) {
  let summary: ComparisonSummary | undefined;
  const rows: ComparisonRow[] = [];
  for await (const { frame } of client.compareRuns(request)) {
    if (frame.case === "summary") summary = frame.value;
    if (frame.case === "rows") rows.push(...frame.value.rows);
    if (frame.case === "end" && summary !== undefined) {
      expect(frame.value.rowCount).toBe(BigInt(rows.length));
      return { summary, rows };
    }
  }
  throw new Error("the comparison was cut");
}

const contentOf = ({ itemId, inputJson, expectedOutputJson, splits }: Item) => ({
  itemId,
  inputJson,
  expectedOutputJson,
  splits,
});

describe.skipIf(!present)("GSM8K (needs its files beside the project)", () => {
  let service: TestService;
  let upserts: Client<typeof UpsertService>;
  let items: Client<typeof ItemService>;
  let runs: Client<typeof RunService>;
  const runIds = new Map<string, string>();
  /** The result ids of each model, in the order of the file. */
  const resultIds = new Map<string, string[]>();
  const problems = present ? read<Problem>("test.jsonl") : [];
  const solutions = present ? read<Solutions>("example_model_solutions.jsonl") : [];

  beforeAll(async () => {
    service = await startTestService();
    upserts = service.client(UpsertService);
    items = service.client(ItemService);
    runs = service.client(RunService);
  });
  afterAll(() => service.close());

  test("the 1,319 test problems make one version and read back as in the file", async () => {
    const receipt = await importAll(upserts, toItems("test", problems));
    expect(receipt).toMatchObject({
      version: 1n,
      itemCount: 1319n,
      counts: { received: 1319n, created: 1319n },
    });
    expect((await readAll(items, 1n)).map(contentOf)).toEqual(toItems("test", problems));
  });

  test.each(models)("the published outputs of %s make a run, and read back as in the file", async (model) => {
    const { run } = await runs.createRun({
      dataset: named,
      at: { by: { case: "version", value: 1n } },
      run: { targetType: "model", targetId: model },
    });
    const runId = run?.runId ?? "";
    runIds.set(model, runId);
    const sent = solutions.map((solution, index) => ({
      itemId: idOf("test", index),
      repetition: 1,
      outcome: { case: "outputJson" as const, value: JSON.stringify(solution[model].solution) },
      scores: [{ name: "correct", value: solution[model].is_correct ? 1 : 0 }],
    }));
    async function* frames() {
      for (let first = 0; first < sent.length; first += 500) {
        yield { runId, frameNumber: BigInt(first), results: sent.slice(first, first + 500) };
      }
    }
    let created = 0n;
    for await (const { counts } of runs.streamRecordResults(frames())) created += counts?.created ?? 0n;
    expect(created).toBe(1319n);
    expect((await runs.finishRun({ runId })).run).toMatchObject({
      state: Run_State.COMPLETED,
      counts: { expected: 1319n, succeeded: 1319n, failed: 0n, missing: 0n },
    });

    const received: RunResult[] = [];
    for await (const { frame } of runs.streamResults({ runId, follow: true })) {
      if (frame.case === "batch") received.push(...frame.value.results);
    }
    resultIds.set(
      model,
      received.map(({ resultId }) => resultId),
    );
    expect(received.map((result) => Number(result.sequence))).toEqual(sent.map((_, index) => index + 1));
    expect(
      received.map(({ itemId, repetition, outcome, scores }) => ({
        itemId,
        repetition,
        outcome,
        scores: scores.map(({ name, value }) => ({ name, value })),
      })),
    ).toEqual(sent);
  });

  const orderedPairs = models.flatMap((base) =>
    models.filter((candidate) => candidate !== base).map((candidate) => [base, candidate] as const),
  );

  test.each(orderedPairs)(
    "every figure of the comparison of %s with %s equals the one computed from the file",
    async (base, candidate) => {
      const { summary, rows } = await compare(runs, {
        baseRunId: runIds.get(base) ?? "",
        candidateRunId: runIds.get(candidate) ?? "",
      });
      const marks = solutions.map(
        (solution) => [Number(solution[base].is_correct), Number(solution[candidate].is_correct)] as const,
      );
      const expected = comparePairs(marks);
      expect(summary).toMatchObject({
        base: { runId: runIds.get(base), counts: { succeeded: 1319n } },
        candidate: { runId: runIds.get(candidate), counts: { succeeded: 1319n } },
        commonItemCount: 1319n,
        baseOnlyItemCount: 0n,
        candidateOnlyItemCount: 0n,
        driftedItemCount: 0n,
      });
      expect(summary.scores).toHaveLength(1);
      const [score] = summary.scores;
      expect(score).toMatchObject({
        name: "correct",
        pairedItemCount: 1319n,
        unpairedItemCount: 0n,
        wins: BigInt(expected.above),
        losses: BigInt(expected.below),
        ties: BigInt(1319 - expected.above - expected.below),
        verdict: expected.low > 0 ? Verdict.BETTER : expected.high < 0 ? Verdict.WORSE : Verdict.INCONCLUSIVE,
      });
      expect(score?.baseMean).toBeCloseTo(expected.baseMean, 12);
      expect(score?.candidateMean).toBeCloseTo(expected.candidateMean, 12);
      expect(score?.meanDifference).toBeCloseTo(expected.meanDifference, 12);
      expect(score?.confidenceLow).toBeCloseTo(expected.low, 8);
      expect(score?.confidenceHigh).toBeCloseTo(expected.high, 8);
      // The means once more, by counting texts.
      const correct = (model: string) =>
        countText("example_model_solutions.jsonl", new RegExp(`"${model}": \\{"is_correct": true`, "g"));
      expect(score?.baseMean).toBeCloseTo(correct(base) / 1319, 12);
      expect(score?.candidateMean).toBeCloseTo(correct(candidate) / 1319, 12);

      expect(rows).toHaveLength(1319);
      rows.forEach((row, index) => {
        const [before = 0, after = 0] = marks[index] ?? [];
        expect(row).toMatchObject({
          itemId: idOf("test", index),
          drifted: false,
          base: { succeeded: 1, failed: 0, missing: 0, resultIds: [resultIds.get(base)?.[index]] },
          candidate: { succeeded: 1, failed: 0, missing: 0, resultIds: [resultIds.get(candidate)?.[index]] },
          scores: [{ name: "correct", base: before, candidate: after, difference: after - before }],
        });
      });
    },
  );

  test("a tolerance and the other direction change the verdict, but not the numbers", async () => {
    const [base, candidate] = ["6b_finetuning", "175b_verification"] as const;
    const ask = async (setting: { tolerance?: number; direction?: ScoreDirection }) => {
      const request = {
        baseRunId: runIds.get(base) ?? "",
        candidateRunId: runIds.get(candidate) ?? "",
        scores: [{ name: "correct", ...setting }],
        view: ComparisonView.SUMMARY,
      };
      return (await compare(runs, request)).summary.scores[0];
    };
    const plain = await ask({});
    expect(plain?.verdict).toBe(Verdict.BETTER);
    const reverse = await ask({ direction: ScoreDirection.LOWER_IS_BETTER });
    expect(reverse).toMatchObject({
      verdict: Verdict.WORSE,
      meanDifference: plain?.meanDifference,
      confidenceLow: plain?.confidenceLow,
      wins: plain?.losses,
      losses: plain?.wins,
    });
    expect((await ask({ tolerance: plain?.meanDifference ?? 0 }))?.verdict).toBe(Verdict.INCONCLUSIVE);
    // Marks differ by at most 1.
    expect(await ask({ tolerance: 1 })).toMatchObject({
      verdict: Verdict.EQUIVALENT,
      ties: 1319n,
      meanDifference: plain?.meanDifference,
    });
  });

  test("adding the 7,473 training problems makes one more version, and version 1 stays unchanged", async () => {
    const before = await readAll(items, 1n);
    const receipt = await importAll(upserts, toItems("train", read<Problem>("train.jsonl")));
    expect(receipt).toMatchObject({
      version: 2n,
      itemCount: 8792n,
      counts: { received: 7473n, created: 7473n, updated: 0n, unchanged: 0n, deleted: 0n },
    });
    expect(await readAll(items, 1n)).toEqual(before);
    expect(await readAll(items, 2n)).toHaveLength(8792);
  });

  test("a run on version 2 carries the results of version 1, and the other cells are incomplete", async () => {
    const [model] = models;
    const { run } = await runs.createRun({
      dataset: named,
      run: { targetType: "model", targetId: model },
      carryFromRunId: runIds.get(model) ?? "",
    });
    const runId = run?.runId ?? "";
    expect(run).toMatchObject({
      datasetVersion: 2n,
      counts: { expected: 8792n, succeeded: 1319n, carried: 1319n, missing: 7473n },
    });
    const left: string[] = [];
    let pageToken = "";
    do {
      const page = await runs.listIncomplete({ runId, pageSize: 1000, pageToken });
      left.push(...page.items.map(({ itemId }) => itemId));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(left).toEqual(Array.from({ length: 7473 }, (_, index) => idOf("train", index)));
    const { summary } = await compare(runs, { baseRunId: runIds.get(model) ?? "", candidateRunId: runId });
    expect(summary).toMatchObject({
      commonItemCount: 1319n,
      candidateOnlyItemCount: 7473n,
      driftedItemCount: 0n,
      scores: [{ verdict: Verdict.EQUIVALENT, pairedItemCount: 1319n, ties: 1319n, meanDifference: 0 }],
    });
    await runs.deleteRun({ runId });
  });

  test("repeating the import makes no version", async () => {
    const receipt = await importAll(upserts, toItems("test", problems));
    expect(receipt).toMatchObject({ noOp: true, version: 2n, counts: { unchanged: 1319n } });
  });

  test.each([
    ["CSV", FileFormat.CSV],
    ["JSON", FileFormat.JSON],
    ["JSONL", FileFormat.JSONL],
    ["Parquet", FileFormat.PARQUET],
  ])("exported as %s and uploaded again makes a version of the same digest", async (name, format) => {
    const queries = service.client(QueryService);
    const datasets = service.client(DatasetService);
    const pieces: Uint8Array[] = [];
    const { version } = await datasets.getVersion({ dataset: named });
    const itemCount = version?.itemCount ?? 0n;
    for await (const { frame } of queries.exportItems({ dataset: named, format })) {
      if (frame.case === "chunk") pieces.push(frame.value.data);
      if (frame.case === "end") expect(frame.value.itemCount).toBe(itemCount);
    }
    const copy = { by: { case: "name" as const, value: `gsm8k from ${name}` } };
    const receipt = await importFile(
      service,
      Buffer.concat(pieces),
      { format },
      {
        dataset: copy,
        columns: { cellParsing: CellParsing.JSON },
      },
    );
    expect(receipt).toMatchObject({ version: 1n, itemCount });
    const imported = await datasets.getVersion({ dataset: copy });
    expect(imported.version?.digest).toEqual(version?.digest);
  });

  test("answers SQL about questions and the marks of models", async () => {
    const ask = async (sql: string) => {
      const rows: unknown[][] = [];
      for await (const { frame } of service.client(QueryService).query({ sql })) {
        if (frame.case === "rows") rows.push(...JSON.parse(frame.value.rowsJson));
      }
      return rows;
    };
    expect(
      await ask('select count(*), count(distinct question), max(length(question)) from datasets."gsm8k@1"'),
    ).toEqual([
      [
        problems.length,
        new Set(problems.map(({ question }) => question)).size,
        Math.max(...problems.map(({ question }) => [...question].length)),
      ],
    ]);
    for (const model of models) {
      const right = solutions.filter((solution) => solution[model].is_correct).length;
      const table = `runs."${runIds.get(model)}"`;
      expect(
        await ask(`select sum(scores['correct']) from ${table} join datasets."gsm8k@1" using (item_id)`),
      ).toEqual([[right]]);
    }
  });
});
