import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ChangeKind } from "../../gen/itembank/v1/item_pb.js";
import { Receipt_State } from "../../gen/itembank/v1/receipt_pb.js";
import { UpsertMode, type UpsertOptionsSchema } from "../../gen/itembank/v1/upsert_pb.js";
import type {
  UpsertItemsRequestSchema,
  UpsertItemsResponse,
} from "../../gen/itembank/v1/upsert_service_pb.js";
import {
  countsOf,
  type DatasetRef,
  type ItemInit,
  type ItemServiceUnderTest,
  item,
  numbered,
  startItemService,
} from "../items/item-service.ts";
import { faultyFieldsOf, invalid, refusalOf, refused } from "../support/refusal.ts";
import { batch, commit, type Frame, open, send } from "./streaming.ts";

let service: ItemServiceUnderTest;
beforeAll(async () => {
  service = await startItemService();
});
afterAll(() => service.close());

type Options = MessageInitShape<typeof UpsertOptionsSchema>;
type Request = MessageInitShape<typeof UpsertItemsRequestSchema>;

const upsert = (dataset: NonNullable<Request["dataset"]>, items: ItemInit[], options: Options = {}) =>
  service.upserts.upsertItems({ dataset, items, options });
const named = (name: string) => ({ by: { case: "name", value: name } }) as const;
const latestVersion = async (dataset: DatasetRef) =>
  (await service.datasets.getDataset({ dataset })).dataset?.latestVersion;

/** What became of each row: `k0 CREATED`. */
const outcomesOf = ({ outcomes }: UpsertItemsResponse) =>
  outcomes.map(({ itemId, kind }) => `${itemId.replace(/^item.{26}$/, "assigned")} ${ChangeKind[kind]}`);

const someRows = [item("new", 1), item("changed", 2), item("same", 1), item("", 7), item("", 8)];
const present = () =>
  service.dataset(item("changed", 1), item("same", 1), item("found by content", 7), item("absent", 1));

describe("UpsertItems", () => {
  test("tells of each row which item it stands for, what became of it, and its hash", async () => {
    const dataset = await present();
    const answer = await upsert(dataset, someRows);
    expect(outcomesOf(answer)).toEqual([
      "new CREATED",
      "changed UPDATED",
      "same UNCHANGED",
      "found by content UNCHANGED",
      "assigned CREATED",
    ]);
    expect(countsOf(answer.receipt)).toBe("c2 u1 n2 d0");
    const read = await service.read(dataset);
    for (const [position, { itemId, contentHash }] of answer.outcomes.entries()) {
      expect(read[itemId]?.inputJson).toBe(someRows[position]?.inputJson);
      expect(Buffer.from(contentHash).equals(read[itemId]?.contentHash ?? new Uint8Array())).toBe(true);
    }
    expect(Object.keys(read)).toContain("absent");
  });

  test("names no id that is still to be assigned while it is a plan", async () => {
    const dataset = await present();
    const answer = await upsert(dataset, someRows, { validateOnly: true });
    expect(outcomesOf(answer)).toEqual([
      "new CREATED",
      "changed UPDATED",
      "same UNCHANGED",
      "found by content UNCHANGED",
      " CREATED",
    ]);
    expect(answer.outcomes.every((outcome) => outcome.contentHash.length === 32)).toBe(true);
  });

  test("deletes what is absent in a mirror, and nothing otherwise", async () => {
    for (const mode of [UpsertMode.UNSPECIFIED, UpsertMode.MERGE, UpsertMode.MIRROR]) {
      const dataset = await present();
      const { receipt } = await upsert(dataset, someRows, { mode });
      expect(receipt?.counts?.deleted).toBe(mode === UpsertMode.MIRROR ? 1n : 0n);
      expect(receipt).toMatchObject({ version: 2n, itemCount: mode === UpsertMode.MIRROR ? 5n : 6n });
    }
  });

  test("leaves splits alone where a row has none, unless it replaces them", async () => {
    const dataset = await service.dataset(
      item("a", 1, { splits: ["train"] }),
      item("b", 1, { splits: ["dev"] }),
    );
    const rows = [item("a", 1), item("b", 1, { splits: ["test"] })];
    expect(outcomesOf(await upsert(dataset, rows))).toEqual(["a UNCHANGED", "b UPDATED"]);
    expect(outcomesOf(await upsert(dataset, rows, { replaceSplits: true }))).toEqual([
      "a UPDATED",
      "b UNCHANGED",
    ]);
    const { a, b } = await service.read(dataset);
    expect([a?.splits, b?.splits]).toEqual([[], ["test"]]);
  });

  test("takes 1,000 rows, and none", async () => {
    const dataset = await service.dataset();
    expect((await upsert(dataset, numbered(1000))).receipt).toMatchObject({ itemCount: 1000n });
    expect((await upsert(dataset, [])).receipt).toMatchObject({ noOp: true, version: 1n });
    expect(await refusalOf(upsert(dataset, numbered(1001)))).toEqual(
      refused("InvalidArgument", "LIMIT_EXCEEDED", { limit: "max_batch_size", received: "1001" }),
    );
  });

  test("gives the first answer to a repetition, outcomes included", async () => {
    const dataset = await present();
    const request = { dataset, items: someRows, requestId: randomUUID() };
    const first = await service.upserts.upsertItems(request);
    await upsert(dataset, [item("changed", 9)], { mode: UpsertMode.MIRROR });
    const again = await service.upserts.upsertItems(request);
    expect(again.receipt).toEqual(first.receipt);
    expect(outcomesOf(again)).toEqual(outcomesOf(first));
    expect(again.outcomes.map((outcome) => outcome.itemId)).toEqual(
      first.outcomes.map((outcome) => outcome.itemId),
    );
    const other = service.upserts.upsertItems({ ...request, items: someRows.slice(1) });
    expect(await refusalOf(other)).toEqual(
      refused("InvalidArgument", "REQUEST_ID_REUSED", { request_id: request.requestId }),
    );
  });
});

describe("the dataset of an upsert", () => {
  test("is named in exactly one way", async () => {
    expect(await refusalOf(service.upserts.upsertItems({ items: [item("a", 1)] }))).toEqual(
      invalid("dataset"),
    );
    expect(await refusalOf(service.upserts.upsertItems({ dataset: {}, items: [item("a", 1)] }))).toEqual(
      invalid("dataset"),
    );
    const created = await service.datasets.createDataset({ dataset: { name: "by name or by id" } });
    const datasetId = created.dataset?.datasetId ?? "";
    const byId = await upsert({ by: { case: "datasetId", value: datasetId } }, [item("a", 1)]);
    const byName = await upsert(named("by name or by id"), [item("b", 1)]);
    expect([byId.receipt?.datasetId, byName.receipt?.datasetId]).toEqual([datasetId, datasetId]);
  });

  test("has to be there", async () => {
    expect(await refusalOf(upsert(named("nowhere"), [item("a", 1)]))).toEqual(
      refused("NotFound", "DATASET_NOT_FOUND", { name: "nowhere" }),
    );
    const id = "data00000000000000000000000000";
    expect(await refusalOf(upsert({ by: { case: "datasetId", value: id } }, [item("a", 1)]))).toEqual(
      refused("NotFound", "DATASET_NOT_FOUND", { dataset_id: id }),
    );
  });

  test("is created if it is missing, as new_dataset says, in the same instant", async () => {
    const { receipt } = await upsert(named("Q1 Sales Report"), [item("a", 1), item("b", 1)], {
      createIfMissing: true,
      newDataset: { description: "of the first quarter", metadataJson: '{"team": "evals"}' },
    });
    expect(receipt).toMatchObject({ createsDataset: true, version: 1n, baseVersion: 0n, itemCount: 2n });
    const { dataset } = await service.datasets.getDataset({ dataset: named("Q1 Sales Report") });
    expect(dataset).toMatchObject({
      datasetId: receipt?.datasetId,
      tableName: "q1_sales_report",
      description: "of the first quarter",
      metadataJson: '{"team": "evals"}',
      createTime: receipt?.publishTime,
      latestVersion: 1n,
    });
  });

  test("stays as it is if it is there already", async () => {
    const request = { createIfMissing: true, newDataset: { description: "first" } };
    await upsert(named("made once"), [item("a", 1)], request);
    const { receipt } = await upsert(named("made once"), [item("b", 1)], {
      createIfMissing: true,
      newDataset: { description: "second" },
    });
    expect(receipt).toMatchObject({ createsDataset: false, version: 2n });
    const { dataset } = await service.datasets.getDataset({ dataset: named("made once") });
    expect(dataset?.description).toBe("first");
  });

  test("is not created by a write that fails", async () => {
    const rows = [item("a", 1), { itemId: "b", inputJson: "{" }];
    await refusalOf(upsert(named("never made"), rows, { createIfMissing: true }));
    expect(await refusalOf(service.datasets.getDataset({ dataset: named("never made") }))).toEqual(
      refused("NotFound", "DATASET_NOT_FOUND"),
    );
  });
});

describe("options that make no sense are refused", () => {
  const id = { by: { case: "datasetId", value: "data00000000000000000000000000" } } as const;

  test.each<[string, NonNullable<Request["dataset"]>, Options, string]>([
    ["a mode that there is not", id, { mode: 9 as UpsertMode }, "options.mode"],
    ["creating a dataset by id", id, { createIfMissing: true }, "options.create_if_missing"],
    ["new_dataset without creating", named("x"), { newDataset: {} }, "options.new_dataset"],
    ["a negative expected_version", id, { expectedVersion: -1n }, "options.expected_version"],
    ["a guard of a merge", id, { guard: { maxDeleteCount: 1n } }, "options.guard"],
    [
      "a negative bound",
      id,
      { mode: UpsertMode.MIRROR, guard: { maxDeleteCount: -1n } },
      "options.guard.max_delete_count",
    ],
    [
      "a ratio above 1",
      id,
      { mode: UpsertMode.MIRROR, guard: { maxDeleteRatio: 1.01 } },
      "options.guard.max_delete_ratio",
    ],
    [
      "a ratio that is no number",
      id,
      { mode: UpsertMode.MIRROR, guard: { maxDeleteRatio: Number.NaN } },
      "options.guard.max_delete_ratio",
    ],
    ["a note that is too long", id, { note: "n".repeat(1025) }, "options.note"],
    ["a name that is only white space", named(" "), { createIfMissing: true }, "dataset.name"],
  ])("%s", async (_, dataset, options, field) => {
    const call = () => upsert(dataset, [item("a", 1)], options);
    expect(await refusalOf(call())).toEqual(invalid(field));
    const opening = open({ dataset, options, requestId: randomUUID() });
    expect(await refusalOf(send(service.upserts, [opening]))).toEqual(invalid(`open.${field}`));
  });

  test("all at once", async () => {
    const options = { mode: 9 as UpsertMode, newDataset: {}, expectedVersion: -1n };
    const call = () => upsert(id, [], options);
    expect(await faultyFieldsOf(call())).toEqual([
      "options.mode",
      "options.new_dataset",
      "options.expected_version",
    ]);
    expect((await refusalOf(call())).metadata.violation_count).toBe("3");
  });

  test("and so is a request_id that is no UUID", async () => {
    const dataset = await service.dataset();
    const call = service.upserts.upsertItems({ dataset, items: [], requestId: "1" });
    expect(await refusalOf(call)).toEqual(invalid("request_id"));
    expect(await refusalOf(send(service.upserts, [open({ dataset })]))).toEqual(invalid("open.request_id"));
  });
});

describe("rows that are wrong", () => {
  test("are all named, up to 100, each with its place in the request", async () => {
    const dataset = await service.dataset(item("x", 1));
    const hash = "00".repeat(32);
    const rows: ItemInit[] = [
      item("fine", 1),
      item("long", 1, { metadataJson: '{"n":[9007199254740993]}' }),
      item("hashed", 1, { contentHash: Buffer.from(hash, "hex") }),
      item("twice", 1, { expectedOutputJson: '{"a":1,"a":2}' }),
      item("tab\t", 1),
      item("", 1, { splits: [""] }),
    ];
    const call = () => upsert(dataset, rows, { mode: UpsertMode.MIRROR });
    expect(await refusalOf(call())).toEqual(
      refused("InvalidArgument", "INVALID_JSON", {
        index: "1",
        item_id: "long",
        path: "$.metadata.n[0]",
        violation_count: "5",
      }),
    );
    expect(await faultyFieldsOf(call())).toEqual([
      "items[1].metadata_json",
      "items[2].content_hash",
      "items[3].expected_output_json",
      "items[4].item_id",
      "items[5].splits",
    ]);
    expect(await latestVersion(dataset)).toBe(1n);

    const many = Array.from({ length: 150 }, () => ({ inputJson: "[" }));
    expect((await refusalOf(upsert(dataset, many))).metadata).toMatchObject({
      index: "0",
      violation_count: "150",
    });
    const fields = await faultyFieldsOf(upsert(dataset, many));
    expect(fields.length).toBeGreaterThan(20);
    expect(fields.length).toBeLessThanOrEqual(100);
    expect(fields.at(-1)).toBe(`items[${fields.length - 1}].input_json`);
  });

  test("are found by their hash where the caller gives one", async () => {
    const dataset = await service.dataset();
    const given = "00".repeat(32);
    const rows = [item("a", 1), item("b", 2, { contentHash: Buffer.from(given, "hex") })];
    const refusal = await refusalOf(upsert(dataset, rows));
    expect(refusal).toEqual(
      refused("InvalidArgument", "CONTENT_HASH_MISMATCH", { index: "1", item_id: "b", given }),
    );
    const contentHash = Buffer.from(refusal.metadata.computed ?? "", "hex");
    const answer = await upsert(dataset, [item("b", 2, { contentHash })]);
    expect(Buffer.from(answer.outcomes[0]?.contentHash ?? []).equals(contentHash)).toBe(true);
  });

  test.each([
    ["new", [item("other", 1)]],
    ["changed", [item("x", 0)]],
    ["unchanged", [item("x", 1)]],
  ])("share an id: both are named, also if they are equal and %s", async (_, base) => {
    const dataset = await service.dataset(...base);
    const rows = [item("a", 1), item("x", 1), item("", 1), item("b", 1), item("x", 1)];
    const duplicate = { item_id: "x", first_index: "1", second_index: "4" };
    expect(await refusalOf(upsert(dataset, rows))).toEqual(
      refused("InvalidArgument", "DUPLICATE_ITEM_ID", duplicate),
    );
    const frames = [
      open({ dataset, requestId: randomUUID() }),
      batch(0, rows.slice(0, 3)),
      batch(3, rows.slice(3)),
      { case: "commit", value: { itemCount: 5n } } as const,
    ];
    expect(await refusalOf(send(service.upserts, frames))).toEqual(
      refused("InvalidArgument", "DUPLICATE_ITEM_ID", duplicate),
    );
    expect(await latestVersion(dataset)).toBe(1n);
  });
});

describe("a write that nobody finishes", () => {
  test("is open, and shows nothing to readers", async () => {
    const dataset = await service.dataset(item("a", 1));
    const requestId = randomUUID();
    await send(service.upserts, [open({ dataset, requestId }), batch(0, [item("a", 2), item("b", 1)])]);
    const { receipt } = await service.upserts.getUpsert({ dataset, requestId });
    expect(receipt).toMatchObject({ state: Receipt_State.OPEN, version: 0n, counts: { received: 2n } });
    expect(Object.keys(await service.read(dataset))).toEqual(["a"]);
    expect(await latestVersion(dataset)).toBe(1n);
  });
});

describe("the content hashes of an import", () => {
  test("are sha256-jcs-v1, named or not, in an offer as well, and a stream that goes on may say so otherwise", async () => {
    const dataset = await service.dataset(item("same", 1), item("changed", 1));
    const [known] = (await service.items.listItems({ dataset })).items.toReversed();
    const requestId = randomUUID();
    const contentHash = known?.contentHash ?? new Uint8Array();
    const offers = (offset: number, itemId: string, contentHashAlgorithm: string): Frame => ({
      case: "offer",
      value: { offset: BigInt(offset), entries: [{ itemId, contentHash }], contentHashAlgorithm },
    });
    const named = open({ dataset, requestId, contentHashAlgorithm: "sha256-jcs-v1" });
    await send(service.upserts, [named, offers(0, "same", ""), batch(1, [item("changed", 2)])]);
    const last = [open({ dataset, requestId }), offers(2, "new", "sha256-jcs-v1"), commit(3)];
    const body: Frame = { case: "supply", value: { items: [item("new", 1)] } };
    const answers = await send(service.upserts, [...last.slice(0, 2), body, ...last.slice(2)]);
    expect(answers.at(-1)).toMatchObject({
      case: "receipt",
      value: { counts: { received: 3n, created: 1n, updated: 1n, unchanged: 1n } },
    });
  });
});
