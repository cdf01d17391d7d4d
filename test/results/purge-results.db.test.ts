import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ItemService } from "../../gen/itembank/v1/item_service_pb.js";
import type { RunResult } from "../../gen/itembank/v1/result_pb.js";
import type { Run } from "../../gen/itembank/v1/run_pb.js";
import { RunService } from "../../gen/itembank/v1/run_service_pb.js";
import { UpsertService } from "../../gen/itembank/v1/upsert_service_pb.js";
import {
  collect,
  failed,
  mirror,
  named,
  newRun,
  questions,
  type ResultInit,
  success,
} from "../runs/run-service.ts";
import { waitForLock } from "../support/locks.ts";
import { refusalOf, refused } from "../support/refusal.ts";
import { startTestService, type TestService } from "../support/service.ts";

/** Occurs in every text that has to be erased, and in no other. */
const secret = "SECRET";

let service: TestService;
let clients: ReturnType<typeof clientsOf>;
beforeAll(async () => {
  service = await startTestService();
  clients = clientsOf(service);
});
afterAll(() => service.close());

function clientsOf({ client }: TestService) {
  return {
    runs: client(RunService),
    upserts: client(UpsertService),
    items: client(ItemService),
    stop: () => undefined,
  };
}

let names = 0;

/** A dataset of three questions and a run on it, of three repetitions. */
async function withRun(): Promise<{ name: string; run: Run }> {
  const name = `purge results ${++names}`;
  await mirror(clients, name, questions(3));
  return { name, run: await newRun(clients, name, { repetitions: 3 }) };
}

const purge = (name: string, itemId = "q1") => clients.items.purgeItem({ dataset: named(name), itemId });

const record = ({ runId }: Run, ...results: ResultInit[]) => clients.runs.recordResults({ runId, results });

const scored = (value: number, more: object = {}) =>
  ({
    name: "correct",
    value,
    label: "kept",
    explanation: secret,
    metadataJson: JSON.stringify({ why: secret }),
    traceId: "trace",
    ...more,
  }) as const;

async function resultsOf({ runId }: Run): Promise<Record<string, RunResult>> {
  const { results } = await clients.runs.listResults({ runId, includeReplaced: true });
  return Object.fromEntries(results.map((one) => [`${one.itemId}/${one.repetition}/${one.attempt}`, one]));
}

/** Counts the rows of results and scores that contain the secret. */
async function rowsWithSecret({ runId }: Run): Promise<number> {
  const { rows } = await service.database.pool.query<{ count: bigint }>(
    `select (select count(*) from run_results r where run_id = $1 and r::text like $2)
          + (select count(*) from replaced_scores s where run_id = $1 and s::text like $2) as count`,
    [runId, `%${secret}%`],
  );
  return Number(rows[0]?.count);
}

const purged = (itemId = "q1", more: Record<string, unknown> = {}) =>
  refused("FailedPrecondition", "ITEM_PURGED", { item_id: itemId, ...more });

describe("PurgeItem", () => {
  test("erases outputs, error texts, explanations and metadata of all attempts, and keeps the rest", async () => {
    const { name, run } = await withRun();
    const error = { code: "TIMEOUT", message: secret, stack: `${secret}\u0000` };
    await record(
      run,
      { itemId: "q1", repetition: 1, outcome: { case: "error", value: error } },
      success("q1", secret, { repetition: 2, traceId: "trace", usage: { cost: 1 }, scores: [scored(0.25)] }),
      success("q2", secret, { scores: [scored(1)] }),
    );
    await record(run, success("q1", secret, { scores: [{ name: "judge", error: secret }] }));
    // The same result again, with another score in place of the first.
    await record(
      run,
      success("q1", secret, { repetition: 2, traceId: "trace", usage: { cost: 1 }, scores: [scored(0.75)] }),
    );
    const before = await resultsOf(run);
    const runBefore = (await clients.runs.getRun({ runId: run.runId })).run;
    expect(await rowsWithSecret(run)).toBe(5);

    expect(await purge(name)).toMatchObject({ revisionCount: 1n, resultCount: 3n });
    expect(await rowsWithSecret(run)).toBe(1);
    const after = await resultsOf(run);
    expect(after["q2/1/1"]).toEqual(before["q2/1/1"]);
    expect(after["q1/1/1"]).toEqual({
      ...before["q1/1/1"],
      outcome: { case: "error", value: expect.objectContaining({ code: "TIMEOUT", message: "", stack: "" }) },
    });
    const [score] = before["q1/2/1"]?.scores ?? [];
    expect(after["q1/2/1"]).toEqual({
      ...before["q1/2/1"],
      outcome: { case: "outputJson", value: "" },
      scores: [{ ...score, explanation: "", metadataJson: "" }],
    });
    expect(after["q1/1/2"]?.scores).toEqual([expect.objectContaining({ name: "judge", error: "purged" })]);
    const { replacedScores } = await clients.runs.getResult({ resultId: after["q1/2/1"]?.resultId ?? "" });
    expect(replacedScores).toEqual([
      expect.objectContaining({ value: 0.25, label: "kept", explanation: "" }),
    ]);
    expect((await clients.runs.getRun({ runId: run.runId })).run).toEqual(runBefore);
    expect((await collect(clients, { runId: run.runId })).results.map(({ sequence }) => sequence)).toEqual(
      Object.values(after)
        .filter((one) => one.attempt === 2 || one.repetition === 2 || one.itemId === "q2")
        .map(({ sequence }) => sequence)
        .toSorted((one, other) => Number(one - other)),
    );
  });

  test("reaches the runs on every version, ended ones too, and no other dataset", async () => {
    const { name, run } = await withRun();
    await record(run, success("q1", secret));
    await clients.runs.finishRun({ runId: run.runId });
    await mirror(clients, name, { ...questions(3), q1: "another" });
    const later = await newRun(clients, name);
    await record(later, success("q1", secret));
    const other = await withRun();
    await record(other.run, success("q1", secret));

    expect(await purge(name)).toMatchObject({ revisionCount: 2n, resultCount: 2n });
    expect(await rowsWithSecret(run)).toBe(0);
    expect(await rowsWithSecret(later)).toBe(0);
    expect(await rowsWithSecret(other.run)).toBe(1);
  });

  test("leaves comparisons as they were", async () => {
    const { name, run: base } = await withRun();
    const candidate = await newRun(clients, name, { repetitions: 3 });
    for (const [run, value] of [
      [base, 0.25],
      [candidate, 0.75],
    ] as const) {
      await record(run, ...["q1", "q2"].map((id) => success(id, secret, { scores: [scored(value)] })));
    }
    const compare = async () => {
      const frames = [];
      const request = { baseRunId: base.runId, candidateRunId: candidate.runId };
      for await (const { frame } of clients.runs.compareRuns(request)) frames.push(frame);
      return frames;
    };
    const before = await compare();
    await purge(name);
    expect(await compare()).toEqual(before);
  });

  test("writes nothing when repeated", async () => {
    const { name, run } = await withRun();
    await record(run, success("q1", secret, { scores: [scored(1), { name: "judge", error: secret }] }), {
      ...failed("q1", secret),
      repetition: 2,
    });
    const rowVersions = async () => {
      const { rows } = await service.database.pool.query(
        "select ctid, xmin from run_results where run_id = $1 order by sequence",
        [run.runId],
      );
      return rows;
    };
    const first = await purge(name);
    const before = await rowVersions();
    expect(await purge(name)).toEqual(first);
    expect(await rowVersions()).toEqual(before);
  });

  test("applies to results that were read ahead for a slow reader", async () => {
    const name = `purge results ${++names}`;
    await mirror(clients, name, questions(900));
    const { runId } = await newRun(clients, name, { repetitions: 4 });
    for (let repetition = 1; repetition <= 4; repetition++) {
      const results = Array.from({ length: 900 }, (_, n) => success(`q${n + 1}`, secret, { repetition }));
      await clients.runs.recordResults({ runId, results });
    }
    const frames = clients.runs.streamResults({ runId })[Symbol.asyncIterator]();
    await frames.next();
    // By now the rest has been read, but not all of it has been sent.
    await sleep(500);
    await purge(name, "q900");
    const outputs: string[] = [];
    for (let next = await frames.next(); !next.done; next = await frames.next()) {
      const { frame } = next.value;
      if (frame.case !== "batch") continue;
      for (const one of frame.value.results) {
        if (one.itemId === "q900") outputs.push(`${one.repetition} ${one.outcome.value}`);
      }
    }
    expect(outputs.at(-1)).toBe("4 ");
  });
});

describe("A purged item", () => {
  test("no longer takes results, and is named in the error of a request", async () => {
    const { name, run } = await withRun();
    await record(run, { ...failed("q1", "x"), repetition: 2 });
    await purge(name);
    expect(await refusalOf(record(run, success("q2", 1), success("q1", secret)))).toEqual(
      purged("q1", { index: "1" }),
    );
    expect(await refusalOf(record(run, success("q1", secret, { repetition: 2 })))).toEqual(purged());
    const overwrite = clients.runs.recordResults({
      runId: run.runId,
      results: [success("q1", secret, { repetition: 2 })],
      overwrite: true,
    });
    expect(await refusalOf(overwrite)).toEqual(purged());
    const stream = clients.runs.streamRecordResults(
      (async function* () {
        yield { runId: run.runId, frameNumber: 7n, results: [success("q1", secret)] };
      })(),
    );
    expect(await refusalOf(stream)).toEqual(purged("q1", { frame_number: "7" }));
    expect(await rowsWithSecret(run)).toBe(0);
    await record(run, success("q2", "fine"));
  });

  test("no longer takes scores", async () => {
    const { name, run } = await withRun();
    const { resultIds } = await record(run, success("q2", 1), success("q1", secret, { scores: [scored(1)] }));
    await purge(name);
    const [fine = "", gone = ""] = resultIds;
    const scores = (...ids: string[]) =>
      clients.runs.recordScores({
        runId: run.runId,
        scores: ids.map((resultId) => ({ resultId, score: scored(0.5) })),
      });
    expect(await refusalOf(scores(fine, gone))).toEqual(purged("q1", { index: "1" }));
    expect((await scores(fine)).counts).toMatchObject({ created: 1n });
    expect(await rowsWithSecret(run)).toBe(1);
  });

  test("leaves its missing cells missing, and the run can end", async () => {
    const { name, run } = await withRun();
    await record(run, success("q1", secret), success("q2", 1));
    await purge(name);
    const { run: ended } = await clients.runs.finishRun({ runId: run.runId });
    expect(ended?.counts).toMatchObject({ expected: 9n, succeeded: 2n, missing: 7n });
  });

  test("is not listed as incomplete", async () => {
    const { name, run } = await withRun();
    await record(run, success("q1", secret));
    await purge(name);
    const { items } = await clients.runs.listIncomplete({ runId: run.runId });
    expect(items.map(({ itemId }) => itemId)).toEqual(["q2", "q3"]);
  });

  test("accepts a result that it has already, but no scores with it", async () => {
    const { name, run } = await withRun();
    const result = (scores: ResultInit["scores"] = []) => success("q1", secret, { scores } as ResultInit);
    await record(run, result([scored(1)]));
    await purge(name);
    expect((await record(run, result())).counts).toMatchObject({ unchanged: 1n });
    expect(await refusalOf(record(run, result([scored(1)])))).toEqual(purged());
    expect(await rowsWithSecret(run)).toBe(0);
  });

  test("is still covered by new runs", async () => {
    const { name } = await withRun();
    await purge(name);
    const run = await newRun(clients, name);
    expect(run.counts).toMatchObject({ itemCount: 3n, expected: 3n });
  });
});

describe("Results that are being recorded when an item is purged", () => {
  test("are waited for and erased", async () => {
    const { name, run } = await withRun();
    await record(run, success("q2", 1));
    // Stands in for a recorder that has not committed yet.
    const recorder = await service.database.pool.connect();
    try {
      await recorder.query("begin");
      await recorder.query("select from runs where run_id = $1 for no key update", [run.runId]);
      await recorder.query(
        `insert into run_results (dataset_id, run_id, run_number, item_id, repetition, attempt, sequence, number, item_version,
                                  output, retry_count, trace_id, fingerprint, create_time)
         select dataset_id, run_id, run_number, 'q1', 1, 1, 100, 100, 1, $2, 0, '', fingerprint, now()
         from run_results where run_id = $1`,
        [run.runId, JSON.stringify(secret)],
      );
      const purging = purge(name);
      await waitForLock(service.database.pool);
      await recorder.query("commit");
      expect(await purging).toMatchObject({ resultCount: 1n });
    } finally {
      recorder.release();
    }
    expect(await rowsWithSecret(run)).toBe(0);
  });

  test("race with the purge, 30 recorders of 30 runs: nothing is left afterwards", async () => {
    const { name } = await withRun();
    const runs = await Promise.all(Array.from({ length: 30 }, () => newRun(clients, name)));
    const outcomes = await Promise.all(
      runs.map(async (run, n) => {
        if (n === 15) await purge(name);
        const recording = record(run, success("q1", secret));
        return recording.then(
          () => "recorded",
          () => refusalOf(recording).then(({ reason }) => reason),
        );
      }),
    );
    expect(outcomes.filter((one) => one !== "recorded" && one !== "ITEM_PURGED")).toEqual([]);
    expect(outcomes[15]).toBe("ITEM_PURGED");
    const left = await Promise.all(runs.map(rowsWithSecret));
    expect(left.reduce((sum, count) => sum + count)).toBe(0);
    expect(await purge(name)).toMatchObject({
      resultCount: BigInt(outcomes.filter((one) => one === "recorded").length),
    });
  });
});
