import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Receipt, Receipt_State } from "../../gen/itembank/v1/receipt_pb.js";
import { UpsertMode, type UpsertOptionsSchema } from "../../gen/itembank/v1/upsert_pb.js";
import {
  contentOf,
  countsOf,
  type DatasetRef,
  type ItemInit,
  type ItemServiceUnderTest,
  item,
  startItemService,
} from "../items/item-service.ts";
import { invalid, refusalOf, refused } from "../support/refusal.ts";
import { batch, commit, open, receiptOf, send } from "./streaming.ts";

let service: ItemServiceUnderTest;
beforeAll(async () => {
  service = await startItemService();
});
afterAll(() => service.close());

type Ref = DatasetRef | { readonly by: { readonly case: "name"; readonly value: string } };
type Options = MessageInitShape<typeof UpsertOptionsSchema>;

const named = (name: string) => ({ by: { case: "name", value: name } }) as const;
const mirror = { mode: UpsertMode.MIRROR, guard: { allowEmpty: true } };

const upsert = (dataset: Ref, items: ItemInit[], options: Options = {}, requestId = randomUUID()) =>
  service.upserts.upsertItems({ dataset, items, options, requestId });

/** Plans a write and returns its receipt. */
async function plan(dataset: Ref, items: ItemInit[], options: Options = {}): Promise<Receipt> {
  const { receipt } = await upsert(dataset, items, { ...options, validateOnly: true });
  if (receipt === undefined) throw new Error("the answer lacks its receipt");
  return receipt;
}

async function apply(dataset: Ref, { requestId }: Receipt, allowRebase = false): Promise<Receipt> {
  const { receipt } = await service.upserts.applyUpsert({ dataset, requestId, allowRebase });
  if (receipt === undefined) throw new Error("the answer lacks its receipt");
  return receipt;
}

const discard = async (dataset: Ref, requestId: string) =>
  (await service.upserts.discardUpsert({ dataset, requestId })).receipt;
const get = async (dataset: Ref, requestId: string) =>
  (await service.upserts.getUpsert({ dataset, requestId })).receipt;

/** Returns all that a reader can see of a dataset. */
async function visible(dataset: DatasetRef) {
  return {
    dataset: (await service.datasets.getDataset({ dataset })).dataset,
    versions: (await service.datasets.listVersions({ dataset })).versions,
    items: await service.read(dataset),
  };
}

const notReady = (state: string, requestId: string) =>
  refused("FailedPrecondition", "UPSERT_NOT_READY", { request_id: requestId, state });

describe("a plan", () => {
  test("leaves no trace for readers, and no rows once it is discarded", async () => {
    const dataset = await service.dataset(item("a", 1), item("b", 1), item("c", 1));
    const before = await visible(dataset);
    const receipt = await plan(dataset, [item("a", 2), item("b", 1), item("", 1), item("new", 1)], mirror);
    expect(receipt).toMatchObject({
      state: Receipt_State.PLANNED,
      baseVersion: 1n,
      version: 0n,
      noOp: false,
      itemCount: 4n,
      expireTime: { seconds: expect.any(BigInt) },
    });
    expect(receipt.publishTime).toBeUndefined();
    expect(countsOf(receipt)).toBe("c1 u1 n2 d0");
    expect(await visible(dataset)).toEqual(before);
    expect(await get(dataset, receipt.requestId)).toEqual(receipt);

    await discard(dataset, receipt.requestId);
    expect(await visible(dataset)).toEqual(before);
  });

  test("reports that nothing would change, and makes no version when applied", async () => {
    const dataset = await service.dataset(item("a", 1));
    const receipt = await plan(dataset, [item("a", 1)], mirror);
    expect(receipt).toMatchObject({ noOp: true, state: Receipt_State.PLANNED, version: 0n, itemCount: 1n });
    expect(await apply(dataset, receipt)).toMatchObject({ noOp: true, version: 1n, itemCount: 1n });
  });

  test("has the counts, and when applied the outcome, of the same write without a plan", async () => {
    let random = 11;
    const next = (below: number) => {
      random = (random * 48_271) % 2_147_483_647;
      return random % below;
    };
    const anItem = (itemId: string): ItemInit =>
      item(itemId, next(2), {
        splits: next(2) === 0 ? [] : ([["train"], ["test"], ["test", "train"]][next(3)] ?? []),
      });
    const some = (count: number) =>
      Array.from({ length: count }, (_, n) => anItem(next(3) === 0 ? "" : `k${n}`)).filter(() => next(3) > 0);
    for (let round = 0; round < 60; round++) {
      const base = some(6);
      const rows = some(8);
      const options = {
        ...(next(2) === 0 ? mirror : {}),
        replaceSplits: next(2) === 0,
      };
      const [planned, direct] = [await service.dataset(...base), await service.dataset(...base)];
      const { receipt: expected } = await upsert(direct, rows, options);
      const promise = await plan(planned, rows, options);
      const outcome = await apply(planned, promise);
      expect(countsOf(promise), `round ${round}`).toBe(countsOf(expected));
      expect(outcome.counts).toEqual(promise.counts);
      for (const field of ["noOp", "itemCount", "receivedBytes", "baseVersion"] as const) {
        expect(promise[field]).toBe(expected?.[field]);
        expect(outcome[field]).toBe(expected?.[field]);
      }
      expect(outcome.version).toBe(expected?.version);
      expect(outcome.state).toBe(Receipt_State.PUBLISHED);
      const contents = async (ref: DatasetRef) =>
        Object.values(await service.read(ref))
          .map((one) => JSON.stringify([one.itemId.replace(/^item.*/, ""), contentOf(one)]))
          .sort();
      expect(await contents(planned), `round ${round}`).toEqual(await contents(direct));
      expect(outcome.itemCount).toBe(BigInt((await contents(planned)).length));
    }
  });

  test("is also the result of a stream with validate_only", async () => {
    const dataset = await service.dataset(item("a", 1));
    const opening = { dataset, requestId: randomUUID(), options: { validateOnly: true } };
    const receipt = await receiptOf(service.upserts, [open(opening), batch(0, [item("b", 1)]), commit(1)]);
    expect(receipt).toMatchObject({ state: Receipt_State.PLANNED, counts: { created: 1n } });
    expect(await send(service.upserts, [open(opening)])).toEqual([{ case: "receipt", value: receipt }]);
    expect(await apply(dataset, receipt)).toMatchObject({ version: 2n });
  });
});

describe("ApplyUpsert", () => {
  test("returns the same receipt again, even after further versions", async () => {
    const dataset = await service.dataset(item("a", 1));
    const planned = await plan(dataset, [item("a", 2)]);
    const applied = await apply(dataset, planned);
    expect(applied).toMatchObject({ version: 2n, createTime: planned.createTime });
    expect(applied.expireTime).toBeUndefined();
    await upsert(dataset, [item("a", 3)]);
    expect(await apply(dataset, planned)).toEqual(applied);
    expect(await get(dataset, planned.requestId)).toEqual(applied);
    expect((await visible(dataset)).dataset?.latestVersion).toBe(3n);
  });

  test("applies a plan once when ten calls apply it concurrently", async () => {
    const dataset = await service.dataset(item("a", 1));
    const planned = await plan(dataset, [item("a", 2)]);
    const receipts = await Promise.all(Array.from({ length: 10 }, () => apply(dataset, planned)));
    for (const receipt of receipts) expect(receipt).toEqual(receipts[0]);
    expect((await visible(dataset)).versions).toHaveLength(2);
  });

  test("is refused if the dataset has a newer version, unless allow_rebase is set", async () => {
    const dataset = await service.dataset(item("a", 1), item("b", 1), item("c", 1), item("d", 1));
    const planned = await plan(dataset, [item("a", 2), item("b", 1), item("new", 1), item("", 1)], mirror);
    expect(countsOf(planned)).toBe("c1 u1 n2 d1");
    await upsert(dataset, [item("a", 2), item("b", 7), item("e", 1)]);
    await service.items.deleteItem({ dataset, itemId: "c" });
    expect(await refusalOf(apply(dataset, planned))).toEqual({
      code: "Aborted",
      reason: "VERSION_CONFLICT",
      metadata: { expected_version: "1", latest_version: "3" },
    });
    expect(await get(dataset, planned.requestId)).toEqual(planned);

    const rebased = await apply(dataset, planned, true);
    // a has this content already, b returns to 1, the row without an id now stands for d, and e is deleted.
    expect(countsOf(rebased)).toBe("c1 u1 n2 d1");
    expect(rebased).toMatchObject({ baseVersion: 3n, version: 4n, itemCount: 4n });
    expect(
      Object.entries(await service.read(dataset)).map(([itemId, { inputJson }]) => [itemId, inputJson]),
    ).toEqual([
      ["a", "2"],
      ["b", "1"],
      ["d", "1"],
      ["new", "1"],
    ]);
  });

  test("recounts with allow_rebase as if the rows had been sent after the versions in between", async () => {
    const dataset = await service.dataset(item("a", 1), item("b", 1));
    const planned = await plan(dataset, [item("a", 1), item("b", 2), item("c", 1)]);
    expect(countsOf(planned)).toBe("c1 u1 n1 d0");
    await upsert(dataset, [item("b", 2), item("c", 1)], mirror);
    const rebased = await apply(dataset, planned, true);
    expect(countsOf(rebased)).toBe("c1 u0 n2 d0");
    expect(rebased.counts?.received).toBe(3n);
  });

  test("still checks expected_version with allow_rebase", async () => {
    const dataset = await service.dataset(item("a", 1));
    const planned = await plan(dataset, [item("a", 2)], { expectedVersion: 1n });
    await upsert(dataset, [item("b", 1)]);
    expect(await refusalOf(apply(dataset, planned, true))).toEqual(
      refused("Aborted", "VERSION_CONFLICT", { expected_version: "1", latest_version: "2" }),
    );
  });

  test("extends the life of a plan that it does not apply", async () => {
    const dataset = await service.dataset(item("a", 1), item("b", 1));
    const planned = await plan(dataset, [item("a", 1)], mirror);
    const guard = { maxDeleteCount: 0n };
    const { requestId } = planned;
    const call = service.upserts.applyUpsert({ dataset, requestId, guard });
    expect(await refusalOf(call)).toEqual(refused("FailedPrecondition", "DELETE_LIMIT_EXCEEDED"));
    const later = await get(dataset, requestId);
    expect(timeOf(later?.expireTime)).toBeGreaterThan(timeOf(planned.expireTime));
  });

  test("needs the write to be planned", async () => {
    const dataset = await service.dataset(item("a", 1));
    const requestId = randomUUID();
    await send(service.upserts, [open({ dataset, requestId }), batch(0, [item("b", 1)])]);
    const applying = () => service.upserts.applyUpsert({ dataset, requestId });
    expect(await refusalOf(applying())).toEqual(notReady("STATE_OPEN", requestId));
    await discard(dataset, requestId);
    expect(await refusalOf(applying())).toEqual(notReady("STATE_DISCARDED", requestId));
  });
});

describe("DiscardUpsert", () => {
  test.each(["open", "planned"])("discards a write that is %s, and is idempotent", async (state) => {
    const dataset = await service.dataset(item("a", 1));
    const requestId = randomUUID();
    const options = { validateOnly: true };
    const frames = [open({ dataset, requestId, options }), batch(0, [item("a", 2), item("b", 1)])];
    await send(service.upserts, state === "open" ? frames : [...frames, commit(2)]);
    const receipt = await discard(dataset, requestId);
    expect(receipt).toMatchObject({ requestId, state: Receipt_State.DISCARDED, version: 0n, noOp: false });
    expect([receipt?.expireTime, receipt?.publishTime]).toEqual([undefined, undefined]);
    expect(await discard(dataset, requestId)).toEqual(receipt);
    expect(await get(dataset, requestId)).toEqual(receipt);
    expect(await refusalOf(send(service.upserts, frames))).toEqual(notReady("STATE_DISCARDED", requestId));
    expect((await visible(dataset)).dataset?.latestVersion).toBe(1n);
  });

  test("is refused for a write that is published", async () => {
    const dataset = await service.dataset();
    const { receipt } = await upsert(dataset, [item("a", 1)]);
    const requestId = receipt?.requestId ?? "";
    expect(await refusalOf(discard(dataset, requestId))).toEqual(notReady("STATE_PUBLISHED", requestId));
  });

  test("concurrent with an apply has one of the two outcomes", async () => {
    for (let round = 0; round < 10; round++) {
      const dataset = await service.dataset(item("a", 1));
      const planned = await plan(dataset, [item("a", 2)]);
      await Promise.allSettled([apply(dataset, planned), discard(dataset, planned.requestId)]);
      const { state, version } = (await get(dataset, planned.requestId)) ?? {};
      const latest = (await visible(dataset)).dataset?.latestVersion;
      expect([
        [Receipt_State.PUBLISHED, 2n, 2n],
        [Receipt_State.DISCARDED, 0n, 1n],
      ]).toContainEqual([state, version, latest]);
    }
  });
});

describe("GetUpsert", () => {
  test("reports the progress of an import from its first frame on", async () => {
    const dataset = await service.dataset(item("a", 1));
    const requestId = randomUUID();
    const opening = open({ dataset, requestId });
    await send(service.upserts, [opening, batch(0, [item("a", 1), item("b", 1)])]);
    const receipt = await get(dataset, requestId);
    expect(receipt).toMatchObject({
      requestId,
      datasetId: dataset.by.value,
      state: Receipt_State.OPEN,
      counts: { received: 2n },
      receivedBytes: 2n,
      itemCount: 0n,
      noOp: false,
      version: 0n,
      createsDataset: false,
    });
    const published = await receiptOf(service.upserts, [opening, commit(2)]);
    expect(await get(dataset, requestId)).toEqual(published);
  });

  test("finds any write to items as long as the dataset exists", async () => {
    const dataset = await service.dataset();
    const requestId = randomUUID();
    const { receipt } = await service.items.createItem({ dataset, item: item("a", 1), requestId });
    for (let n = 0; n < 3; n++) await upsert(dataset, [item("a", `${n}`)]);
    expect(await get(dataset, requestId)).toEqual(receipt);
  });

  test("fails for an unknown request_id, and for an unknown dataset", async () => {
    const dataset = await service.dataset();
    const requestId = randomUUID();
    const missing = refused("NotFound", "UPSERT_NOT_FOUND", {
      dataset_id: dataset.by.value,
      request_id: requestId,
    });
    for (const method of ["getUpsert", "applyUpsert", "discardUpsert"] as const) {
      const call = (request: { dataset?: Ref; requestId?: string }) => service.upserts[method](request);
      expect(await refusalOf(call({ dataset, requestId }))).toEqual(missing);
      expect(await refusalOf(call({ dataset: named("nowhere"), requestId }))).toEqual(
        refused("NotFound", "DATASET_NOT_FOUND", { name: "nowhere" }),
      );
      expect(await refusalOf(call({ requestId }))).toEqual(invalid("dataset"));
      expect(await refusalOf(call({ dataset }))).toEqual(invalid("request_id"));
      expect(await refusalOf(call({ dataset, requestId: "7" }))).toEqual(invalid("request_id"));
    }
  });
});

describe("a plan that creates its dataset", () => {
  const creating = { createIfMissing: true, newDataset: { description: "made by import" } };

  test("creates nothing until it is applied, but is found by the name", async () => {
    const ref = named("planned dataset");
    const planned = await plan(ref, [item("a", 1), item("", 2)], creating);
    expect(planned).toMatchObject({ createsDataset: true, itemCount: 2n, counts: { created: 2n } });
    expect(await refusalOf(service.datasets.getDataset({ dataset: ref }))).toEqual(
      refused("NotFound", "DATASET_NOT_FOUND"),
    );
    const { datasets } = await service.datasets.listDatasets({ namePrefix: "planned" });
    expect(datasets).toEqual([]);
    expect(await refusalOf(upsert(ref, [item("b", 1)]))).toEqual(refused("NotFound", "DATASET_NOT_FOUND"));
    expect(await get(ref, planned.requestId)).toEqual(planned);

    const applied = await apply(ref, planned);
    expect(applied).toMatchObject({ version: 1n, createsDataset: true, datasetId: planned.datasetId });
    const { dataset } = await service.datasets.getDataset({ dataset: ref });
    expect(dataset).toMatchObject({
      datasetId: planned.datasetId,
      name: "planned dataset",
      description: "made by import",
      latestVersion: 1n,
      itemCount: 2n,
      createTime: applied.publishTime,
    });
  });

  test("creates nothing if it is discarded, and leaves the name free", async () => {
    const ref = named("discarded dataset");
    const planned = await plan(ref, [item("a", 1)], creating);
    expect(await discard(ref, planned.requestId)).toMatchObject({ state: Receipt_State.DISCARDED });
    expect(await get(ref, planned.requestId)).toMatchObject({ state: Receipt_State.DISCARDED });
    const { dataset } = await service.datasets.createDataset({ dataset: { name: "discarded dataset" } });
    expect(dataset).toMatchObject({ name: "discarded dataset", latestVersion: 0n });
  });

  test("of two plans for one name, the first applied one creates the dataset, the other adds to it", async () => {
    const ref = named("twice planned dataset");
    const [first, second] = [
      await plan(ref, [item("a", 1)], creating),
      await plan(ref, [item("b", 1)], { ...creating, newDataset: { description: "another" } }),
    ];
    expect(await apply(ref, second)).toMatchObject({ version: 1n, createsDataset: true });
    expect(await apply(ref, first, true)).toMatchObject({ version: 2n, createsDataset: false });
    expect((await service.datasets.getDataset({ dataset: ref })).dataset?.description).toBe("another");
  });

  test("adds to a dataset that is created under the name meanwhile", async () => {
    const ref = named("overtaken dataset");
    const planned = await plan(ref, [item("a", 1)], creating);
    const { dataset } = await service.datasets.createDataset({ dataset: { name: "overtaken dataset" } });
    expect(await apply(ref, planned)).toMatchObject({
      version: 1n,
      createsDataset: false,
      datasetId: dataset?.datasetId,
    });
  });

  test("is refused if another dataset was renamed to the name", async () => {
    const ref = named("taken dataset");
    const planned = await plan(ref, [item("a", 1)], creating);
    const other = await service.dataset();
    await service.datasets.updateDataset({
      dataset: other,
      patch: { name: "taken dataset" },
    });
    const reserved = { by: { case: "datasetId", value: planned.datasetId } } as const;
    expect(await refusalOf(apply(reserved, planned))).toEqual(
      refused("AlreadyExists", "DATASET_NAME_TAKEN", { name: "taken dataset", dataset_id: other.by.value }),
    );
  });

  test("creates an empty dataset without rows", async () => {
    const ref = named("empty dataset");
    const planned = await plan(ref, [], creating);
    expect(await apply(ref, planned)).toMatchObject({ noOp: true, version: 0n, createsDataset: true });
    expect((await service.datasets.getDataset({ dataset: ref })).dataset?.latestVersion).toBe(0n);
  });
});

/** Returns a timestamp in seconds. */
function timeOf(time: { seconds: bigint; nanos: number } | undefined): number {
  return Number(time?.seconds ?? 0) + (time?.nanos ?? 0) / 1e9;
}
