import { setTimeout as sleep } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Run_State } from "../../gen/itembank/v1/run_pb.js";
import type { StreamRecordResultsRequestSchema } from "../../gen/itembank/v1/run_service_pb.js";
import {
  collect,
  mirror,
  newRun,
  questions,
  type RunServiceUnderTest,
  refusalOf,
  runService,
  success,
} from "../runs/run-service.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";

let database: TestDatabase;
let service: RunServiceUnderTest;
beforeAll(async () => {
  database = await newTestDatabase();
  service = await runService(database.pool);
  await mirror(service, "qa", questions(300));
});
afterAll(() => database.drop());

type Frame = MessageInitShape<typeof StreamRecordResultsRequestSchema>;

async function* sending(frames: readonly Frame[]) {
  yield* frames;
}

async function answersTo(frames: readonly Frame[]) {
  const answers = [];
  for await (const answer of service.runs.streamRecordResults(sending(frames))) answers.push(answer);
  return answers;
}

const succeeded = async (runId: string) => (await service.runs.getRun({ runId })).run?.counts?.succeeded;

describe("StreamRecordResults", () => {
  test("answers every frame in order, with its number, its counts and the ids of its results", async () => {
    const one = await newRun(service, "qa");
    const other = await newRun(service, "qa");
    const answers = await answersTo([
      { runId: one.runId, frameNumber: 7n, results: [success("q1", 1), success("q2", 1)] },
      { runId: other.runId, frameNumber: 3n, results: [success("q1", 1)] },
      { runId: one.runId, results: [success("q2", 1), success("q3", 1)] },
    ]);
    expect(
      answers.map(({ frameNumber, counts, resultIds }) => [frameNumber, counts?.created, resultIds.length]),
    ).toEqual([
      [7n, 2n, 2],
      [3n, 1n, 1],
      [0n, 1n, 2],
    ]);
    expect(answers[2]?.counts?.unchanged).toBe(1n);
    expect(answers[2]?.resultIds[0]).toBe(answers[0]?.resultIds[1]);
  });

  test("results can be read by others once they are acknowledged", async () => {
    const { runId } = await newRun(service, "qa");
    let sent = 0;
    const frames = (function* () {
      for (let n = 1; n <= 20; n++) yield { runId, frameNumber: BigInt(n), results: [success(`q${n}`, n)] };
    })();
    const slowly = (async function* () {
      for (const frame of frames) {
        sent++;
        yield frame;
        await sleep(1);
      }
    })();
    for await (const { frameNumber } of service.runs.streamRecordResults(slowly)) {
      expect(await succeeded(runId)).toBeGreaterThanOrEqual(frameNumber);
    }
    expect(sent).toBe(20);
  });

  test.each([
    ["ITEM_NOT_IN_RUN", (runId: string) => ({ runId, results: [success("q1", 1), success("nobody", 1)] })],
    ["INVALID_FIELD", (runId: string) => ({ runId, results: [] })],
    ["RUN_NOT_FOUND", () => ({ runId: "runs", results: [success("q1", 1)] })],
    ["RESULT_FINAL", (runId: string) => ({ runId, results: [success("q4", 1), success("q2", "other")] })],
  ])(
    "a frame that fails with %s ends the stream; earlier frames stay recorded, later ones are not written",
    async (reason, bad) => {
      const { runId } = await newRun(service, "qa");
      const answered: bigint[] = [];
      const call = (async () => {
        const frames = sending([
          { runId, frameNumber: 1n, results: [success("q1", 1)] },
          { runId, frameNumber: 2n, results: [success("q2", 1)] },
          { ...bad(runId), frameNumber: 3n },
          { runId, frameNumber: 4n, results: [success("q3", 1)] },
        ]);
        for await (const { frameNumber } of service.runs.streamRecordResults(frames))
          answered.push(frameNumber);
      })();
      expect(await refusalOf(call)).toMatchObject({ reason, metadata: { frame_number: "3" } });
      expect(answered).toEqual([1n, 2n]);
      expect(await succeeded(runId)).toBe(2n);
      expect((await answersTo([{ runId, results: [success("q3", 1)] }]))[0]?.counts?.created).toBe(1n);
    },
  );
});

describe("concurrent writers", () => {
  test("of one run, 300 at once: counts add up, sequence numbers are 1…n without gaps", async () => {
    const { runId } = await newRun(service, "qa", { repetitions: 2 });
    const answers = await Promise.all(
      Array.from({ length: 300 }, (_, n) =>
        service.runs.recordResults({
          runId,
          results: [1, 2].map((repetition) => success(`q${n + 1}`, n, { repetition })),
        }),
      ),
    );
    expect(new Set(answers.flatMap(({ resultIds }) => resultIds)).size).toBe(600);
    const { results, end } = await collect(service, { runId });
    expect(results.map(({ sequence }) => Number(sequence))).toEqual(
      Array.from({ length: 600 }, (_, n) => n + 1),
    );
    expect(end.run?.counts).toMatchObject({ expected: 600n, succeeded: 600n, failed: 0n, missing: 0n });
  });

  test("of one cell with different outputs, 100 at once: one wins, and the others are refused with its id", async () => {
    const { runId } = await newRun(service, "qa");
    const outcomes = await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        service.runs.recordResults({ runId, results: [success("q1", n)] }).then(
          ({ resultIds }) => resultIds[0],
          (error: unknown) => refusalOf(Promise.reject(error)),
        ),
      ),
    );
    const won = outcomes.filter((outcome) => typeof outcome === "string");
    expect(won).toHaveLength(1);
    for (const lost of outcomes.filter((outcome) => typeof outcome === "object")) {
      expect(lost).toMatchObject({ reason: "RESULT_FINAL", metadata: { result_id: won[0] } });
    }
  });

  test("of one cell with the same output, 100 at once: all get the id of the same result", async () => {
    const { runId } = await newRun(service, "qa");
    const answers = await Promise.all(
      Array.from({ length: 100 }, () =>
        service.runs.recordResults({ runId, results: [success("q1", "same")] }),
      ),
    );
    expect(new Set(answers.map(({ resultIds }) => resultIds[0])).size).toBe(1);
    expect(answers.filter(({ counts }) => counts?.created === 1n)).toHaveLength(1);
  });

  test("race with the finish of the run, 200 on two servers: each result is counted or refused", async () => {
    const other = await runService(database.pool);
    for (let round = 0; round < 5; round++) {
      const { runId } = await newRun(service, "qa");
      const writers = Array.from({ length: 200 }, (_, n) =>
        (n % 2 ? service : other).runs.recordResults({ runId, results: [success(`q${n + 1}`, n)] }).then(
          () => "counted",
          async (error: unknown) => (await refusalOf(Promise.reject(error))).reason,
        ),
      );
      await Promise.race(writers);
      const { run } = await service.runs.finishRun({ runId });
      const outcomes = await Promise.all(writers);
      const counted = outcomes.filter((outcome) => outcome === "counted").length;
      expect(outcomes.filter((outcome) => outcome === "RUN_ENDED").length).toBe(200 - counted);
      expect(run).toMatchObject({ state: Run_State.COMPLETED, counts: { succeeded: BigInt(counted) } });
      expect((await collect(service, { runId })).results).toHaveLength(counted);
    }
  });
});
