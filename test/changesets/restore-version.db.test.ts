import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { RestoreVersionRequestSchema } from "../../gen/itembank/v1/dataset_service_pb.js";
import { ChangeKind, type ItemChange } from "../../gen/itembank/v1/item_pb.js";
import { type Receipt, Receipt_State } from "../../gen/itembank/v1/receipt_pb.js";
import { UpsertMode } from "../../gen/itembank/v1/upsert_pb.js";
import {
  at,
  contentOf,
  countsOf,
  type DatasetRef,
  type ItemInit,
  type ItemServiceUnderTest,
  item,
  key,
  numbered,
  startItemService,
} from "../items/item-service.ts";
import { expectNothingLeakedFrom } from "../support/leaks.ts";
import { invalid, refusalOf, refused } from "../support/refusal.ts";

let service: ItemServiceUnderTest;
beforeAll(async () => {
  service = await startItemService();
});
afterAll(() => service.close());
afterEach(() => expectNothingLeakedFrom(service.pool));

type RestoreRequest = MessageInitShape<typeof RestoreVersionRequestSchema>;

async function restore(dataset: DatasetRef, version: bigint, more: Omit<RestoreRequest, "$typeName"> = {}) {
  const { receipt } = await service.datasets.restoreVersion({ dataset, at: at(version), ...more });
  return receipt as Receipt;
}

const write = (dataset: DatasetRef, mode: UpsertMode, ...items: ItemInit[]) =>
  service.upserts.upsertItems({ dataset, items, options: { mode, replaceSplits: true } });
const merge = (dataset: DatasetRef, ...items: ItemInit[]) => write(dataset, UpsertMode.MERGE, ...items);
const mirror = (dataset: DatasetRef, ...items: ItemInit[]) => write(dataset, UpsertMode.MIRROR, ...items);

const versionOf = async (dataset: DatasetRef, version?: bigint) =>
  (await service.datasets.getVersion({ dataset, ...(version === undefined ? {} : { at: at(version) }) }))
    .version;

/** Returns the contents of a version's items, by id. */
async function contents(dataset: DatasetRef, version?: bigint) {
  const items = await service.read(dataset, version);
  return Object.fromEntries(Object.entries(items).map(([id, one]) => [id, contentOf(one)]));
}

/** Expects the latest version to equal an older one in content and digest. */
async function expectRestored(dataset: DatasetRef, version: bigint): Promise<void> {
  expect(await contents(dataset)).toEqual(await contents(dataset, version));
  const [now, then] = [await versionOf(dataset), await versionOf(dataset, version)];
  expect(Buffer.from(now?.digest ?? [])).toEqual(Buffer.from(then?.digest ?? []));
  expect(now?.itemCount).toBe(then?.itemCount);
}

async function planned(dataset: DatasetRef, requestId: string): Promise<string[]> {
  const changes: ItemChange[] = [];
  for await (const { frame } of service.datasets.diffVersions({ dataset, plannedRequestId: requestId })) {
    if (frame.case === "batch") changes.push(...frame.value.changes);
  }
  return changes.map((one) => `${ChangeKind[one.kind]} ${one.itemId} ${one.after?.inputJson ?? ""}`);
}

/** Version 1 has a, b and c; version 2 changed b, deleted c, removed a from its split and added d. */
async function twoVersions(): Promise<DatasetRef> {
  const dataset = await service.dataset(
    item("a", 1, { splits: ["train"] }),
    { itemId: "b", inputJson: '{ "n": 1.0 }', expectedOutputJson: "null", metadataJson: "{}" },
    item("c", 1),
    item("same", 1),
  );
  await mirror(dataset, item("a", 1), item("b", { n: 2 }), item("d", 1), item("same", 1));
  return dataset;
}

describe("RestoreVersion", () => {
  test("makes a new version with the items and splits of an older one, as they were written", async () => {
    const dataset = await twoVersions();
    const receipt = await restore(dataset, 1n, { note: "back" });
    expect(receipt).toMatchObject({
      state: Receipt_State.PUBLISHED,
      baseVersion: 2n,
      version: 3n,
      noOp: false,
      itemCount: 4n,
      receivedBytes: 0n,
    });
    expect(receipt.counts?.received).toBe(4n);
    expect(countsOf(receipt)).toBe("c1 u2 n1 d1");
    await expectRestored(dataset, 1n);
    expect(await versionOf(dataset)).toMatchObject({ version: 3n, note: "back" });
    // The versions in between are kept.
    expect(Object.keys(await contents(dataset, 2n)).sort()).toEqual(["a", "b", "d", "same"]);
  });

  test("keeps the creation time of items that existed throughout, and renews that of recreated ones", async () => {
    const dataset = await twoVersions();
    await restore(dataset, 1n);
    const [now, then] = [await service.read(dataset), await service.read(dataset, 1n)];
    const made = (await versionOf(dataset))?.createTime;
    expect(now.b).toMatchObject({ version: 3n, createTime: then.b?.createTime, updateTime: made });
    expect(now.c).toMatchObject({ version: 3n, createTime: made, updateTime: made });
    expect(now.same).toEqual(then.same);
    const { revisions } = await service.items.listItemRevisions({ dataset, itemId: "c" });
    expect(revisions.map((one) => `${one.version} ${ChangeKind[one.kind]}`)).toEqual([
      "3 CREATED",
      "2 DELETED",
      "1 CREATED",
    ]);
  });

  test("makes no version if the latest one already has equal items", async () => {
    const dataset = await twoVersions();
    expect(await restore(dataset, 2n)).toMatchObject({ noOp: true, version: 2n });
    await restore(dataset, 1n);
    const receipt = await restore(dataset, 1n);
    expect(receipt).toMatchObject({ state: Receipt_State.PUBLISHED, noOp: true, version: 3n });
    expect(countsOf(receipt)).toBe("c0 u0 n4 d0");
    expect((await versionOf(dataset))?.version).toBe(3n);
  });

  test("restores the empty version, and then the full one", async () => {
    const dataset = await twoVersions();
    const receipt = await restore(dataset, 0n);
    expect(countsOf(receipt)).toBe("c0 u0 n0 d4");
    expect(await contents(dataset)).toEqual({});
    expect(countsOf(await restore(dataset, 2n))).toBe("c4 u0 n0 d0");
    await expectRestored(dataset, 2n);
    expect(await restore(await service.dataset(), 0n)).toMatchObject({ noOp: true, version: 0n });
  });

  test("resolves a tag or a time to a version", async () => {
    const dataset = await twoVersions();
    const made = (await versionOf(dataset, 1n))?.createTime ?? { seconds: 0n };
    await restore(dataset, 0n, { at: { by: { case: "asOf", value: made } } });
    await expectRestored(dataset, 1n);
    await service.datasets.tagVersion({ dataset, tag: "second", at: at(2n) });
    await restore(dataset, 0n, { at: { by: { case: "tag", value: "second" } } });
    await expectRestored(dataset, 2n);
  });

  test("restores thousands of items", async () => {
    const dataset = await service.dataset(...numbered(1000));
    for (const from of [1000, 2000]) {
      await service.items.batchCreateItems({ dataset, items: numbered(from + 1000).slice(from) });
    }
    await merge(
      dataset,
      ...numbered(1500)
        .slice(500)
        .map((one) => ({ ...one, inputJson: '"changed"' })),
    );
    await mirror(dataset, item(key(2999), "kept"), item("new", 1));
    expect(countsOf(await restore(dataset, 3n))).toBe("c2999 u1 n0 d1");
    await expectRestored(dataset, 3n);
  });

  test("restores purged items as purged", async () => {
    const dataset = await twoVersions();
    await service.items.purgeItem({ dataset, itemId: "c" });
    await service.items.purgeItem({ dataset, itemId: "b" });
    expect(countsOf(await restore(dataset, 1n))).toBe("c1 u2 n1 d1");
    const items = await service.read(dataset);
    expect([items.b, items.c].map((one) => [one?.purged, one?.inputJson])).toEqual([
      [true, ""],
      [true, ""],
    ]);
    expect(Buffer.from((await versionOf(dataset))?.digest ?? [])).toEqual(
      Buffer.from((await versionOf(dataset, 1n))?.digest ?? []),
    );
  });
});

describe("a restore under a schema", () => {
  const requireNumbers = (dataset: DatasetRef) =>
    service.datasets.updateDataset({ dataset, patch: { inputSchemaJson: '{"type":"number"}' } });

  /** Version 1 has a text in x and y; version 2 has numbers. */
  async function corrected(): Promise<DatasetRef> {
    const dataset = await service.dataset(item("x", "text"), item("y", "text"), item("z", 1));
    await merge(dataset, item("x", 1), item("y", 1));
    return dataset;
  }
  const violation = refused("InvalidArgument", "SCHEMA_VIOLATION", {
    item_id: "x",
    path: "$.input",
    keyword: "type",
    violation_count: "2",
  });

  test("is refused if it would restore items that violate the schema", async () => {
    const dataset = await corrected();
    await requireNumbers(dataset);
    expect(await refusalOf(restore(dataset, 1n))).toEqual(violation);
    expect(await refusalOf(restore(dataset, 1n, { validateOnly: true }))).toEqual(violation);
    expect((await versionOf(dataset))?.version).toBe(2n);
    await merge(dataset, item("x", 5));
    expect((await restore(dataset, 2n)).version).toBe(4n);
  });

  test("is refused when applied under a schema that is newer than its plan", async () => {
    const dataset = await corrected();
    const requestId = randomUUID();
    await restore(dataset, 1n, { validateOnly: true, requestId });
    await requireNumbers(dataset);
    expect(await refusalOf(service.upserts.applyUpsert({ dataset, requestId }))).toEqual(violation);
    await merge(dataset, item("w", 1));
    const rebased = service.upserts.applyUpsert({ dataset, requestId, allowRebase: true });
    expect(await refusalOf(rebased)).toEqual(violation);
    expect((await versionOf(dataset))?.version).toBe(3n);
  });
});

describe("a restore that is planned", () => {
  test("is invisible until it is applied, counts its effects, and can be read", async () => {
    const dataset = await twoVersions();
    const requestId = randomUUID();
    const plan = await restore(dataset, 1n, { validateOnly: true, requestId });
    expect(plan).toMatchObject({ state: Receipt_State.PLANNED, baseVersion: 2n, itemCount: 4n, requestId });
    expect(countsOf(plan)).toBe("c1 u2 n1 d1");
    expect((await versionOf(dataset))?.version).toBe(2n);
    expect(await planned(dataset, requestId)).toEqual([
      "UPDATED a 1",
      'UPDATED b { "n": 1.0 }',
      "CREATED c 1",
      "DELETED d ",
    ]);
    const { receipt } = await service.upserts.applyUpsert({ dataset, requestId });
    expect(receipt).toMatchObject({ state: Receipt_State.PUBLISHED, version: 3n });
    expect(countsOf(receipt)).toBe("c1 u2 n1 d1");
    await expectRestored(dataset, 1n);
  });

  test("can be rebased on a newer version when applied", async () => {
    const dataset = await twoVersions();
    const requestId = randomUUID();
    await restore(dataset, 1n, { validateOnly: true, requestId });
    // b is unchanged; a was deleted; e and c are new to the plan.
    await mirror(
      dataset,
      { itemId: "b", inputJson: '{"n":1}', expectedOutputJson: "null", metadataJson: "{}" },
      item("e", 1),
      item("c", 7),
      item("same", 1),
    );
    expect(await refusalOf(service.upserts.applyUpsert({ dataset, requestId }))).toEqual(
      refused("Aborted", "VERSION_CONFLICT", { expected_version: "2", latest_version: "3" }),
    );
    expect(await planned(dataset, requestId)).toEqual(["CREATED a 1", "UPDATED c 1", "DELETED e "]);
    const { receipt } = await service.upserts.applyUpsert({ dataset, requestId, allowRebase: true });
    expect(receipt).toMatchObject({ baseVersion: 3n, version: 4n });
    expect(countsOf(receipt)).toBe("c1 u1 n2 d1");
    // Equal content that is spelled differently is left unchanged.
    expect((await contents(dataset)).b?.inputJson).toBe('{"n":1}');
    const digests = [await versionOf(dataset), await versionOf(dataset, 1n)].map((one) => `${one?.digest}`);
    expect(digests[0]).toBe(digests[1]);
  });

  test("obeys bounds on deletions that are passed when it is applied", async () => {
    const dataset = await twoVersions();
    const requestId = randomUUID();
    await restore(dataset, 0n, { validateOnly: true, requestId });
    const apply = (guard: object) => service.upserts.applyUpsert({ dataset, requestId, guard });
    expect(await refusalOf(apply({ maxDeleteCount: 3n, allowEmpty: true }))).toEqual(
      refused("FailedPrecondition", "DELETE_LIMIT_EXCEEDED", {
        would_delete: "4",
        item_count: "4",
        bound: "max_delete_count",
      }),
    );
    expect((await apply({ maxDeleteCount: 4n, allowEmpty: true })).receipt?.version).toBe(3n);
    expect(await contents(dataset)).toEqual({});
  });

  test("is discarded with all its rows", async () => {
    const dataset = await twoVersions();
    const requestId = randomUUID();
    await restore(dataset, 1n, { validateOnly: true, requestId });
    const unpublished = async () => {
      const { rows } = await service.pool.query<{ count: bigint }>(
        `select count(*) from item_revisions revision join changesets using (dataset_id, changeset_id)
         where revision.dataset_id = $1 and version is null`,
        [dataset.by.value],
      );
      return rows[0]?.count;
    };
    expect(await unpublished()).toBe(3n);
    const { receipt } = await service.upserts.discardUpsert({ dataset, requestId });
    expect(receipt?.state).toBe(Receipt_State.DISCARDED);
    expect(await unpublished()).toBe(0n);
  });
});

describe("a restore with a request_id", () => {
  test("is made once, even if its tag moves", async () => {
    const dataset = await twoVersions();
    await service.datasets.tagVersion({ dataset, tag: "good", at: at(1n) });
    const requestId = randomUUID();
    const request = { requestId, at: { by: { case: "tag", value: "good" } } } as const;
    const first = await restore(dataset, 0n, request);
    await merge(dataset, item("later", 1));
    await service.datasets.untagVersion({ dataset, tag: "good" });
    expect(await restore(dataset, 0n, request)).toEqual(first);
    expect((await versionOf(dataset))?.version).toBe(4n);
    expect((await service.upserts.getUpsert({ dataset, requestId })).receipt).toEqual(first);
    expect(await refusalOf(restore(dataset, 1n, { requestId }))).toEqual(
      refused("InvalidArgument", "REQUEST_ID_REUSED", { request_id: requestId }),
    );
  });

  test("sent twenty times at once makes one version", async () => {
    const dataset = await twoVersions();
    const requestId = randomUUID();
    const receipts = await Promise.all(Array.from({ length: 20 }, () => restore(dataset, 1n, { requestId })));
    expect(new Set(receipts.map((one) => one.version))).toEqual(new Set([3n]));
    expect((await versionOf(dataset))?.version).toBe(3n);
  });

  test("leaves no trace when it fails, so that it can be sent again", async () => {
    const dataset = await twoVersions();
    const requestId = randomUUID();
    expect((await refusalOf(restore(dataset, 7n, { requestId }))).reason).toBe("VERSION_NOT_FOUND");
    expect((await restore(dataset, 1n, { requestId })).version).toBe(3n);
  });
});

describe("restores among other writers", () => {
  test("twenty restores and twenty merges make consecutive versions, each with the items of its receipt", async () => {
    const dataset = await twoVersions();
    const receipts = await Promise.all(
      Array.from({ length: 40 }, async (_, n) => {
        if (n % 2 === 0) return restore(dataset, BigInt((n / 2) % 3), { note: `${(n / 2) % 3}` });
        return (await merge(dataset, item("a", n), item(`m${n}`, n))).receipt as Receipt;
      }),
    );
    const made = receipts.filter((one) => !one.noOp).map((one) => one.version);
    expect([...made].sort((one, other) => Number(one - other))).toEqual(made.map((_, n) => BigInt(n + 3)));
    for (const { version } of receipts.filter((one, n) => n % 2 === 0 && !one.noOp)) {
      const { note } = (await versionOf(dataset, version)) ?? {};
      expect(await contents(dataset, version)).toEqual(await contents(dataset, BigInt(note ?? -1)));
    }
  });

  test("of two that expect one version, one succeeds", async () => {
    const dataset = await twoVersions();
    const outcomes = await Promise.all(
      [0n, 1n].map((version) =>
        restore(dataset, version, { expectedVersion: 2n }).then(
          () => "made",
          async (error: unknown) => (await refusalOf(Promise.reject(error))).reason,
        ),
      ),
    );
    expect(outcomes.sort()).toEqual(["VERSION_CONFLICT", "made"]);
  });
});

describe("a request for a restore", () => {
  test("must name a dataset and a version, and be well-formed", async () => {
    const dataset = await twoVersions();
    const refusal = (request: RestoreRequest) => refusalOf(service.datasets.restoreVersion(request));
    expect(await refusal({ at: at(1n) })).toEqual(invalid("dataset"));
    expect(await refusal({ dataset })).toEqual(invalid("at"));
    expect(await refusal({ dataset, at: at(1n), requestId: "no uuid" })).toEqual(invalid("request_id"));
    expect(await refusal({ dataset, at: at(1n), note: "x".repeat(1025) })).toEqual(invalid("note"));
    expect(await refusal({ dataset, at: at(1n), expectedVersion: -1n })).toEqual(invalid("expected_version"));
    expect((await versionOf(dataset))?.version).toBe(2n);
  });

  test("fails if dataset, version or tag does not exist, or if another version is expected", async () => {
    const dataset = await twoVersions();
    const nowhere = { by: { case: "datasetId", value: "data00000000000000000000000000" } } as const;
    expect(await refusalOf(restore(nowhere, 1n))).toEqual(
      refused("NotFound", "DATASET_NOT_FOUND", { dataset_id: nowhere.by.value }),
    );
    for (const version of [3n, -1n]) {
      expect(await refusalOf(restore(dataset, version))).toEqual(
        refused("NotFound", "VERSION_NOT_FOUND", { version: String(version), latest_version: "2" }),
      );
    }
    const tagged = { at: { by: { case: "tag", value: "nobody" } } } as const;
    expect(await refusalOf(restore(dataset, 0n, tagged))).toEqual(
      refused("NotFound", "TAG_NOT_FOUND", { dataset_id: dataset.by.value, tag: "nobody" }),
    );
    expect(await refusalOf(restore(dataset, 1n, { expectedVersion: 1n }))).toEqual(
      refused("Aborted", "VERSION_CONFLICT", { expected_version: "1", latest_version: "2" }),
    );
  });
});
