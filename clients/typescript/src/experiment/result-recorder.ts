import { type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import type { Limits } from "../../gen/itembank/v1/limits_pb.js";
import { type RunResult, RunResultSchema } from "../../gen/itembank/v1/result_pb.js";
import type { StreamRecordResultsRequestSchema } from "../../gen/itembank/v1/run_service_pb.js";
import { Backoff } from "../rpc/backoff.ts";
import { Changes } from "../rpc/changes.ts";
import type { Connection } from "../rpc/connection.ts";
import { ItembankError } from "../rpc/error.ts";
import { fittingResult } from "./fitting-result.ts";
import type { ResultInit } from "./run-cell.ts";

type Request = MessageInitShape<typeof StreamRecordResultsRequestSchema>;

interface Frame {
  readonly results: readonly RunResult[];
}

/** The most results that wait to be sent or acknowledged. Adding another one waits. */
const maxWaiting = 2_000;

/** The size of a batch: while a frame is in flight, the next one waits for this many results. */
const gathered = 200;

/** The most frames in flight. */
const maxUnanswered = 8;

/** Bytes of a frame besides its results, and of a result besides its encoding. */
const frameOverhead = 128;
const resultOverhead = 6;

/**
 * Streams results into a run as they arrive, each until it is durable. Results that a broken stream leaves unacknowledged are
 * sent again on the next one, which is idempotent.
 */
export class ResultRecorder {
  /** Results that the run did not accept because their cells already had another success, or their items were purged. */
  readonly notTaken: RunResult[] = [];
  readonly #connection: Connection;
  readonly #runId: string;
  readonly #limits: Limits;
  readonly #changes = new Changes();
  readonly #finished: Promise<void>;
  #queue: RunResult[] = [];
  readonly #unanswered = new Map<bigint, Frame>();
  #frameNumber = 0n;
  #waiting = 0;
  #closing = false;
  #fault: { readonly error: unknown } | undefined;
  readonly #stop = new AbortController();

  constructor(connection: Connection, runId: string, limits: Limits) {
    this.#connection = connection;
    this.#runId = runId;
    this.#limits = limits;
    this.#finished = this.#run().catch((error: unknown) => {
      this.#fault = { error };
      this.#changes.tell();
    });
  }

  /**
   * Queues a result, as soon as there is room.
   *
   * @throws ItembankError RUN_ENDED, or any other error that keeps results from being recorded; the reason of the signal
   */
  async add(result: ResultInit, signal: AbortSignal): Promise<void> {
    while (this.#waiting >= maxWaiting && this.#fault === undefined) {
      signal.throwIfAborted();
      await this.#changes.next();
    }
    this.throwIfFailed();
    this.#waiting++;
    this.#queue.push(fittingResult(result, this.#limits));
    this.#changes.tell();
  }

  /** @throws the error that keeps results from being recorded */
  throwIfFailed(): void {
    if (this.#fault !== undefined) throw this.#fault.error;
  }

  /** Resolves when all results are durable. @throws as `add` does */
  async finish(): Promise<void> {
    this.#closing = true;
    this.#changes.tell();
    await this.#finished;
    this.throwIfFailed();
  }

  /** Does the same, but abandons results that are not durable within a time. */
  async finishWithin(milliseconds: number): Promise<void> {
    const timer = setTimeout(() => this.#stop.abort(), milliseconds);
    await this.finish().finally(() => clearTimeout(timer));
  }

  async #run(): Promise<void> {
    const { retry, duplex } = this.#connection;
    const backoff = new Backoff(retry, retry.resumeAttempts);
    for (;;) {
      while (this.#queue.length === 0 && this.#unanswered.size === 0) {
        if (this.#closing) return;
        await this.#changes.next();
      }
      try {
        await (duplex ? this.#stream(backoff) : this.#call());
        backoff.succeeded();
      } catch (error) {
        if (this.#drop(error)) continue;
        await backoff.wait(error, this.#stop.signal);
      }
    }
  }

  /** Runs one stream, until all results are sent or it breaks. */
  async #stream(backoff: Backoff): Promise<void> {
    const { runs } = this.#connection;
    const stream = { isOver: false };
    try {
      const answers = runs.streamRecordResults(this.#frames(stream), { signal: this.#stop.signal });
      for await (const { frameNumber } of answers) {
        this.#answered(frameNumber);
        backoff.succeeded();
      }
    } finally {
      stream.isOver = true;
      this.#changes.tell();
    }
    if (this.#unanswered.size > 0) {
      throw new ItembankError("the stream ended before all results were acknowledged", {
        code: Code.Unavailable,
        retryable: true,
      });
    }
  }

  async *#frames(stream: { readonly isOver: boolean }): AsyncGenerator<Request> {
    const runId = this.#runId;
    // Frames that the previous stream left unanswered go first. Later results are in the queue.
    for (const [frameNumber, { results }] of [...this.#unanswered])
      yield { runId, frameNumber, results: [...results] };
    while (!(this.#closing && this.#queue.length === 0) && !stream.isOver) {
      const isDue = this.#unanswered.size === 0 || this.#queue.length >= gathered || this.#closing;
      if (this.#queue.length === 0 || !isDue || this.#unanswered.size >= maxUnanswered) {
        await this.#changes.next();
        continue;
      }
      const [frameNumber, { results }] = this.#nextFrame();
      yield { runId, frameNumber, results: [...results] };
    }
  }

  /** Sends one frame without a stream, for browsers. */
  async #call(): Promise<void> {
    const [next = this.#nextFrame()] = this.#unanswered;
    const [frameNumber, { results }] = next;
    await this.#connection.runs.recordResults(
      { runId: this.#runId, results: [...results] },
      { signal: this.#stop.signal },
    );
    this.#answered(frameNumber);
  }

  #nextFrame(): [bigint, Frame] {
    let bytes = frameOverhead;
    let count = 0;
    for (const result of this.#queue) {
      bytes += toBinary(RunResultSchema, result).length + resultOverhead;
      if (count > 0 && (bytes > this.#limits.maxBatchBytes || count === this.#limits.maxBatchSize)) break;
      count++;
    }
    const frame = { results: this.#queue.slice(0, count) };
    this.#queue = this.#queue.slice(count);
    this.#unanswered.set(++this.#frameNumber, frame);
    return [this.#frameNumber, frame];
  }

  #answered(frameNumber: bigint): void {
    this.#waiting -= this.#unanswered.get(frameNumber)?.results.length ?? 0;
    this.#unanswered.delete(frameNumber);
    this.#changes.tell();
  }

  /**
   * Removes the one result that made the server refuse a frame: its cell has another success, or its item was purged. The
   * frame is sent again without it.
   */
  #drop(error: unknown): boolean {
    if (!(error instanceof ItembankError)) return false;
    if (error.reason !== "RESULT_FINAL" && error.reason !== "ITEM_PURGED") return false;
    const { item_id: itemId, repetition } = error.facts;
    const isMeant = (result: RunResult) =>
      result.itemId === itemId && (repetition === undefined || String(result.repetition) === repetition);
    for (const [frameNumber, { results }] of this.#unanswered) {
      const refused = results.filter(isMeant);
      if (refused.length === 0) continue;
      this.notTaken.push(...refused);
      this.#waiting -= refused.length;
      const rest = results.filter((result) => !isMeant(result));
      if (rest.length > 0) this.#unanswered.set(frameNumber, { results: rest });
      else this.#unanswered.delete(frameNumber);
      this.#changes.tell();
      return true;
    }
    return false;
  }
}
