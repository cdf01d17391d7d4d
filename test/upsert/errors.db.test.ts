import { createHash, randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ItemServiceUnderTest, item, numbered, startItemService } from "../items/item-service.ts";
import { faultyFieldsOf, invalid, type Refusal, refusalOf, refused } from "../support/refusal.ts";
import { batch, commit, open, send } from "./streaming.ts";

let service: ItemServiceUnderTest;
beforeAll(async () => {
  service = await startItemService();
});
afterAll(() => service.close());

type Frame = Parameters<typeof send>[1][number];

/** Returns the content hash of an item with only this number as its input. */
const hashOf = (input: number) => createHash("sha256").update(`{"input":${input}}`).digest();
const offer = (
  offset: number,
  ...entries: { itemId?: string; contentHash?: Uint8Array; splits?: string[] }[]
) => ({ case: "offer", value: { offset: BigInt(offset), entries } }) as const;
const supply = (...items: ReturnType<typeof item>[]) => ({ case: "supply", value: { items } }) as const;

/** An import into a dataset with `x`, whose frames follow its opening. */
async function importing(...frames: Frame[]) {
  const dataset = await service.dataset(item("x", 1));
  const requestId = randomUUID();
  return { dataset, requestId, call: () => send(service.upserts, [open({ dataset, requestId }), ...frames]) };
}

describe("StreamUpsertItems refuses", () => {
  test.each<[string, Frame[], Refusal]>([
    [
      "a second opening",
      [open({ requestId: randomUUID() })],
      refused("InvalidArgument", "UNEXPECTED_FRAME", {
        expected: "offer, batch, supply or commit",
        received: "open",
      }),
    ],
    [
      "a batch that skips rows",
      [batch(0, [item("a", 1)]), batch(3, [item("b", 1)])],
      refused("OutOfRange", "OFFSET_GAP", { next_offset: "1", received_offset: "3" }),
    ],
    [
      "an offer that skips rows",
      [offer(1, { itemId: "a", contentHash: hashOf(1) })],
      refused("OutOfRange", "OFFSET_GAP", { next_offset: "0", received_offset: "1" }),
    ],
    ["a batch before the first row", [batch(-1, [item("a", 1)])], invalid("batch.offset")],
    ["an empty batch", [batch(0, [])], invalid("batch.items")],
    ["an empty offer", [offer(0)], invalid("offer.entries")],
    ["an empty supply", [supply()], invalid("supply.items")],
    ["a commit with a negative count", [commit(-1)], invalid("commit.item_count")],
    [
      "a batch of more than 1,000 rows",
      [batch(0, numbered(1001))],
      refused("InvalidArgument", "LIMIT_EXCEEDED", {
        limit: "max_batch_size",
        maximum: "1000",
        received: "1001",
      }),
    ],
    [
      "an offer of more than 10,000 rows",
      [offer(0, ...numbered(10_001).map((one) => ({ itemId: one.itemId ?? "", contentHash: hashOf(1) })))],
      refused("InvalidArgument", "LIMIT_EXCEEDED", {
        limit: "max_offer_size",
        maximum: "10000",
        received: "10001",
      }),
    ],
    [
      "an offered row without an id",
      [offer(0, { itemId: "a", contentHash: hashOf(1) }, { contentHash: hashOf(1) })],
      invalid("offer.entries[1].item_id"),
    ],
    [
      "an offered row without a hash",
      [offer(0, { itemId: "a", contentHash: Buffer.alloc(31) })],
      invalid("offer.entries[0].content_hash"),
    ],
    [
      "two offered rows with one id",
      [
        batch(0, [item("b", 1)]),
        offer(1, { itemId: "a", contentHash: hashOf(1) }, { itemId: "a", contentHash: hashOf(1) }),
      ],
      refused("InvalidArgument", "DUPLICATE_ITEM_ID", { item_id: "a", first_index: "1", second_index: "2" }),
    ],
    [
      "a row whose id was offered",
      [offer(0, { itemId: "a", contentHash: hashOf(1) }), supply(item("a", 1)), batch(1, [item("a", 1)])],
      refused("InvalidArgument", "DUPLICATE_ITEM_ID", { item_id: "a", first_index: "0", second_index: "1" }),
    ],
    [
      "an offer whose id was sent",
      [
        batch(0, [item("a", 1)]),
        offer(1, { itemId: "a", contentHash: hashOf(1) }),
        supply(item("a", 1)),
        commit(2),
      ],
      refused("InvalidArgument", "DUPLICATE_ITEM_ID", { item_id: "a", first_index: "0", second_index: "1" }),
    ],
    [
      "an offer of hashes that it does not compute",
      [
        batch(0, [item("b", 1)]),
        {
          case: "offer",
          value: {
            offset: 1n,
            entries: [{ itemId: "a", contentHash: hashOf(1) }],
            contentHashAlgorithm: "sha256-jcs-v2",
          },
        },
      ],
      refused("InvalidArgument", "UNKNOWN_HASH_ALGORITHM", {
        given: "sha256-jcs-v2",
        known: "sha256-jcs-v1",
      }),
    ],
    ["a body without an id", [supply(item("", 1))], invalid("supply.items[0].item_id")],
    ["a body that was not offered", [supply(item("z", 1))], invalid("supply.items")],
    [
      "a body that differs from the offered row",
      [
        batch(0, [item("b", 1)]),
        offer(1, { itemId: "c", contentHash: hashOf(1) }, { itemId: "a", contentHash: hashOf(1) }),
        supply(item("a", 2)),
      ],
      refused("InvalidArgument", "CONTENT_HASH_MISMATCH", {
        index: "2",
        item_id: "a",
        given: hashOf(1).toString("hex"),
        computed: hashOf(2).toString("hex"),
      }),
    ],
    [
      "a commit of other totals",
      [batch(0, [item("a", 1), item("b", 1)]), commit(3)],
      refused("FailedPrecondition", "INCOMPLETE_STREAM", {
        expected_item_count: "3",
        received_item_count: "2",
        missing_body_count: "0",
        next_offset: "2",
      }),
    ],
    [
      "a commit before all bodies are there",
      [
        offer(0, { itemId: "x", contentHash: hashOf(1) }, { itemId: "a", contentHash: hashOf(1) }),
        batch(2, [item("b", 1)]),
        commit(3),
      ],
      refused("FailedPrecondition", "INCOMPLETE_STREAM", {
        expected_item_count: "3",
        received_item_count: "3",
        missing_body_count: "1",
        next_offset: "1",
      }),
    ],
  ])("%s, and publishes nothing", async (_, frames, refusal) => {
    const { call, dataset } = await importing(...frames);
    expect(await refusalOf(call())).toEqual(refusal);
    expect((await service.datasets.getDataset({ dataset })).dataset?.latestVersion).toBe(1n);
  });

  test.each<[string, Frame[], string]>([
    ["rows", [batch(0, [item("a", 1)])], "batch"],
    ["a commit", [commit(0)], "commit"],
    ["nothing", [], "nothing"],
  ])("%s in place of the opening", async (_, frames, received) => {
    expect(await refusalOf(send(service.upserts, frames))).toEqual(
      refused("InvalidArgument", "UNEXPECTED_FRAME", { expected: "open", received }),
    );
  });

  test("an opening of the same import with other options", async () => {
    const { call, dataset, requestId } = await importing(batch(0, [item("a", 1)]));
    await call();
    const other = [open({ dataset, requestId, options: { note: "another" } })];
    expect(await refusalOf(send(service.upserts, other))).toEqual(
      refused("InvalidArgument", "REQUEST_ID_REUSED", { request_id: requestId }),
    );
  });

  test("an opening with an unknown hash algorithm", async () => {
    const dataset = await service.dataset(item("x", 1));
    const opening = (contentHashAlgorithm: string) =>
      send(service.upserts, [open({ dataset, requestId: randomUUID(), contentHashAlgorithm })]);
    expect(await refusalOf(opening("SHA256-JCS-V1"))).toEqual(
      refused("InvalidArgument", "UNKNOWN_HASH_ALGORITHM", {
        given: "SHA256-JCS-V1",
        known: "sha256-jcs-v1",
      }),
    );
    expect(await faultyFieldsOf(opening("md5"))).toEqual(["open.content_hash_algorithm"]);
    expect(await refusalOf(opening("x".repeat(65)))).toEqual(invalid("open.content_hash_algorithm"));
  });

  test("an opening with the request_id of another call", async () => {
    const dataset = await service.dataset();
    const requestId = randomUUID();
    await service.items.createItem({ dataset, item: item("a", 1), requestId });
    expect(await refusalOf(send(service.upserts, [open({ dataset, requestId })]))).toEqual(
      refused("InvalidArgument", "REQUEST_ID_REUSED", { request_id: requestId }),
    );
  });

  test("bad rows by their index in the whole import, all of a frame at once", async () => {
    const bad = { itemId: "bad", inputJson: "[1,]" };
    const { call } = await importing(batch(0, numbered(7)), batch(7, [item("a", 1), bad, item("b\n", 1)]));
    expect(await refusalOf(call())).toEqual(
      refused("InvalidArgument", "INVALID_JSON", { index: "8", item_id: "bad", violation_count: "2" }),
    );
    expect(await faultyFieldsOf(call())).toEqual(["batch.items[1].input_json", "batch.items[2].item_id"]);
  });
});
