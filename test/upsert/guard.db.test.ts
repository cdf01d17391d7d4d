import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Receipt, Receipt_State } from "../../gen/itembank/v1/receipt_pb.js";
import {
  type MirrorGuardSchema,
  UpsertMode,
  type UpsertOptionsSchema,
} from "../../gen/itembank/v1/upsert_pb.js";
import {
  countsOf,
  type DatasetRef,
  type ItemInit,
  type ItemServiceUnderTest,
  item,
  numbered,
  startItemService,
} from "../items/item-service.ts";
import { refusalOf, refused } from "../support/refusal.ts";
import { batch, commit, open, receiptOf, send } from "./streaming.ts";

let service: ItemServiceUnderTest;
beforeAll(async () => {
  service = await startItemService();
});
afterAll(() => service.close());

type Ref = DatasetRef | { readonly by: { readonly case: "name"; readonly value: string } };
type Guard = MessageInitShape<typeof MirrorGuardSchema>;
type Options = MessageInitShape<typeof UpsertOptionsSchema>;
type Import = (ref: Ref, items: ItemInit[], options: Options, requestId?: string) => Promise<Receipt>;

/** The two ways to import, which must have the same outcome. */
const imports: [string, Import][] = [
  [
    "UpsertItems",
    async (dataset, items, options, requestId = randomUUID()) => {
      const { receipt } = await service.upserts.upsertItems({ dataset, items, options, requestId });
      if (receipt === undefined) throw new Error("the answer lacks its receipt");
      return receipt;
    },
  ],
  [
    "StreamUpsertItems",
    (dataset, items, options, requestId = randomUUID()) =>
      receiptOf(service.upserts, [
        open({ dataset, requestId, options }),
        ...(items.length > 0 ? [batch(0, items)] : []),
        commit(items.length),
      ]),
  ],
];

const mirrorWith = (guard: Guard): Options => ({ mode: UpsertMode.MIRROR, guard });
const latestVersion = async (dataset: DatasetRef) =>
  (await service.datasets.getDataset({ dataset })).dataset?.latestVersion;

describe.each(imports)("%s, guarded", (_, importing) => {
  test.each<[string, Guard, number, string | undefined]>([
    ["no bound", {}, 9, undefined],
    ["a bound on the count that is not exceeded", { maxDeleteCount: 3n }, 3, undefined],
    ["a bound on the count that is exceeded", { maxDeleteCount: 3n }, 4, "max_delete_count"],
    ["no deletion allowed", { maxDeleteCount: 0n }, 1, "max_delete_count"],
    ["a bound on the ratio that is not exceeded", { maxDeleteRatio: 0.3 }, 3, undefined],
    ["a bound on the ratio that is exceeded", { maxDeleteRatio: 0.3 }, 4, "max_delete_ratio"],
    ["a ratio of 0", { maxDeleteRatio: 0 }, 1, "max_delete_ratio"],
    ["a ratio of 1", { maxDeleteRatio: 1 }, 9, undefined],
    [
      "both bounds, of which one is broken",
      { maxDeleteCount: 5n, maxDeleteRatio: 0.1 },
      2,
      "max_delete_ratio",
    ],
  ])("by %s", async (_, guard, deletions, bound) => {
    const dataset = await service.dataset(...numbered(10));
    const rows = numbered(10).slice(deletions);
    const requestId = randomUUID();
    const call = importing(dataset, rows, mirrorWith(guard), requestId);
    if (bound === undefined) {
      expect(countsOf(await call)).toBe(`c0 u0 n${10 - deletions} d${deletions}`);
      return;
    }
    expect(await refusalOf(call)).toEqual({
      code: "FailedPrecondition",
      reason: "DELETE_LIMIT_EXCEEDED",
      metadata: { request_id: requestId, would_delete: String(deletions), item_count: "10", bound },
    });
    expect(await latestVersion(dataset)).toBe(1n);
  });

  test("computes the ratio from deletions and the items before the write", async () => {
    const dataset = await service.dataset(...numbered(4));
    const rows = [item("k000", "changed"), item("k001", 1), item("new", 1), item("", 1)];
    const receipt = await importing(dataset, rows, mirrorWith({ maxDeleteRatio: 0.5 }));
    expect(countsOf(receipt)).toBe("c2 u1 n1 d2");
  });

  test("refuses a mirror without rows unless that is allowed, regardless of other bounds", async () => {
    const dataset = await service.dataset(...numbered(2));
    const call = importing(dataset, [], mirrorWith({ maxDeleteCount: 100n, maxDeleteRatio: 1 }));
    expect(await refusalOf(call)).toEqual(
      refused("FailedPrecondition", "DELETE_LIMIT_EXCEEDED", { would_delete: "2", bound: "allow_empty" }),
    );
    expect(await refusalOf(importing(dataset, [], { mode: UpsertMode.MIRROR }))).toEqual(
      refused("FailedPrecondition", "DELETE_LIMIT_EXCEEDED", { bound: "allow_empty" }),
    );
    const bounded = importing(dataset, [], mirrorWith({ allowEmpty: true, maxDeleteCount: 1n }));
    expect(await refusalOf(bounded)).toEqual(
      refused("FailedPrecondition", "DELETE_LIMIT_EXCEEDED", { bound: "max_delete_count" }),
    );
    const emptied = await importing(dataset, [], mirrorWith({ allowEmpty: true }));
    expect(emptied).toMatchObject({ version: 2n, itemCount: 0n, counts: { deleted: 2n } });
  });

  test("leaves a plan, which can be published with another guard", async () => {
    const dataset = await service.dataset(...numbered(10));
    const requestId = randomUUID();
    const rows = [item("k000", "changed"), item("new", 1)];
    const call = () => importing(dataset, rows, mirrorWith({ maxDeleteCount: 1n }), requestId);
    const broken = refused("FailedPrecondition", "DELETE_LIMIT_EXCEEDED", { would_delete: "9" });
    expect(await refusalOf(call())).toEqual(broken);

    const apply = (guard?: Guard) =>
      service.upserts.applyUpsert({ dataset, requestId, ...(guard && { guard }) });
    const { receipt: plan } = await service.upserts.getUpsert({ dataset, requestId });
    expect(plan).toMatchObject({ state: Receipt_State.PLANNED, version: 0n, itemCount: 2n });
    expect(countsOf(plan)).toBe("c1 u1 n0 d9");
    expect(await refusalOf(apply())).toEqual(broken);
    expect(await refusalOf(apply({ maxDeleteRatio: 0.5 }))).toEqual(
      refused("FailedPrecondition", "DELETE_LIMIT_EXCEEDED", { bound: "max_delete_ratio" }),
    );
    const { receipt } = await apply({ maxDeleteCount: 9n });
    expect(receipt).toMatchObject({ state: Receipt_State.PUBLISHED, version: 2n, counts: plan?.counts });
    expect(Object.keys(await service.read(dataset))).toEqual(["k000", "new"]);
    expect(await call()).toEqual(receipt);
  });

  test("ignores the guard when planning, and checks it when the plan is applied", async () => {
    const dataset = await service.dataset(...numbered(3));
    const options = { ...mirrorWith({ maxDeleteCount: 1n }), validateOnly: true };
    const { requestId } = await importing(dataset, [item("k000", 0)], options);
    expect(await refusalOf(service.upserts.applyUpsert({ dataset, requestId }))).toEqual(
      refused("FailedPrecondition", "DELETE_LIMIT_EXCEEDED", { would_delete: "2" }),
    );
  });
});

describe.each(imports)("expected_version of %s", (_, importing) => {
  test("must be the latest version when the write begins", async () => {
    const dataset = await service.dataset(item("a", 1));
    await service.items.createItem({ dataset, item: item("b", 1) });
    for (const expectedVersion of [0n, 1n, 3n]) {
      expect(await refusalOf(importing(dataset, [item("a", 2)], { expectedVersion }))).toEqual({
        code: "Aborted",
        reason: "VERSION_CONFLICT",
        metadata: { expected_version: String(expectedVersion), latest_version: "2" },
      });
    }
    expect(Object.values(await service.read(dataset)).map((one) => one.inputJson)).toEqual(["1", "1"]);
    expect((await importing(dataset, [item("a", 2)], { expectedVersion: 2n })).version).toBe(3n);
  });

  test("may be 0 for a missing dataset, which is then created", async () => {
    const dataset = { by: { case: "name", value: `missing ${randomUUID()}` } } as const;
    const options = { createIfMissing: true, expectedVersion: 1n };
    expect(await refusalOf(importing(dataset, [item("a", 1)], options))).toEqual(
      refused("Aborted", "VERSION_CONFLICT", { expected_version: "1", latest_version: "0" }),
    );
    const receipt = await importing(dataset, [item("a", 1)], { ...options, expectedVersion: 0n });
    expect(receipt).toMatchObject({ version: 1n, createsDataset: true });
    expect(await refusalOf(importing(dataset, [item("a", 1)], { ...options, expectedVersion: 0n }))).toEqual(
      refused("Aborted", "VERSION_CONFLICT", { expected_version: "0", latest_version: "1" }),
    );
  });

  test("is not checked for a repetition", async () => {
    const dataset = await service.dataset(item("a", 1));
    const requestId = randomUUID();
    const repeat = () => importing(dataset, [item("a", 2)], { expectedVersion: 1n }, requestId);
    const receipt = await repeat();
    expect(receipt.version).toBe(2n);
    expect(await repeat()).toEqual(receipt);
  });
});

describe("a stream whose expected_version is overtaken", () => {
  test("fails at its commit, publishes nothing and stays open", async () => {
    const dataset = await service.dataset(item("a", 1));
    const requestId = randomUUID();
    const opening = open({ dataset, requestId, options: { expectedVersion: 1n } });
    await send(service.upserts, [opening, batch(0, [item("a", 2)])]);
    await service.items.createItem({ dataset, item: item("b", 1) });
    const conflict = refused("Aborted", "VERSION_CONFLICT", { expected_version: "1", latest_version: "2" });
    expect(await refusalOf(send(service.upserts, [opening, commit(1)]))).toEqual(conflict);
    expect((await service.read(dataset)).a?.inputJson).toBe("1");
    expect(await latestVersion(dataset)).toBe(2n);
    const { receipt } = await service.upserts.getUpsert({ dataset, requestId });
    expect(receipt).toMatchObject({ state: Receipt_State.OPEN, counts: { received: 1n } });
  });
});
