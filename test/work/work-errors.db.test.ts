import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { RunService } from "../../gen/itembank/v1/run_service_pb.js";
import type { WorkAssignment } from "../../gen/itembank/v1/work_pb.js";
import {
  invalid,
  mirror,
  newRun,
  questions,
  type RunServiceUnderTest,
  refusalOf,
  runService,
} from "../runs/run-service.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";
import { expectNothingLeaked } from "../support/leaks.ts";
import { waitForLock } from "../support/locks.ts";
import { startTestService, type TestService } from "../support/service.ts";
import { type Hello, openWorker, startWorker, type Worker, type WorkRequest } from "./worker.ts";

let database: TestDatabase;
let service: RunServiceUnderTest;
/** A service on a port, with the same database. */
let real: TestService;
let remote: Pick<RunServiceUnderTest, "runs">;
let runId: string;
beforeAll(async () => {
  database = await newTestDatabase();
  service = await runService(database.pool);
  real = await startTestService({ database, config: { minLeaseSeconds: 1 } });
  remote = { runs: real.client(RunService) };
  await mirror(service, "qa", questions(20));
  ({ runId } = await newRun(service, "qa", { repetitions: 100 }));
});
afterAll(async () => {
  await real.close();
  await database.drop();
});

type Frame = NonNullable<WorkRequest["frame"]>;

/** Returns the error of a stream that begins with this frame. */
async function refusalOfHello(hello: Hello) {
  await using worker = startWorker(remote, hello);
  return await refusalOf(worker.next());
}

/** Returns the error of a stream that continues with this frame, made from two leases. */
async function refusalOfFrame(frame: (one: WorkAssignment, two: WorkAssignment) => Frame) {
  await using worker = startWorker(remote, { runId, capacity: 2, workerId: "failing" });
  const [one, two] = (await worker.assigned(2)) as [WorkAssignment, WorkAssignment];
  worker.send(frame(one, two));
  return await refusalOf(worker.next());
}

const limit = (name: string, maximum: number, received: number | string) => ({
  code: "InvalidArgument",
  reason: "LIMIT_EXCEEDED",
  metadata: { limit: name, maximum: `${maximum}`, received: `${received}` },
});

const outcome = { case: "outputJson", value: "1" } as const;
const resultOf = ({ item, repetition }: WorkAssignment) => ({
  itemId: item?.itemId ?? "",
  repetition,
  outcome,
});

describe("a hello", () => {
  test.each<[string, () => Hello, object]>([
    ["without a run", () => ({ runId: "" }), invalid("hello.run_id")],
    ["without a worker", () => ({ runId, workerId: "" }), invalid("hello.worker_id")],
    [
      "of a worker with a long name",
      () => ({ runId, workerId: "w".repeat(129) }),
      invalid("hello.worker_id"),
    ],
    ["with a negative capacity", () => ({ runId, capacity: -1 }), invalid("hello.capacity")],
    ["with negative attempts", () => ({ runId, maxAttempts: -1 }), invalid("hello.max_attempts")],
    ["with a negative lease", () => ({ runId, leaseSeconds: -1 }), invalid("hello.lease_duration")],
    [
      "with several faults",
      () => ({ runId, workerId: "", capacity: -1 }),
      {
        code: "InvalidArgument",
        reason: "INVALID_FIELD",
        metadata: expect.objectContaining({ field: "hello.worker_id", violation_count: "2" }),
      },
    ],
    ["with too much capacity", () => ({ runId, capacity: 1001 }), limit("max_worker_capacity", 1000, 1001)],
    ["with a short lease", () => ({ runId, leaseSeconds: 0.5 }), limit("min_lease_duration", 1, 0.5)],
    ["with a long lease", () => ({ runId, leaseSeconds: 3601 }), limit("max_lease_duration", 3600, 3601)],
    [
      "for a run that is not there",
      () => ({ runId: "runs00000000000000000000000000" }),
      {
        code: "NotFound",
        reason: "RUN_NOT_FOUND",
        metadata: { run_id: "runs00000000000000000000000000" },
      },
    ],
  ])("%s is refused", async (_, hello, refusal) => {
    expect(await refusalOfHello(hello())).toEqual(refusal);
  });

  test.each<[string, Frame | undefined]>([
    ["heartbeat", { case: "heartbeat", value: {} }],
    ["release", { case: "release", value: {} }],
    ["results", { case: "results", value: {} }],
    ["nothing", undefined],
  ])("must come first, not %s", async (received, frame) => {
    await using worker = openWorker(remote);
    worker.send(frame ?? ({ case: undefined } as unknown as Frame));
    expect(await refusalOf(worker.next())).toEqual({
      code: "InvalidArgument",
      reason: "UNEXPECTED_FRAME",
      metadata: { expected: "hello", received },
    });
  });

  test("must not be missing", async () => {
    await using worker = openWorker(remote);
    worker.end();
    expect(await refusalOf(worker.next())).toMatchObject({
      metadata: { expected: "hello", received: "nothing" },
    });
  });
});

describe("a later frame", () => {
  test.each<[string, (one: WorkAssignment, two: WorkAssignment) => Frame, object]>([
    [
      "another hello",
      () => ({ case: "hello", value: { runId, workerId: "again" } }),
      {
        code: "InvalidArgument",
        reason: "UNEXPECTED_FRAME",
        metadata: { expected: "results, heartbeat or release", received: "hello" },
      },
    ],
    [
      "nothing",
      () => ({ case: undefined }) as unknown as Frame,
      {
        code: "InvalidArgument",
        reason: "UNEXPECTED_FRAME",
        metadata: { expected: "results, heartbeat or release", received: "nothing" },
      },
    ],
    ["no results", () => ({ case: "results", value: {} }), invalid("results.results")],
    [
      "too many results",
      (one) => ({
        case: "results",
        value: {
          results: Array.from({ length: 1001 }, () => ({ leaseId: one.leaseId, result: resultOf(one) })),
        },
      }),
      limit("max_batch_size", 1000, 1001),
    ],
    [
      "results that are too large together",
      (one, two) => {
        const large = { case: "outputJson", value: JSON.stringify("x".repeat(1_000_000)) } as const;
        return {
          case: "results",
          value: {
            results: [one, two, one, two].map((lease) => ({
              leaseId: lease.leaseId,
              result: { ...resultOf(lease), outcome: large },
            })),
          },
        };
      },
      {
        code: "InvalidArgument",
        reason: "LIMIT_EXCEEDED",
        metadata: expect.objectContaining({ limit: "max_batch_bytes" }),
      },
    ],
    [
      "a result without its lease",
      (one) => ({ case: "results", value: { results: [{ leaseId: "", result: resultOf(one) }] } }),
      invalid("results.results[0].lease_id"),
    ],
    [
      "a lease without its result",
      (one) => ({ case: "results", value: { results: [{ leaseId: one.leaseId }] } }),
      invalid("results.results[0].result"),
    ],
    [
      "results whose leases were mixed up",
      (one, two) => ({
        case: "results",
        value: {
          results: [
            { leaseId: one.leaseId, result: resultOf(one) },
            { leaseId: one.leaseId, result: resultOf(two) },
          ],
        },
      }),
      invalid("results.results[1].lease_id"),
    ],
    [
      "a forged lease",
      (one) => ({
        case: "results",
        value: { results: [{ leaseId: `leas${"0".repeat(26)}`, result: resultOf(one) }] },
      }),
      invalid("results.results[0].lease_id"),
    ],
    [
      "a lease of another repetition",
      (one) => ({
        case: "results",
        value: { results: [{ leaseId: one.leaseId, result: { ...resultOf(one), repetition: 99 } }] },
      }),
      invalid("results.results[0].lease_id"),
    ],
    [
      "a malformed result",
      (one) => ({
        case: "results",
        value: {
          results: [{ leaseId: one.leaseId, result: { itemId: one.item?.itemId ?? "", repetition: 1 } }],
        },
      }),
      invalid("results.results[0].result"),
    ],
    [
      "an output that is not JSON",
      (one) => ({
        case: "results",
        value: {
          results: [
            {
              leaseId: one.leaseId,
              result: { ...resultOf(one), outcome: { case: "outputJson", value: "{" } },
            },
          ],
        },
      }),
      {
        code: "InvalidArgument",
        reason: "INVALID_JSON",
        metadata: expect.objectContaining({ index: "0", path: "$.output" }),
      },
    ],
    [
      "a heartbeat with a negative capacity",
      () => ({ case: "heartbeat", value: { capacity: -1 } }),
      invalid("heartbeat.capacity"),
    ],
    [
      "a heartbeat with too much capacity",
      () => ({ case: "heartbeat", value: { capacity: 1001 } }),
      limit("max_worker_capacity", 1000, 1001),
    ],
    [
      "a release of a malformed lease_id",
      (one) => ({ case: "release", value: { leaseIds: [one.leaseId, "gpu-3"] } }),
      invalid("release.lease_ids[1]"),
    ],
    [
      "too many releases",
      (one) => ({ case: "release", value: { leaseIds: Array(1001).fill(one.leaseId) } }),
      limit("max_batch_size", 1000, 1001),
    ],
  ])("that is %s is refused", async (_, frame, refusal) => {
    expect(await refusalOfFrame(frame)).toEqual(refusal);
  });

  test("that is refused leaves the answers to earlier frames as they are", async () => {
    await using worker = startWorker(remote, { runId, capacity: 2, workerId: "half" });
    const [one, two] = (await worker.assigned(2)) as [WorkAssignment, WorkAssignment];
    worker.answer([one, 1]);
    worker.send({ case: "results", value: { results: [{ leaseId: "nonsense", result: resultOf(two) }] } });
    expect(await worker.acks()).toEqual(["RECORDED"]);
    expect(await refusalOf(drain(worker))).toEqual(invalid("results.results[0].lease_id"));
    const { results } = await service.runs.listResults({ runId, itemId: one.item?.itemId ?? "" });
    expect(results.map((result) => result.repetition)).toContain(one.repetition);
  });

  test("may release leases that have ended or never existed", async () => {
    await using worker = startWorker(remote, { runId, workerId: "releasing" });
    const [one] = (await worker.assignments()) as [WorkAssignment];
    worker.answer([one, 1]);
    await worker.acks();
    const [two] = (await worker.assignments()) as [WorkAssignment];
    worker.send({ case: "release", value: { leaseIds: [one.leaseId, `leasvvvvvvvvvv${"0".repeat(16)}`] } });
    worker.heartbeat();
    expect((await worker.renewal()).lostLeaseIds).toEqual([]);
    worker.answer([two, 1]);
    expect(await worker.acks()).toEqual(["RECORDED"]);
  });
});

async function drain(worker: Worker): Promise<void> {
  while ((await worker.next()) !== undefined);
}

describe("a stream", () => {
  test("ends with SHUTTING_DOWN when its server stops, and its worker continues at another", async () => {
    const { runId } = await newRun(service, "qa");
    const stopped = await startTestService({ database });
    await using first = startWorker({ runs: stopped.client(RunService) }, { runId, capacity: 20 });
    const leases = await first.assigned(20);
    first.answer([leases[0] as WorkAssignment, 1]);
    expect(await first.acks()).toEqual(["RECORDED"]);
    const end = refusalOf(first.next());
    await stopped.close();
    expect(await end).toEqual({ code: "Unavailable", reason: "SHUTTING_DOWN", metadata: {} });
    await using second = startWorker(remote, { runId, capacity: 20 });
    const kept = await second.assigned(19);
    expect(kept.map((one) => one.leaseId)).toEqual(leases.slice(1).map((one) => one.leaseId));
  });

  test("that its client cancels leaves nothing behind but leases", async () => {
    const { runId } = await newRun(service, "qa");
    const workers = Array.from({ length: 20 }, (_, n) => startWorker(remote, { runId, workerId: `w${n}` }));
    await Promise.all(workers.map((worker) => worker.assignments()));
    for (const worker of workers) worker.cut();
    await vi.waitFor(async () => {
      const { rows } = await database.pool.query(
        "select from pg_stat_activity where datname = current_database() and query like 'listen %'",
      );
      expect(rows).toEqual([]);
    });
    await expectNothingLeaked(real);
    const { rows } = await database.pool.query("select from open_cells where run_id = $1", [runId]);
    expect(rows).toHaveLength(20);
  });

  test("whose database connection is terminated in the middle fails as unavailable, and its worker rejoins", async () => {
    const { runId } = await newRun(service, "qa");
    await using worker = startWorker(remote, { runId });
    const [lease] = (await worker.assignments()) as [WorkAssignment];
    // The tick waits for the lock on the run; its connection is terminated meanwhile.
    const locking = await database.pool.connect();
    await locking.query("begin");
    await locking.query("select from runs where run_id = $1 for update", [runId]);
    worker.answer([lease, 1]);
    await waitForLock(database.pool);
    await locking.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and wait_event_type = 'Lock'`,
    );
    expect(await refusalOf(worker.next())).toMatchObject({
      code: "Unavailable",
      reason: "DATABASE_UNAVAILABLE",
    });
    await locking.query("rollback");
    locking.release();
    await using back = startWorker(remote, { runId });
    const [again] = (await back.assignments()) as [WorkAssignment];
    expect(again.leaseId).toBe(lease.leaseId);
    back.answer([again, 1]);
    expect(await back.acks()).toEqual(["RECORDED"]);
  });
});
