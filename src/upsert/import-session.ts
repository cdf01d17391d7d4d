import type { Client, Pool } from "../db/pool.ts";
import { databaseFault } from "../db/sqlstate.ts";
import { transaction } from "../db/transaction.ts";
import { failure } from "../failure.ts";
import { now } from "../instant.ts";
import type { Row } from "../items/item.ts";
import { type Changeset, type ChangesetRequest, notReady } from "./changeset.ts";
import {
  insertChangeset,
  itemCountOf,
  lockChangeset,
  lockTarget,
  updateChangeset,
} from "./changeset-store.ts";
import { equalBytes } from "./classify.ts";
import type { ImportAnswer, ImportFrame, OfferedRow, Progress } from "./import.ts";
import { publish, requireExpectedVersion } from "./publish.ts";
import { numberRows, stageOffers, stageRows } from "./stage.ts";
import {
  deleteWants,
  findFirstWant,
  findRowNumbers,
  listWantsByItem,
  listWantsByNumber,
  type NumberedRow,
  type Want,
} from "./staging-store.ts";
import { expiry, lockWriteTarget, requireSameRequest, type WriteTarget } from "./write.ts";

/** What a session works with. */
interface ImportResources {
  readonly pool: Pool;
  readonly importTtlSeconds: number;
}

/** An import that is past its commit already: its receipt is the answer. */
export interface FinishedImport {
  readonly finished: Changeset;
}

/**
 * Opens an import, or resumes it if the request_id is known. From then on older streams of it are refused.
 *
 * @throws Failure DATASET_NOT_FOUND, REQUEST_ID_REUSED, VERSION_CONFLICT, UPSERT_NOT_READY
 */
export async function openImport(
  resources: ImportResources,
  writeTarget: WriteTarget,
  request: ChangesetRequest,
): Promise<ImportSession | FinishedImport> {
  return transaction(resources.pool, async (client) => {
    const target = await lockWriteTarget(client, writeTarget);
    const known = await lockChangeset(client, target.datasetId, request.requestId);
    if (known !== undefined) {
      requireSameRequest(known, request);
      if (known.state === "discarded") throw notReady(known);
      if (known.state !== "open") return { finished: known };
    } else {
      requireExpectedVersion(request, target.headVersion);
    }
    const expireTime = expiry(target.time, resources.importTtlSeconds);
    const changeset = known ?? (await insertChangeset(client, target, request, expireTime));
    changeset.streamNumber++;
    changeset.expireTime = expireTime;
    await updateChangeset(client, changeset);
    const baseItemCount = await itemCountOf(client, changeset.datasetId, changeset.baseVersion);
    const session = new ImportSession(resources, changeset, baseItemCount === 0n);
    await session.restore(client, changeset);
    return session;
  });
}

/** One stream of an import. Takes frames in groups, each group in one transaction. */
export class ImportSession {
  readonly #resources: ImportResources;
  readonly #datasetId: string;
  readonly #changesetId: bigint;
  readonly #requestId: string;
  readonly #streamNumber: bigint;
  readonly #baseIsEmpty: boolean;
  #progress: Progress = { nextOffset: 0, durableOffset: 0 };

  constructor(resources: ImportResources, changeset: Changeset, baseIsEmpty: boolean) {
    this.#resources = resources;
    this.#datasetId = changeset.datasetId;
    this.#changesetId = changeset.changesetId;
    this.#requestId = changeset.requestId;
    this.#streamNumber = changeset.streamNumber;
    this.#baseIsEmpty = baseIsEmpty;
  }

  /** How far the import has come. */
  get progress(): Progress {
    return this.#progress;
  }

  /** Finds out how far an import that is resumed has come. The transaction that opens it makes all of it durable. */
  async restore(client: Client, changeset: Changeset): Promise<void> {
    const nextOffset = await nextOffsetOf(client, changeset);
    this.#progress = { nextOffset, durableOffset: nextOffset };
  }

  /**
   * Takes frames, none of them a commit, and gives their answers in order. If one of them is refused, those in front of it
   * are kept: `refusal` is what is wrong with it.
   *
   * @param flush whether to wait until the rows survive a crash; else the next flush makes them.
   */
  async take(
    frames: readonly ImportFrame[],
    flush: boolean,
  ): Promise<{ answers: ImportAnswer[]; refusal: unknown }> {
    try {
      return { answers: await this.#takeTogether(frames, flush), refusal: undefined };
    } catch (error) {
      if (frames.length === 1) {
        return { answers: [], refusal: await this.#explain(error, frames[0] as ImportFrame) };
      }
    }
    const answers: ImportAnswer[] = [];
    for (const frame of frames) {
      const one = await this.take([frame], flush);
      answers.push(...one.answers);
      if (one.refusal !== undefined) return { answers, refusal: one.refusal };
    }
    return { answers, refusal: undefined };
  }

  async #takeTogether(frames: readonly ImportFrame[], flush: boolean): Promise<ImportAnswer[]> {
    const taken = await transaction(
      this.#resources.pool,
      async (client) => {
        const changeset = await this.#lock(client);
        const answers: ((durableOffset: number) => ImportAnswer)[] = [];
        let nextOffset = this.#progress.nextOffset;
        for (const { frame, ends } of joinBatches(frames)) {
          const before = nextOffset;
          const answer = await this.#takeFrame(client, changeset, frame);
          nextOffset = await nextOffsetOf(client, changeset);
          for (const end of ends) {
            const reached = Math.max(before, Math.min(nextOffset, end));
            answers.push((durableOffset) =>
              answer({ nextOffset: reached, durableOffset: Math.min(reached, durableOffset) }),
            );
          }
        }
        changeset.expireTime = expiry(now(), this.#resources.importTtlSeconds);
        await updateChangeset(client, changeset);
        return { answers, nextOffset };
      },
      { durable: flush },
    );
    this.#progress = {
      nextOffset: taken.nextOffset,
      durableOffset: flush ? taken.nextOffset : this.#progress.durableOffset,
    };
    const { durableOffset } = this.#progress;
    return taken.answers.map((answer) => answer(durableOffset));
  }

  async #takeFrame(
    client: Client,
    changeset: Changeset,
    frame: ImportFrame,
  ): Promise<(progress: Progress) => ImportAnswer> {
    switch (frame.kind) {
      case "batch":
        await this.#takeBatch(client, changeset, frame.offset, frame.count, frame.rows);
        return (progress) => ({ kind: "progress", progress });
      case "supply":
        await this.#takeSupply(client, changeset, frame.rows);
        return (progress) => ({ kind: "progress", progress });
      case "offer": {
        const positions = await this.#takeOffer(client, changeset, frame.offset, frame.rows);
        return (progress) => ({ kind: "want", offset: frame.offset, positions, progress });
      }
      case "commit":
        throw new Error("a commit is not taken with other frames");
    }
  }

  /** Rows with bodies. Those below what has been received are skipped unless their bodies are wanted. */
  async #takeBatch(
    client: Client,
    changeset: Changeset,
    offset: number,
    count: number,
    rows: readonly Row[],
  ): Promise<void> {
    const received = Number(changeset.received);
    requireNoGap(offset, received);
    // The wire leaves out rows in front that were complete before they were read.
    const firstNumber = offset + count - rows.length;
    const known = Math.min(Math.max(received - firstNumber, 0), rows.length);
    if (known > 0 && changeset.missingBodies > 0n) {
      const wants = await listWantsByNumber(client, changeset, firstNumber, known);
      const supplied = wants.map((want) => ({ want, row: rows[want.rowNumber - firstNumber] as Row }));
      for (const { want, row } of supplied) {
        if (row.itemId !== want.itemId || !equalBytes(row.contentHash, want.contentHash)) {
          throw failure("REQUEST_ID_REUSED", { request_id: this.#requestId });
        }
      }
      await this.#supply(client, changeset, supplied);
    }
    const fresh = rows.slice(known);
    if (fresh.length === 0) return;
    await stageRows(client, changeset, this.#baseIsEmpty, numberRows(changeset, fresh, firstNumber + known));
    changeset.received += BigInt(fresh.length);
    changeset.receivedBytes += sizeOf(fresh);
  }

  /** Rows without bodies. Gives the positions of those that are wanted. */
  async #takeOffer(
    client: Client,
    changeset: Changeset,
    offset: number,
    rows: readonly OfferedRow[],
  ): Promise<number[]> {
    const received = Number(changeset.received);
    requireNoGap(offset, received);
    const known = Math.min(received - offset, rows.length);
    const positions: number[] = [];
    if (known > 0 && changeset.missingBodies > 0n) {
      for (const want of await listWantsByNumber(client, changeset, offset, known)) {
        const row = rows[want.rowNumber - offset];
        if (row?.itemId !== want.itemId || !equalBytes(row.contentHash, want.contentHash)) {
          throw failure("REQUEST_ID_REUSED", { request_id: this.#requestId });
        }
        positions.push(want.rowNumber - offset);
      }
    }
    const fresh = rows.slice(known).map(
      (row, index): Want => ({
        ...row,
        rowNumber: offset + known + index,
        keepsSplits: row.splits.length === 0 && !changeset.replaceSplits,
      }),
    );
    if (fresh.length > 0) {
      const wanted = await stageOffers(client, changeset, this.#baseIsEmpty, fresh);
      changeset.received += BigInt(fresh.length);
      for (const position of wanted) positions.push(known + position);
    }
    return positions;
  }

  /** Bodies of offered rows, in any order. Those that are here already are skipped. */
  async #takeSupply(client: Client, changeset: Changeset, rows: readonly Row[]): Promise<void> {
    const wants = new Map(
      (
        await listWantsByItem(
          client,
          changeset,
          rows.map((row) => row.itemId),
        )
      ).map((want) => [want.itemId, want]),
    );
    const unwanted = rows.filter((row) => !wants.has(row.itemId));
    if (unwanted.length > 0) await this.#requireOffered(client, changeset, unwanted);
    const supplied = rows.flatMap((row, position) => {
      const want = wants.get(row.itemId);
      if (want === undefined) return [];
      if (!equalBytes(row.contentHash, want.contentHash)) {
        throw failure(
          "CONTENT_HASH_MISMATCH",
          {
            index: want.rowNumber,
            item_id: row.itemId,
            given: Buffer.from(want.contentHash).toString("hex"),
            computed: Buffer.from(row.contentHash).toString("hex"),
          },
          [
            {
              field: `supply.items[${position}]`,
              description: "is not the content whose hash was offered",
            },
          ],
        );
      }
      return [{ want, row }];
    });
    await this.#supply(client, changeset, supplied);
  }

  async #requireOffered(client: Client, changeset: Changeset, rows: readonly Row[]): Promise<void> {
    const known = await findRowNumbers(
      client,
      changeset,
      rows.map((row) => row.itemId),
    );
    for (const { itemId } of rows) {
      if (known.has(itemId)) continue;
      const problem = `no offered row has the item_id ${JSON.stringify(itemId)}`;
      throw failure("INVALID_FIELD", { field: "supply.items", problem }, [
        { field: "supply.items", description: problem },
      ]);
    }
  }

  /** Takes the bodies of wanted rows. */
  async #supply(
    client: Client,
    changeset: Changeset,
    supplied: readonly { want: Want; row: Row }[],
  ): Promise<void> {
    if (supplied.length === 0) return;
    const rows = supplied.map(
      ({ want, row }): NumberedRow => ({ ...want, content: row, unidentified: false }),
    );
    await deleteWants(
      client,
      changeset,
      rows.map((row) => row.rowNumber),
    );
    await stageRows(client, changeset, this.#baseIsEmpty, rows);
    changeset.missingBodies -= BigInt(rows.length);
    changeset.receivedBytes += sizeOf(supplied.map(({ row }) => row));
  }

  /**
   * Publishes the import, or plans it, and gives its receipt.
   *
   * @throws Failure INCOMPLETE_STREAM, VERSION_CONFLICT, DUPLICATE_ITEM_ID, DELETE_LIMIT_EXCEEDED, STREAM_SUPERSEDED
   */
  async commit(itemCount: bigint): Promise<Changeset> {
    const outcome = await transaction(this.#resources.pool, async (client) => {
      const target = await lockTarget(client, this.#datasetId);
      if (target === undefined) throw failure("DATASET_NOT_FOUND", { dataset_id: this.#datasetId });
      const changeset = await this.#lock(client);
      if (changeset.received !== itemCount || changeset.missingBodies > 0n) {
        throw failure("INCOMPLETE_STREAM", {
          expected_item_count: itemCount,
          received_item_count: changeset.received,
          missing_body_count: changeset.missingBodies,
          next_offset: BigInt(await nextOffsetOf(client, changeset)),
        });
      }
      changeset.expireTime = expiry(target.time, this.#resources.importTtlSeconds);
      return publish(client, changeset, target, { planOnly: changeset.validateOnly });
    });
    if (outcome.refusal !== undefined) throw outcome.refusal;
    return outcome.changeset;
  }

  /** Locks the changeset for this stream. @throws Failure STREAM_SUPERSEDED, UPSERT_NOT_READY, DATASET_NOT_FOUND */
  async #lock(client: Client): Promise<Changeset> {
    const changeset = await lockChangeset(client, this.#datasetId, this.#requestId);
    if (changeset === undefined) throw failure("DATASET_NOT_FOUND", { dataset_id: this.#datasetId });
    if (changeset.streamNumber !== this.#streamNumber) {
      throw failure("STREAM_SUPERSEDED", { request_id: this.#requestId });
    }
    if (changeset.state !== "open") throw notReady(changeset);
    return changeset;
  }

  /** Tells which rows collide if that is what went wrong. */
  async #explain(error: unknown, frame: ImportFrame): Promise<unknown> {
    const fault = databaseFault(error);
    if (fault?.kind !== "unique" || frame.kind === "commit") return error;
    const known = await findRowNumbers(
      this.#resources.pool,
      { datasetId: this.#datasetId, changesetId: this.#changesetId },
      frame.rows.map((row) => row.itemId),
    );
    for (const [position, { itemId }] of frame.rows.entries()) {
      const numbers = known.get(itemId) ?? [];
      // The rows of a supply have their numbers already; those of other frames do not, for nothing of the frame was kept.
      const [first, second = BigInt(position) + rowOffset(frame)] = numbers;
      if (first === undefined || (frame.kind === "supply" && numbers.length < 2)) continue;
      return failure("DUPLICATE_ITEM_ID", { item_id: itemId, first_index: first, second_index: second });
    }
    return error;
  }
}

/** A frame, and for each frame that went into it the row up to which its answer may speak. */
interface JoinedFrame {
  readonly frame: ImportFrame;
  readonly ends: number[];
}

/** Joins batches that follow each other without a gap, so that they are written together. Each still gets its answer. */
function joinBatches(frames: readonly ImportFrame[]): JoinedFrame[] {
  const joined: JoinedFrame[] = [];
  for (const frame of frames) {
    const last = joined.at(-1);
    if (frame.kind !== "batch") {
      joined.push({ frame, ends: [Number.POSITIVE_INFINITY] });
      continue;
    }
    const end = frame.offset + frame.count;
    if (
      last?.frame.kind === "batch" &&
      isWhole(frame) &&
      last.frame.offset + last.frame.count === frame.offset
    ) {
      const { offset, count, rows } = last.frame;
      joined.pop();
      joined.push({
        frame: { kind: "batch", offset, count: count + frame.count, rows: rows.concat(frame.rows) },
        ends: [...last.ends, end],
      });
    } else {
      joined.push({ frame, ends: [end] });
    }
  }
  return joined;
}

/** Whether all rows of a batch were read: none was known to be complete before. */
function isWhole({ count, rows }: Extract<ImportFrame, { kind: "batch" }>): boolean {
  return rows.length === count;
}

/** The first row of which something is missing. */
async function nextOffsetOf(client: Client, changeset: Changeset): Promise<number> {
  if (changeset.missingBodies === 0n) return Number(changeset.received);
  return (await findFirstWant(client, changeset)) ?? Number(changeset.received);
}

/** The number of the first row that a frame has read. */
function rowOffset(frame: Exclude<ImportFrame, { kind: "commit" }>): bigint {
  if (frame.kind === "supply") return 0n;
  return BigInt(frame.kind === "batch" ? frame.offset + frame.count - frame.rows.length : frame.offset);
}

function requireNoGap(offset: number, received: number): void {
  if (offset <= received) return;
  throw failure("OFFSET_GAP", { next_offset: BigInt(received), received_offset: BigInt(offset) });
}

function sizeOf(rows: readonly Row[]): bigint {
  let size = 0;
  for (const row of rows) size += row.size;
  return BigInt(size);
}
