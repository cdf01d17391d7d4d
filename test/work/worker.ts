import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import type { RunResultSchema } from "../../gen/itembank/v1/result_pb.js";
import type { WorkRunRequestSchema, WorkRunResponse } from "../../gen/itembank/v1/run_service_pb.js";
import {
  type WorkAck,
  WorkAck_Outcome,
  type WorkAssignment,
  type WorkFinished,
  type WorkHelloSchema,
  type WorkIdle,
  type WorkRenewal,
} from "../../gen/itembank/v1/work_pb.js";
import type { RunServiceUnderTest } from "../runs/run-service.ts";
import { Outgoing } from "../support/outgoing.ts";

export type WorkRequest = MessageInitShape<typeof WorkRunRequestSchema>;
type Frame = WorkRunResponse["frame"];
type ValueOf<C> = Extract<Frame, { case: C }> extends { value: infer V } ? V : never;
type ResultInit = MessageInitShape<typeof RunResultSchema>;

/** A worker that is driven by hand, frame by frame. */
export interface Worker extends AsyncDisposable {
  send(frame: NonNullable<WorkRequest["frame"]>): void;
  /** Sends the results of leases: an Error as a failure, anything else, such as `4`, as an output. */
  answer(...answers: readonly (readonly [WorkAssignment, unknown, ResultInit?])[]): void;
  heartbeat(capacity?: number): void;
  release(...assignments: readonly WorkAssignment[]): void;
  /** Reads the next frame; undefined after the last one. */
  next(): Promise<Frame | undefined>;
  /** Reads the next frame, which must be of this kind. */
  assignments(): Promise<WorkAssignment[]>;
  acks(): Promise<string[]>;
  renewal(): Promise<WorkRenewal>;
  idle(): Promise<WorkIdle>;
  finished(): Promise<WorkFinished>;
  /** Reads assignments until there are `count`, in any number of frames. */
  assigned(count: number): Promise<WorkAssignment[]>;
  /** Ends the input, as a client does when it is done. */
  end(): void;
  /** Cuts the stream. */
  cut(): void;
}

/** The first frame of a worker, with its lease in seconds. */
export interface Hello extends Omit<MessageInitShape<typeof WorkHelloSchema>, "leaseDuration" | "$typeName"> {
  readonly leaseSeconds?: number;
}

function duration(seconds: number) {
  return create(DurationSchema, {
    seconds: BigInt(Math.floor(seconds)),
    nanos: Math.round((seconds % 1) * 1e9),
  });
}

/** Opens a stream and sends the hello. */
export function startWorker({ runs }: Pick<RunServiceUnderTest, "runs">, hello: Hello): Worker {
  const { leaseSeconds, ...rest } = hello;
  const leaseDuration = leaseSeconds === undefined ? {} : { leaseDuration: duration(leaseSeconds) };
  const worker = openWorker({ runs });
  worker.send({ case: "hello", value: { workerId: "w", ...rest, ...leaseDuration } });
  return worker;
}

/** Opens a stream without sending anything. */
export function openWorker({ runs }: Pick<RunServiceUnderTest, "runs">): Worker {
  const outgoing = new Outgoing<WorkRequest>();
  const over = new AbortController();
  const incoming = runs.workRun(outgoing, { signal: over.signal })[Symbol.asyncIterator]();
  const next = async () => (await incoming.next()).value?.frame as Frame | undefined;
  async function expecting<C extends NonNullable<Frame["case"]>>(kind: C): Promise<ValueOf<C>> {
    const frame = await next();
    if (frame?.case !== kind)
      throw new Error(`expected ${kind}, but there is ${JSON.stringify(frame?.case)}`);
    return frame.value as ValueOf<C>;
  }
  const worker: Worker = {
    send: (frame) => outgoing.push({ frame } as WorkRequest),
    answer(...answers) {
      const results = answers.map(([{ leaseId, item, repetition }, output, more]) => ({
        leaseId,
        result: {
          itemId: item?.itemId ?? "",
          repetition,
          outcome: outcomeOf(output),
          ...more,
        } as ResultInit,
      }));
      worker.send({ case: "results", value: { results } });
    },
    heartbeat: (capacity) =>
      worker.send({ case: "heartbeat", value: capacity === undefined ? {} : { capacity } }),
    release: (...assignments) =>
      worker.send({ case: "release", value: { leaseIds: assignments.map((one) => one.leaseId) } }),
    next,
    assignments: async () => (await expecting("assignments")).assignments,
    acks: async () => (await expecting("acks")).acks.map((ack: WorkAck) => WorkAck_Outcome[ack.outcome]),
    renewal: () => expecting("renewal"),
    idle: () => expecting("idle"),
    finished: () => expecting("finished"),
    async assigned(count) {
      const all: WorkAssignment[] = [];
      while (all.length < count) all.push(...(await worker.assignments()));
      return all;
    },
    end: () => outgoing.end(),
    cut: () => over.abort(),
    async [Symbol.asyncDispose]() {
      over.abort();
      // It may have failed before; its test has seen the error or does not need it.
      await incoming.return?.().catch(() => undefined);
    },
  };
  return worker;
}

function outcomeOf(output: unknown) {
  return output instanceof Error
    ? ({ case: "error", value: { message: output.message } } as const)
    : ({ case: "outputJson", value: JSON.stringify(output) } as const);
}

/** Returns the cells of assignments, each as `q1/1`. */
export function cellsOf(assignments: readonly WorkAssignment[]): string[] {
  return assignments.map(({ item, repetition }) => `${item?.itemId}/${repetition}`);
}
