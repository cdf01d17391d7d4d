import { type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import type { Limits } from "../../gen/itembank/v1/limits_pb.js";
import { type RunResult, RunResultSchema } from "../../gen/itembank/v1/result_pb.js";
import type { Run } from "../../gen/itembank/v1/run_pb.js";
import type { WorkRunRequestSchema, WorkRunResponse } from "../../gen/itembank/v1/run_service_pb.js";
import { WorkAck_Outcome, type WorkAssignment } from "../../gen/itembank/v1/work_pb.js";
import { Changes } from "../rpc/changes.ts";
import type { Connection } from "../rpc/connection.ts";
import { ItembankError } from "../rpc/error.ts";
import { fittingResult } from "./fitting-result.ts";
import { type CellSetting, runCell } from "./run-cell.ts";
import { defaultConcurrency } from "./task.ts";
import type { WorkCounts, WorkRunOptions } from "./work-run-options.ts";

type Request = MessageInitShape<typeof WorkRunRequestSchema>;

const defaultLeaseMs = 60_000;

/** Heartbeats per lease: two of them may be lost. */
const beatsPerLease = 3;

/** The time to tell the server that the worker leaves. */
const leaveMilliseconds = 2_000;

/** Bytes of a frame besides its results, and of a result besides its encoding and the id of its lease. */
const frameOverhead = 64;
const resultOverhead = 16;

/** The state of a worker that survives a broken stream: its cells in progress, and the results not yet acknowledged. */
export class Worker<Input, Output, Expected> {
  readonly #connection: Connection;
  readonly #setting: CellSetting<Input, Output, Expected>;
  readonly #options: WorkRunOptions<Input, Output, Expected> & { readonly workerId: string };
  readonly #limits: Limits;
  readonly #changes = new Changes();
  /** The cells in progress, by lease. */
  readonly #running = new Map<string, AbortController>();
  /** Results not yet acknowledged, by lease. */
  readonly #results = new Map<string, RunResult>();
  /** Leases of results that this stream has not sent yet. */
  #unsent: string[] = [];
  #beatDue = false;
  #leaving = false;
  #counts = { recorded: 0, dropped: 0, lost: 0, idle: false };

  constructor(
    connection: Connection,
    setting: CellSetting<Input, Output, Expected>,
    options: WorkRunOptions<Input, Output, Expected> & { readonly workerId: string },
    limits: Limits,
  ) {
    this.#connection = connection;
    this.#setting = setting;
    this.#options = options;
    this.#limits = limits;
  }

  get counts(): WorkCounts {
    return { ...this.#counts, running: this.#running.size };
  }

  /** Stops the work on all cells. */
  stop(): void {
    for (const cell of this.#running.values()) cell.abort(new Error("the worker was stopped"));
    this.#running.clear();
  }

  /**
   * Runs one stream until no work is left, and returns the run. Calls `onAnswer` for every frame of the server.
   *
   * @throws ItembankError, retryable if the stream broke; the reason of the signal, once all leases are released
   */
  async stream(onAnswer: () => void, signal: AbortSignal | undefined): Promise<Run> {
    const stream = { isOver: false };
    const cut = new AbortController();
    let leaving: ReturnType<typeof setTimeout> | undefined;
    const leave = () => {
      this.stop();
      this.#leaving = true;
      this.#changes.tell();
      leaving = setTimeout(() => cut.abort(), leaveMilliseconds);
    };
    const beat = setInterval(
      () => {
        this.#beatDue = true;
        this.#changes.tell();
      },
      (this.#options.leaseMs ?? defaultLeaseMs) / beatsPerLease,
    );
    signal?.addEventListener("abort", leave, { once: true });
    this.#unsent = [...this.#results.keys()];
    try {
      const answers = this.#connection.runs.workRun(this.#frames(stream), { signal: cut.signal });
      for await (const { frame } of answers) {
        onAnswer();
        if (frame.case === "finished") return frame.value.run as Run;
        if (!this.#leaving) this.#take(frame);
        this.#options.onProgress?.(this.counts);
      }
    } finally {
      stream.isOver = true;
      clearInterval(beat);
      clearTimeout(leaving);
      signal?.removeEventListener("abort", leave);
      this.#changes.tell();
      signal?.throwIfAborted();
    }
    throw new ItembankError("the stream of work ended without its last frame", {
      code: Code.Unavailable,
      retryable: true,
    });
  }

  async *#frames(stream: { readonly isOver: boolean }): AsyncGenerator<Request> {
    const { runId, workerId, leaseMs, concurrency = defaultConcurrency, maxAttempts = 1 } = this.#options;
    const hello = {
      runId,
      workerId,
      capacity: concurrency,
      maxAttempts,
      ...(leaseMs !== undefined && { leaseDuration: durationFromMs(Math.round(leaseMs)) }),
    };
    yield { frame: { case: "hello", value: hello } };
    while (!stream.isOver) {
      if (this.#unsent.length > 0) {
        yield { frame: { case: "results", value: { results: this.#nextResults() } } };
      } else if (this.#leaving) {
        // Without this, released cells might be assigned to this worker again.
        yield { frame: { case: "heartbeat", value: { capacity: 0 } } };
        yield { frame: { case: "release", value: {} } };
        return;
      } else if (this.#beatDue) {
        this.#beatDue = false;
        yield { frame: { case: "heartbeat", value: {} } };
      } else {
        await this.#changes.next();
      }
    }
  }

  #nextResults() {
    const results: { leaseId: string; result: RunResult }[] = [];
    let bytes = frameOverhead;
    for (const leaseId of this.#unsent) {
      const result = this.#results.get(leaseId) as RunResult;
      bytes += toBinary(RunResultSchema, result).length + leaseId.length + resultOverhead;
      const isFull = bytes > this.#limits.maxBatchBytes || results.length === this.#limits.maxBatchSize;
      if (results.length > 0 && isFull) break;
      results.push({ leaseId, result });
    }
    this.#unsent = this.#unsent.slice(results.length);
    return results;
  }

  #take(frame: WorkRunResponse["frame"]): void {
    switch (frame.case) {
      case "assignments":
        this.#counts.idle = false;
        for (const assignment of frame.value.assignments) this.#begin(assignment);
        break;
      case "acks":
        for (const { leaseId, outcome } of frame.value.acks) {
          this.#results.delete(leaseId);
          if (outcome === WorkAck_Outcome.DROPPED) this.#counts.dropped++;
          else this.#counts.recorded++;
        }
        break;
      case "renewal":
        for (const leaseId of frame.value.lostLeaseIds) this.#lose(leaseId);
        break;
      case "idle":
        this.#counts.idle = true;
        break;
      default:
        // An unknown frame of a newer server.
        break;
    }
  }

  /** Starts on a cell, unless it is in progress: a worker that reconnects is assigned its cells again. */
  #begin({ leaseId, item, repetition }: WorkAssignment): void {
    if (item === undefined || this.#running.has(leaseId) || this.#results.has(leaseId)) return;
    const cell = new AbortController();
    this.#running.set(leaseId, cell);
    const work = runCell(this.#setting, { item, repetition }, cell.signal);
    work.then(
      (result) => {
        if (!this.#running.delete(leaseId)) return;
        this.#results.set(leaseId, fittingResult(result, this.#limits));
        this.#unsent.push(leaseId);
        this.#changes.tell();
      },
      // A cell without a result was aborted by its signal, so no result is expected.
      () => undefined,
    );
  }

  #lose(leaseId: string): void {
    const cell = this.#running.get(leaseId);
    if (cell === undefined) return;
    this.#running.delete(leaseId);
    this.#counts.lost++;
    cell.abort(new Error("the lease has ended"));
  }
}
