import type { MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Dataset } from "../../gen/itembank/v1/dataset_pb.js";
import type { UpdateDatasetRequestSchema } from "../../gen/itembank/v1/dataset_service_pb.js";
import {
  type DatasetService,
  datasetService,
  invalid,
  named,
  newName,
  present,
  refusalOf,
} from "../datasets/dataset-service.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";
import { addVersion } from "../versions/history.ts";

let database: TestDatabase;
let service: DatasetService;
beforeAll(async () => {
  database = await newTestDatabase();
  service = await datasetService(database.pool);
});
afterAll(() => database.drop());

describe("UpdateDataset", () => {
  test("changes the fields that are set, and no version", async () => {
    const before = await service.create({ description: "old", metadataJson: '{"a":1}' });
    await addVersion(database.pool, before.datasetId);
    const after = await service.update(before, { patch: { description: "new" } });
    expect(after).toMatchObject({
      name: before.name,
      description: "new",
      metadataJson: '{"a":1}',
      latestVersion: 1n,
    });
    expect(after.etag).not.toBe(before.etag);
    expect(after.createTime).toEqual(before.createTime);
    expect(microsOf(after)).toBeGreaterThan(microsOf(before));
    expect(await service.get(before.datasetId)).toEqual(after);
  });

  test("clears fields that the mask names and the patch leaves out", async () => {
    const before = await service.create({ tableName: "chosen", description: "old", metadataJson: "{}" });
    const paths = ["description", "metadata_json", "table_name", "input_schema_json"];
    const after = await service.update(before, { patch: {}, updateMask: { paths } });
    expect(after).toMatchObject({ description: "", tableName: before.name.replace(" ", "_") });
    expect(after.metadataJson).toBe("");
  });

  test("stores metadata as it was sent: absent, empty, and every kind of value", async () => {
    const values = {
      null: null,
      no: false,
      zero: 0,
      "": "",
      list: [null, {}, []],
      "\\": 1,
      "\n": 2,
      '"': 3,
      b: 4,
    };
    const before = await service.create();
    expect(before.metadataJson).toBe("");
    for (const value of [
      values,
      { nested: { ...values, constructor: "x" } },
      { "\\": 1, "\u0001": "\u0000" },
      {},
    ]) {
      const metadataJson = JSON.stringify(value, null, 1);
      const after = await service.update(before, { patch: { metadataJson } });
      expect(after.metadataJson).toBe(metadataJson);
      expect((await service.get(before.datasetId)).metadataJson).toBe(metadataJson);
    }
    const cleared = await service.update(before, { patch: {}, updateMask: { paths: ["metadata_json"] } });
    expect(cleared.metadataJson).toBe("");
  });

  test("changes all fields under the mask *", async () => {
    const before = await service.create({ description: "old", metadataJson: '{"a":1}' });
    const name = newName();
    const after = await service.update(before, { patch: { name }, updateMask: { paths: ["*"] } });
    expect(after).toMatchObject({ name, description: "", tableName: name.replace(" ", "_") });
    expect(after.metadataJson).toBe("");
  });

  test("ignores fields that the mask does not name", async () => {
    const before = await service.create({ description: "old" });
    const after = await service.update(before, {
      patch: { name: newName(), description: "new" },
      updateMask: { paths: ["description"] },
    });
    expect(after).toMatchObject({ name: before.name, description: "new" });
  });

  test.each<[string, (dataset: Dataset) => MessageInitShape<typeof UpdateDatasetRequestSchema>]>([
    ["the same description", ({ description }) => ({ patch: { description } })],
    ["metadata spelled otherwise", () => ({ patch: { metadataJson: '{"b": {"d": 2, "c": 1}, "a": 1.0}' } })],
    ["all of it as it was read", (dataset) => ({ patch: dataset, updateMask: { paths: ["*"] } })],
    ["the table name derived anew", () => ({ patch: {}, updateMask: { paths: ["table_name"] } })],
  ])("changes neither etag nor update_time with %s", async (_, request) => {
    const before = await service.create({ description: "same", metadataJson: '{"a":1,"b":{"c":1,"d":2}}' });
    expect(await service.update(before, request(before))).toEqual(before);
    expect(await service.get(before.datasetId)).toEqual(before);
  });

  test("renames the dataset, and the old name is free", async () => {
    const before = await service.create();
    const name = newName();
    const after = await service.update(before, { patch: { name } });
    expect(after).toMatchObject({ datasetId: before.datasetId, name, tableName: before.tableName });
    expect((await refusalOf(service.client.getDataset({ dataset: named(before.name) }))).reason).toBe(
      "DATASET_NOT_FOUND",
    );
    await service.create({ name: before.name });
  });

  test("may spell the table name in another case", async () => {
    const before = await service.create({ tableName: "Spelled" });
    expect((await service.update(before, { patch: { tableName: "sPELLED" } })).tableName).toBe("sPELLED");
  });

  test("refuses names that are taken", async () => {
    const [one, other] = [await service.create(), await service.create()];
    expect(await refusalOf(service.update(one, { patch: { name: other.name } }))).toEqual({
      code: "AlreadyExists",
      reason: "DATASET_NAME_TAKEN",
      metadata: { name: other.name, dataset_id: other.datasetId },
    });
    expect(
      await refusalOf(service.update(one, { patch: { tableName: other.tableName.toUpperCase() } })),
    ).toEqual({
      code: "AlreadyExists",
      reason: "TABLE_NAME_TAKEN",
      metadata: { table_name: other.tableName.toUpperCase(), dataset_id: other.datasetId },
    });
    expect(await service.get(one.datasetId)).toEqual(one);
  });

  test("of 20 datasets to one name has one winner", async () => {
    const name = newName();
    const datasets = await Promise.all(Array.from({ length: 20 }, () => service.create()));
    const outcomes = await Promise.allSettled(
      datasets.map((dataset) => service.update(dataset, { patch: { name } })),
    );
    expect(outcomes.filter((one) => one.status === "fulfilled")).toHaveLength(1);
  });

  test("is guarded by the etag: of 20 callers with one etag, one wins", async () => {
    const dataset = await service.create();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, (_, number) =>
        service.update(dataset, { patch: { etag: dataset.etag, description: `${number}` } }),
      ),
    );
    expect(outcomes.filter((one) => one.status === "fulfilled")).toHaveLength(1);
    const { etag } = await service.get(dataset.datasetId);
    expect(
      await refusalOf(service.update(dataset, { patch: { etag: dataset.etag, description: "x" } })),
    ).toEqual({
      code: "Aborted",
      reason: "ETAG_MISMATCH",
      metadata: { etag: dataset.etag, current_etag: etag },
    });
  });

  test("keeps its etag while items are written", async () => {
    const dataset = await service.create();
    await addVersion(database.pool, dataset.datasetId);
    expect(await service.update(dataset, { patch: { etag: dataset.etag, description: "x" } })).toBeDefined();
  });

  test.each<[string, MessageInitShape<typeof UpdateDatasetRequestSchema>]>([
    ["patch", {}],
    ["patch", { patch: {} }],
    ["patch", { patch: { etag: "x", datasetId: "y" } }],
    ["update_mask", { patch: { description: "x" }, updateMask: { paths: ["etag"] } }],
    ["patch.name", { patch: {}, updateMask: { paths: ["name"] } }],
    ["patch.name", { patch: { description: "x" }, updateMask: { paths: ["*"] } }],
    ["patch.name", { patch: { name: "\t" } }],
    ["patch.table_name", { patch: { tableName: "table" } }],
    ["patch.description", { patch: { description: "x".repeat(4097) } }],
    ["patch.metadata_json", { patch: { metadataJson: `{"t":"${"x".repeat(65_536)}"}` } }],
    ["request_id", { patch: { description: "x" }, requestId: "no" }],
  ])("refuses a bad %s", async (field, request) => {
    expect(await refusalOf(service.update(await service.create(), request))).toEqual(invalid(field));
  });

  test("reports a dataset that does not exist", async () => {
    const call = service.client.updateDataset({ dataset: named("nowhere"), patch: { description: "x" } });
    expect(await refusalOf(call)).toMatchObject({
      reason: "DATASET_NOT_FOUND",
      metadata: { name: "nowhere" },
    });
  });
});

function microsOf({ updateTime }: Dataset): bigint {
  const { seconds, nanos } = present(updateTime);
  return seconds * 1_000_000n + BigInt(nanos / 1000);
}
