import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Run_State } from "../../gen/itembank/v1/run_pb.js";
import type { WorkAssignment } from "../../gen/itembank/v1/work_pb.js";
import {
  failed,
  mirror,
  newRun,
  questions,
  type RunServiceUnderTest,
  refusalOf,
  runService,
  success,
} from "../runs/run-service.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";
import { cellsOf, startWorker, type Worker } from "./worker.ts";

let database: TestDatabase;
let service: RunServiceUnderTest;
let other: RunServiceUnderTest;
beforeAll(async () => {
  database = await newTestDatabase();
  service = await runService(database.pool);
  other = await runService(database.pool, { heartbeatSeconds: 3600 });
  await mirror(service, "qa", questions(3));
  await mirror(service, "one", questions(1));
});
afterAll(() => database.drop());

/** Moves the deadlines of all leases of a run, or of one worker in it, into the past. */
async function expire(runId: string, workerId = "") {
  const { rowCount } = await database.pool.query(
    `update open_cells set deadline = clock_timestamp()
     where run_id = $1 and deadline is not null and ($2 = '' or worker_id = $2)`,
    [runId, workerId],
  );
  return rowCount;
}

const only = async (worker: Worker) => (await worker.assignments()) as [WorkAssignment];
const outputsOf = async (runId: string) =>
  (await service.runs.listResults({ runId })).results.map(({ outcome }) => outcome.value);

describe("a lease", () => {
  test("that expires frees its cell for another worker; a late success counts if the cell has none", async () => {
    const { runId } = await newRun(service, "one");
    await using slow = startWorker(service, { runId, workerId: "slow" });
    const [late] = await only(slow);
    await expire(runId);
    await using quick = startWorker(other, { runId, workerId: "quick" });
    const [again] = await only(quick);
    expect(again).toMatchObject({ item: { itemId: "q1" }, attempt: 1 });
    expect(again.leaseId).not.toBe(late.leaseId);

    slow.answer([late, "slow"]);
    expect(await slow.acks()).toEqual(["RECORDED"]);
    quick.answer([again, "quick"]);
    expect(await quick.acks()).toEqual(["DROPPED"]);
    expect(await outputsOf(runId)).toEqual(['"slow"']);
    await slow.finished();
    await quick.finished();
  });

  test("that has expired counts neither for an error nor against a success", async () => {
    const { runId } = await newRun(service, "qa");
    await using slow = startWorker(service, { runId, workerId: "slow", capacity: 3 });
    const [one, two, three] = (await slow.assigned(3)) as [WorkAssignment, WorkAssignment, WorkAssignment];
    await expire(runId);
    await using quick = startWorker(other, { runId, workerId: "quick", capacity: 3 });
    const mine = await quick.assigned(3);
    quick.answer(...mine.slice(1).map((assignment) => [assignment, "same"] as const));
    expect(await quick.acks()).toEqual(["RECORDED", "RECORDED"]);

    slow.answer([one, new Error("late")], [two, "same"], [three, "different"]);
    expect(await slow.acks()).toEqual(["DROPPED", "DUPLICATE", "DROPPED"]);
    expect(await outputsOf(runId)).toEqual(['"same"', '"same"']);
    quick.answer([mine[0] as WorkAssignment, new Error("in time")]);
    expect(await quick.acks()).toEqual(["RECORDED"]);
  });

  test("covers a single result, and no second one", async () => {
    const { runId } = await newRun(service, "qa");
    await using worker = startWorker(service, { runId, capacity: 3 });
    const [one, two, three] = (await worker.assigned(3)) as [WorkAssignment, WorkAssignment, WorkAssignment];
    worker.answer([one, 1], [one, 1], [one, 2], [two, new Error("a")], [two, new Error("b")], [two, 2]);
    expect(await worker.acks()).toEqual([
      "RECORDED",
      "DUPLICATE",
      "DROPPED",
      "RECORDED",
      "DROPPED",
      "RECORDED",
    ]);
    worker.answer([one, 1], [three, new Error("c")]);
    expect(await worker.acks()).toEqual(["DUPLICATE", "RECORDED"]);
    worker.answer([three, new Error("c")]);
    expect((await worker.finished()).run?.counts).toMatchObject({ succeeded: 2n, failed: 1n });
  });

  test("lasts while heartbeats arrive, and its loss is reported once", async () => {
    const { runId } = await newRun(service, "qa");
    await using worker = startWorker(service, { runId, capacity: 3, leaseSeconds: 20 });
    const leases = await worker.assigned(3);
    worker.heartbeat();
    const renewal = await worker.renewal();
    expect(renewal.lostLeaseIds).toEqual([]);
    const { rows } = await database.pool.query(
      "select distinct deadline from open_cells where run_id = $1 and deadline is not null",
      [runId],
    );
    expect(rows).toHaveLength(1);
    expect(Number(renewal.deadline?.seconds)).toBeGreaterThanOrEqual(Number(leases[0]?.deadline?.seconds));

    await service.runs.recordResults({ runId, results: [success("q2", "from elsewhere")] });
    worker.heartbeat(0);
    expect((await worker.renewal()).lostLeaseIds).toEqual([leases[1]?.leaseId]);
    await expire(runId);
    worker.heartbeat();
    const lost = (await worker.renewal()).lostLeaseIds;
    expect(lost.toSorted()).toEqual([leases[0]?.leaseId, leases[2]?.leaseId].toSorted());
    worker.heartbeat();
    expect((await worker.renewal()).lostLeaseIds).toEqual([]);
  });

  test("expires at its deadline: an idle worker gets the cell of a silent one, which gets no other cell until it sends a frame", async () => {
    const { runId } = await newRun(service, "one");
    await using silent = startWorker(service, { runId, workerId: "silent", leaseSeconds: 1 });
    const [first] = await only(silent);
    await using idle = startWorker(service, { runId, workerId: "idle", leaseSeconds: 1 });
    expect(await idle.idle()).toMatchObject({ leasedCellCount: 1n });
    const [second] = await only(idle);
    expect(cellsOf([second])).toEqual(cellsOf([first]));
    // The cell comes back while only the silent worker has room, so it waits.
    idle.heartbeat(0);
    await idle.renewal();
    idle.release(second);
    silent.heartbeat();
    expect((await silent.renewal()).lostLeaseIds).toEqual([first.leaseId]);
    const [third] = await only(silent);
    silent.answer([third, 1]);
    expect(await silent.acks()).toEqual(["RECORDED"]);
    await silent.finished();
  });

  test("that is released goes to another worker, or to the same one if it is the only one", async () => {
    const { runId } = await newRun(service, "qa");
    await using worker = startWorker(service, { runId, workerId: "a" });
    const [q1] = await only(worker);
    worker.release(q1);
    const [q2] = await only(worker);
    expect(cellsOf([q1, q2])).toEqual(["q1/1", "q2/1"]);
    await using helper = startWorker(other, { runId, workerId: "b" });
    expect(cellsOf(await helper.assignments())).toEqual(["q1/1"]);
    worker.release();
    const [q3] = await only(worker);
    expect(cellsOf([q3])).toEqual(["q3/1"]);
    worker.release(q3);
    const [back] = await only(worker);
    expect(["q2/1", "q3/1"]).toContain(cellsOf([back])[0]);
    expect(back.attempt).toBe(1);
  });

  test("ends when another caller records a success, but not when it records an error", async () => {
    const { runId } = await newRun(service, "qa");
    await using worker = startWorker(service, { runId, capacity: 2 });
    const [q1, q2] = (await worker.assigned(2)) as [WorkAssignment, WorkAssignment];
    await service.runs.recordResults({ runId, results: [success("q1", "theirs"), failed("q2", "theirs")] });
    worker.answer([q1, "mine"], [q2, new Error("mine")]);
    expect(await worker.acks()).toEqual(["DROPPED", "RECORDED"]);
    const { results } = await service.runs.listResults({ runId, itemId: "q2", includeReplaced: true });
    expect(results.map(({ attempt, outcome }) => [attempt, outcome.value])).toMatchObject([
      [1, { message: "theirs" }],
      [2, { message: "mine" }],
    ]);
  });

  test("accepts scores with its result, and with the same result sent again", async () => {
    const { runId } = await newRun(service, "one");
    await using worker = startWorker(service, { runId });
    const [lease] = await only(worker);
    worker.answer(
      [lease, 1, { scores: [{ name: "s", value: 1 }] }],
      [lease, 1, { scores: [{ name: "t", value: 2 }] }],
    );
    expect(await worker.acks()).toEqual(["RECORDED", "DUPLICATE"]);
    const { results } = await service.runs.listResults({ runId });
    expect(results[0]?.scores.map(({ name, value }) => [name, value])).toEqual([
      ["s", 1],
      ["t", 2],
    ]);
    await worker.finished();
  });
});

describe("a worker that rejoins", () => {
  test.each([
    ["at the same server", () => service],
    ["at another server", () => other],
  ])("%s gets the leases it still holds, and its older stream is superseded", async (_, server) => {
    const { runId } = await newRun(service, "qa");
    await using old = startWorker(service, { runId, workerId: "gpu 3/ü", capacity: 2 });
    const before = await old.assigned(2);
    const oldEnd = refusalOf(old.next());
    await using young = startWorker(server(), { runId, workerId: "gpu 3/ü", capacity: 3 });
    const after = await young.assigned(3);
    expect(after.slice(0, 2).map((one) => one.leaseId)).toEqual(before.map((one) => one.leaseId));
    expect(await oldEnd).toEqual({
      code: "Aborted",
      reason: "STREAM_SUPERSEDED",
      metadata: { worker_id: "gpu 3/ü" },
    });
    young.answer(...after.map((one) => [one, 1] as const));
    expect(await young.acks()).toEqual(["RECORDED", "RECORDED", "RECORDED"]);
    await young.finished();
  });

  test("keeps its leases although its stream was cut, with a new deadline", async () => {
    const { runId } = await newRun(service, "qa");
    const gone = startWorker(service, { runId, workerId: "a", capacity: 2, leaseSeconds: 100 });
    const before = await gone.assigned(2);
    gone.cut();
    await using waiting = startWorker(service, { runId, workerId: "b", capacity: 3 });
    expect(cellsOf(await waiting.assignments())).toEqual(["q3/1"]);
    await using back = startWorker(service, { runId, workerId: "a", capacity: 1, leaseSeconds: 200 });
    const after = await back.assignments();
    expect(after.map((one) => one.leaseId)).toEqual(before.map((one) => one.leaseId));
    expect(Number(after[0]?.deadline?.seconds)).toBeGreaterThan(Number(before[0]?.deadline?.seconds) + 90);
  });

  test("sends unacknowledged results again, and gets the outcome of each", async () => {
    const { runId } = await newRun(service, "qa");
    const cut = startWorker(service, { runId, capacity: 3, maxAttempts: 2 });
    const leases = (await cut.assigned(3)) as [WorkAssignment, WorkAssignment, WorkAssignment];
    cut.answer([leases[0], 1], [leases[1], new Error("x")]);
    await cut.acks();
    cut.cut();
    await using back = startWorker(service, { runId, capacity: 3, maxAttempts: 2 });
    const held = await back.assigned(2);
    expect(held.map((one) => [one.item?.itemId, one.attempt])).toEqual([
      ["q3", 1],
      ["q2", 2],
    ]);
    back.answer([leases[0], 1], [leases[1], new Error("x")], [leases[2], 3]);
    expect(await back.acks()).toEqual(["DUPLICATE", "DUPLICATE", "RECORDED"]);
  });
});

describe("when the run ends", () => {
  test.each([
    ["finished", (runId: string) => other.runs.finishRun({ runId }), Run_State.FAILED],
    ["cancelled", (runId: string) => other.runs.cancelRun({ runId }), Run_State.CANCELLED],
  ])("%s at another server, all workers are notified: busy, idle and draining", async (_, end, state) => {
    const { runId } = await newRun(service, "qa");
    await using busy = startWorker(service, { runId, workerId: "busy", capacity: 2 });
    await busy.assigned(2);
    await using draining = startWorker(service, { runId, workerId: "draining", capacity: 1 });
    await draining.assigned(1);
    draining.heartbeat(0);
    await draining.renewal();
    await using idle = startWorker(service, { runId, workerId: "idle", capacity: 1 });
    await idle.idle();
    await end(runId);
    for (const worker of [busy, draining, idle]) {
      expect((await worker.finished()).run?.state).toBe(state);
      expect(await worker.next()).toBeUndefined();
    }
    const { rows } = await database.pool.query(
      "select run_id from open_cells where run_id = $1 union all select run_id from run_workers where run_id = $1",
      [runId],
    );
    expect(rows).toEqual([]);
    await using late = startWorker(service, { runId, workerId: "late" });
    expect((await late.finished()).run?.state).toBe(state);
  });

  test("results are dropped, unless they were recorded before", async () => {
    const { runId } = await newRun(service, "qa");
    await using worker = startWorker(service, { runId, capacity: 2 });
    const [q1, q2] = (await worker.assigned(2)) as [WorkAssignment, WorkAssignment];
    await service.runs.recordResults({ runId, results: [success("q1", "there")] });
    // As if the notification of the end had not arrived yet.
    await database.pool.query(
      "update runs set state = 'cancelled', complete_time = now() where run_id = $1",
      [runId],
    );
    worker.answer([q1, "there"], [q2, "new"]);
    expect(await worker.acks()).toEqual(["DUPLICATE", "DROPPED"]);
    await worker.finished();
  });

  test("by being deleted, the streams of its workers fail", async () => {
    const { runId } = await newRun(service, "qa");
    await using busy = startWorker(service, { runId, workerId: "busy", capacity: 3 });
    const [lease] = (await busy.assigned(3)) as [WorkAssignment];
    await using idle = startWorker(service, { runId, workerId: "idle" });
    await idle.idle();
    await other.runs.deleteRun({ runId });
    const gone = { code: "NotFound", reason: "RUN_NOT_FOUND", metadata: { run_id: runId } };
    expect(await refusalOf(idle.next())).toEqual(gone);
    busy.answer([lease, 1]);
    expect(await refusalOf(busy.next())).toEqual(gone);
  });

  test("while sixty workers work at two servers, each result is counted or dropped", async () => {
    await mirror(service, "many", questions(400));
    for (let round = 0; round < 3; round++) {
      const { runId } = await newRun(service, "many");
      const acks: string[] = [];
      const work = Array.from({ length: 60 }, async (_, n) => {
        await using worker = startWorker(n % 2 ? service : other, { runId, workerId: `w${n}`, capacity: 3 });
        for (;;) {
          const frame = await worker.next();
          if (frame?.case === "finished") return;
          if (frame?.case === "acks") acks.push(...frame.value.acks.map((ack) => `${ack.outcome}`));
          if (frame?.case === "assignments") {
            worker.answer(...frame.value.assignments.map((one) => [one, n] as const));
          }
        }
      });
      while (acks.length < 100)
        await Promise.race([...work, new Promise((resolve) => setTimeout(resolve, 5))]);
      const { run } = await service.runs.finishRun({ runId });
      await Promise.all(work);
      const counted = run?.counts?.succeeded ?? 0n;
      // Results that were recorded but not acknowledged count as well: the stream may end in between.
      expect(counted).toBeGreaterThanOrEqual(BigInt(acks.filter((ack) => ack === "1").length));
      expect((await outputsOf(runId)).length).toBeLessThanOrEqual(Number(counted));
    }
  });
});
