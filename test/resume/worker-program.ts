/**
 * A worker in a process of its own: it answers the cells of a run until there is nothing left to do, and rejoins whenever its
 * stream breaks. Reports its work on standard output, one `WorkerEvent` as JSON per line.
 *
 *     node worker-program.ts <address> <run_id> <worker_id> <capacity> <lease in milliseconds>
 */

import type { MessageInitShape } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import {
  RunService,
  type WorkRunRequestSchema,
  type WorkRunResponse,
} from "../../gen/itembank/v1/run_service_pb.js";
import {
  WorkAck_Outcome,
  type WorkAssignment,
  type WorkResultSchema,
} from "../../gen/itembank/v1/work_pb.js";
import { newGrpcJsClient } from "../support/grpc-js.ts";
import type { WorkerEvent } from "./worker-process.ts";

const [address = "", runId = "", workerId = "", capacity = "1", lease = "5000"] = process.argv.slice(2);
const leaseMilliseconds = Number(lease);

/** Milliseconds before a stream is opened again: a restart of the service takes a few seconds, and needs the processor. */
const pauseMilliseconds = 300;

type Frame = NonNullable<MessageInitShape<typeof WorkRunRequestSchema>["frame"]>;
type Result = MessageInitShape<typeof WorkResultSchema>;

/** Leases that this process works on, across breaks of the stream. */
const atWork = new Set<string>();
/** Results that have not been acknowledged, by lease. */
const unacknowledged = new Map<string, Result>();
let send: (frame: Frame) => void = () => undefined;

function tell(event: WorkerEvent): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

function work(assignment: WorkAssignment): void {
  const { leaseId, item, repetition, attempt, deadline } = assignment;
  const itemId = item?.itemId ?? "";
  const cell = `${itemId}/${repetition}`;
  const leased =
    Number(deadline?.seconds ?? 0n) * 1e6 + (deadline?.nanos ?? 0) / 1e3 - leaseMilliseconds * 1e3;
  tell({ kind: "leased", cell, leaseId, attempt, leased });
  if (atWork.has(leaseId)) return;
  atWork.add(leaseId);
  setTimeout(() => {
    // Every seventh item fails the first time.
    const fails = attempt === 1 && Number(itemId.slice(1)) % 7 === 0;
    const outcome: NonNullable<Result["result"]>["outcome"] = fails
      ? { case: "error", value: { message: "the first attempt fails" } }
      : { case: "outputJson", value: JSON.stringify({ workerId, leaseId, pid: process.pid }) };
    const result: Result = { leaseId, result: { itemId, repetition, outcome } };
    unacknowledged.set(leaseId, result);
    send({ case: "results", value: { results: [result] } });
  }, 40 * Math.random());
}

function take({ frame }: WorkRunResponse): void {
  if (frame.case === "assignments") for (const assignment of frame.value.assignments) work(assignment);
  if (frame.case !== "acks") return;
  for (const { leaseId, outcome } of frame.value.acks) {
    const result = unacknowledged.get(leaseId)?.result;
    unacknowledged.delete(leaseId);
    atWork.delete(leaseId);
    if (result === undefined) continue;
    tell({
      kind: "acknowledged",
      cell: `${result.itemId}/${result.repetition}`,
      outcome: WorkAck_Outcome[outcome] ?? "",
      output: result.outcome?.case === "outputJson" ? String(result.outcome.value) : "",
    });
  }
}

/** Runs one stream. Resolves with whether nothing is left to do; rejects with an error that no broken connection explains. */
function stream(): Promise<boolean> {
  const client = newGrpcJsClient(RunService, address);
  const call = client.WorkRun?.() as grpc.ClientDuplexStream<{ frame: Frame }, WorkRunResponse>;
  const heartbeat = setInterval(() => send({ case: "heartbeat", value: {} }), leaseMilliseconds / 4);
  const duration = {
    seconds: BigInt(Math.floor(leaseMilliseconds / 1000)),
    nanos: (leaseMilliseconds % 1000) * 1e6,
  };
  return new Promise<boolean>((resolve, reject) => {
    let isFinished = false;
    call.on("data", (response: WorkRunResponse) => {
      if (response.frame.case === "finished") isFinished = true;
      take(response);
    });
    call.on("end", () => resolve(isFinished));
    call.on("error", (error: grpc.ServiceError) => {
      const { CANCELLED, UNAVAILABLE, INTERNAL, UNKNOWN } = grpc.status;
      // The errors of grpc-js for broken connections, among them RST_STREAM and ECONNRESET.
      const isBreak =
        [CANCELLED, UNAVAILABLE].includes(error.code) ||
        ([INTERNAL, UNKNOWN].includes(error.code) &&
          error.metadata.get("grpc-status-details-bin").length === 0);
      if (isBreak) resolve(false);
      else reject(error);
    });
    call.write({
      frame: {
        case: "hello",
        value: { runId, workerId, capacity: Number(capacity), leaseDuration: duration, maxAttempts: 5 },
      },
    });
    send = (frame) => call.write({ frame });
    const again = [...unacknowledged.values()];
    if (again.length > 0) send({ case: "results", value: { results: again } });
  }).finally(() => {
    clearInterval(heartbeat);
    send = () => undefined;
    client.close();
  });
}

while (!(await stream())) {
  tell({ kind: "broken" });
  await new Promise((resolve) => setTimeout(resolve, pauseMilliseconds));
}
tell({ kind: "finished" });
process.exit(0);
