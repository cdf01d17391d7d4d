import type { MessageInitShape } from "@bufbuild/protobuf";
import type { WorkRunRequest, WorkRunResponseSchema } from "../../../gen/itembank/v1/run_service_pb.js";
import {
  WorkAck_Outcome,
  type WorkHeartbeat,
  type WorkHello,
  type WorkRelease,
  type WorkResults,
} from "../../../gen/itembank/v1/work_pb.js";
import { failure, invalidField } from "../../failure.ts";
import { Faults } from "../../faults.ts";
import { limits } from "../../limits.ts";
import { boundedText } from "../../rpc/request-wire.ts";
import { durationFromWire, timestampToWire } from "../../rpc/time-wire.ts";
import { leaseId, leaseNumber } from "../../work/lease.ts";
import type { WorkerTerms, WorkFrame, WorkOutcome } from "../../work/work.ts";
import type { WorkOutput } from "../../work/worker-session.ts";
import { itemToWire, requireBatchSize } from "../messages/item-wire.ts";
import { resultsFromWire } from "./new-result-wire.ts";
import { runIdFromWire, runToWire } from "./run-wire.ts";

const maxWorkerIdLength = 128;
const defaultLeaseMicros = 60_000_000n;

/**
 * Reads the first frame of a stream.
 *
 * @throws Failure UNEXPECTED_FRAME, INVALID_FIELD, LIMIT_EXCEEDED
 */
export function helloFromWire(request: WorkRunRequest | undefined, minLeaseSeconds: number): WorkerTerms {
  if (request?.frame.case !== "hello") throw unexpected("hello", request);
  const hello = request.frame.value;
  const faults = new Faults();
  const runId = faults.check(() => runIdFromWire("hello.run_id", hello.runId)) ?? "";
  const workerId =
    faults.check(() => boundedText("hello.worker_id", hello.workerId, 1, maxWorkerIdLength)) ?? "";
  const leaseMicros = faults.check(() => leaseMicrosFromWire(hello)) ?? defaultLeaseMicros;
  if (hello.capacity < 0) faults.addInvalid("hello.capacity", "must not be negative");
  if (hello.maxAttempts < 0) faults.addInvalid("hello.max_attempts", "must not be negative");
  faults.throwIfAny();
  requireLeaseWithin(leaseMicros, minLeaseSeconds);
  return {
    runId,
    workerId,
    leaseMicros,
    capacity: requireCapacity(hello.capacity) || 1,
    maxAttempts: hello.maxAttempts || 1,
  };
}

function leaseMicrosFromWire({ leaseDuration }: WorkHello): bigint {
  if (leaseDuration === undefined) return defaultLeaseMicros;
  return durationFromWire("hello.lease_duration", leaseDuration);
}

/** Checks the duration of leases. The facts of the failure are in seconds. */
function requireLeaseWithin(micros: bigint, minLeaseSeconds: number): void {
  const received = Number(micros) / 1e6;
  if (received < minLeaseSeconds) {
    throw failure("LIMIT_EXCEEDED", { limit: "min_lease_duration", maximum: minLeaseSeconds, received });
  }
  if (received > limits.maxLeaseSeconds) {
    throw failure("LIMIT_EXCEEDED", {
      limit: "max_lease_duration",
      maximum: limits.maxLeaseSeconds,
      received,
    });
  }
}

function requireCapacity(received: number): number {
  if (received <= limits.maxWorkerCapacity) return received;
  throw failure("LIMIT_EXCEEDED", {
    limit: "max_worker_capacity",
    maximum: limits.maxWorkerCapacity,
    received,
  });
}

/**
 * Reads a frame after the first.
 *
 * @throws Failure UNEXPECTED_FRAME, INVALID_FIELD, INVALID_JSON, LIMIT_EXCEEDED
 */
export async function workFrameFromWire(runId: string, request: WorkRunRequest): Promise<WorkFrame> {
  const { frame } = request;
  switch (frame.case) {
    case "results":
      return workResultsFromWire(runId, frame.value);
    case "heartbeat":
      return heartbeatFromWire(frame.value);
    case "release":
      return releaseFromWire(frame.value);
    default:
      throw unexpected("results, heartbeat or release", request);
  }
}

function unexpected(expected: string, request: WorkRunRequest | undefined) {
  return failure("UNEXPECTED_FRAME", { expected, received: request?.frame.case ?? "nothing" });
}

async function workResultsFromWire(runId: string, { results }: WorkResults): Promise<WorkFrame> {
  if (results.length === 0) throw invalidField("results.results", "is required");
  requireBatchSize(results.length);
  const faults = new Faults();
  const sent = results.flatMap((one, index) => {
    const field = () => `results.results[${index}]`;
    const { result } = one;
    if (result === undefined) {
      faults.addInvalid(`${field()}.result`, "is required");
      return [];
    }
    const number = leaseNumber(one.leaseId);
    // The id identifies the cell, even after the lease has ended.
    if (number === undefined || leaseId(runId, number, result) !== one.leaseId) {
      faults.addInvalid(`${field()}.lease_id`, "must be a lease on the item and repetition of the result");
      return [];
    }
    return [{ leaseId: one.leaseId, leaseNumber: number, result }];
  });
  faults.throwIfAny();
  const checked = await resultsFromWire(
    sent.map(({ result }) => result),
    { field: (index) => `results.results[${index}].result`, repeatsCells: true },
  );
  return {
    kind: "results",
    results: checked.map((result, index) => ({ ...(sent[index] as (typeof sent)[number]), result })),
  };
}

function heartbeatFromWire({ capacity }: WorkHeartbeat): WorkFrame {
  if (capacity !== undefined && capacity < 0) {
    throw invalidField("heartbeat.capacity", "must not be negative");
  }
  return { kind: "heartbeat", capacity: capacity === undefined ? undefined : requireCapacity(capacity) };
}

function releaseFromWire({ leaseIds }: WorkRelease): WorkFrame {
  requireBatchSize(leaseIds.length);
  const leaseNumbers = leaseIds.map((id, index) => {
    const number = leaseNumber(id);
    if (number === undefined) throw invalidField(`release.lease_ids[${index}]`, "must be the id of a lease");
    return number;
  });
  return { kind: "release", leaseNumbers };
}

/** Converts a frame for a worker to its wire message. */
export function outputToWire(output: WorkOutput): MessageInitShape<typeof WorkRunResponseSchema> {
  switch (output.kind) {
    case "assignments": {
      const assignments = output.assignments.map(({ lease, item }) => ({
        leaseId: lease.leaseId,
        item: itemToWire(item),
        repetition: lease.repetition,
        attempt: lease.attempt,
        deadline: timestampToWire(lease.deadline),
      }));
      return { frame: { case: "assignments", value: { assignments } } };
    }
    case "acks": {
      const acks = output.acks.map((ack) => ({ leaseId: ack.leaseId, outcome: outcomes[ack.outcome] }));
      return { frame: { case: "acks", value: { acks } } };
    }
    case "renewal": {
      const { deadline, lostLeaseIds } = output;
      return {
        frame: {
          case: "renewal",
          value: { deadline: timestampToWire(deadline), lostLeaseIds: [...lostLeaseIds] },
        },
      };
    }
    case "idle":
      return { frame: { case: "idle", value: { leasedCellCount: BigInt(output.leasedCellCount) } } };
    case "finished":
      return { frame: { case: "finished", value: { run: runToWire(output.run) } } };
  }
}

const outcomes: Readonly<Record<WorkOutcome, WorkAck_Outcome>> = {
  recorded: WorkAck_Outcome.RECORDED,
  duplicate: WorkAck_Outcome.DUPLICATE,
  dropped: WorkAck_Outcome.DROPPED,
};
