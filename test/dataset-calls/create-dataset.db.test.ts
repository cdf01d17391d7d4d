import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { reserveDataset } from "../../src/datasets/dataset-store.ts";
import { transaction } from "../../src/db/transaction.ts";
import {
  type DatasetService,
  datasetService,
  identified,
  invalid,
  named,
  newName,
  refusalOf,
} from "../datasets/dataset-service.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";
import { defaultProject } from "../support/handles.ts";
import { faultyFieldsOf, refused } from "../support/refusal.ts";

let database: TestDatabase;
let service: DatasetService;
beforeAll(async () => {
  database = await newTestDatabase();
  service = await datasetService(database.pool);
});
afterAll(() => database.drop());

describe("CreateDataset", () => {
  test("makes an empty dataset at version 0, which is found by name and by id", async () => {
    const name = newName();
    const metadataJson = '{"team": "search", "size": 1.50, "tags": ["a", null, true], "none": {}}';
    const dataset = await service.create({ name, description: "about", metadataJson });
    expect(dataset).toMatchObject({
      name,
      tableName: name.replace(" ", "_"),
      description: "about",
      metadataJson,
      inputSchemaJson: "",
      expectedOutputSchemaJson: "",
      latestVersion: 0n,
      itemCount: 0n,
    });
    expect(dataset.datasetId).toMatch(/^data[0-9a-z]{26}$/);
    expect(dataset.etag).not.toBe("");
    expect(dataset.createTime).toEqual(dataset.updateTime);
    expect(await service.get(dataset.datasetId)).toEqual(dataset);
    expect((await service.client.getDataset({ dataset: named(name) })).dataset).toEqual(dataset);
  });

  test("distinguishes absent metadata from empty metadata", async () => {
    expect((await service.create()).metadataJson).toBe("");
    expect((await service.create({ metadataJson: "{}" })).metadataJson).toBe("{}");
  });

  test.each([
    '{"__proto__": {"a": "\\u0000"}, "constructor": "x"}',
    ' {"b": 1.0, "a": 1e2,\n"z": 9007199254740991, "é": "\\u00e9\\/" } ',
  ])("keeps metadata as they are spelled: %s", async (metadataJson) => {
    const { datasetId } = await service.create({ metadataJson });
    expect((await service.get(datasetId)).metadataJson).toBe(metadataJson);
  });

  test.each([
    ["[]", "$.metadata", "must be a JSON object"],
    ["null", "$.metadata", "must be a JSON object"],
    ['{"a": {"b": 1, "b": 1}}', "$.metadata.a", 'duplicate member "b"'],
    ['{"a": [12345678901234567890]}', "$.metadata.a[0]", "integer that loses digits as a double"],
    ['{"a-b": "\\ud800"}', "$.metadata['a-b']", "lone surrogate"],
    ['{"a": 1', "$.metadata.a", "unexpected end of text"],
  ])("refuses metadata by the rules for items: %s", async (metadataJson, path, problem) => {
    const call = () => service.create({ metadataJson });
    expect(await refusalOf(call())).toEqual(refused("InvalidArgument", "INVALID_JSON", { path, problem }));
    expect(await faultyFieldsOf(call())).toEqual(["dataset.metadata_json"]);
  });

  test("compares names byte by byte", async () => {
    const name = newName();
    await service.create({ name });
    await service.create({ name: name.toUpperCase() });
    await service.create({ name: `${name} ` });
    expect((await refusalOf(service.create({ name }))).reason).toBe("DATASET_NAME_TAKEN");
  });

  test("refuses a name that is taken", async () => {
    const { datasetId, name } = await service.create();
    expect(await refusalOf(service.create({ name }))).toEqual({
      code: "AlreadyExists",
      reason: "DATASET_NAME_TAKEN",
      metadata: { name, dataset_id: datasetId },
    });
  });

  test("of one name by 20 callers has one winner", async () => {
    const name = newName();
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => service.create({ name })));
    expect(outcomes.filter((one) => one.status === "fulfilled")).toHaveLength(1);
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") {
        expect(await refusalOf(Promise.reject(outcome.reason))).toMatchObject({
          reason: "DATASET_NAME_TAKEN",
        });
      }
    }
  });

  test("refuses a table name that is taken in any case, and leaves nothing behind", async () => {
    const { datasetId } = await service.create({ tableName: "Taken" });
    const name = newName();
    expect(await refusalOf(service.create({ name, tableName: "tAKEN" }))).toEqual({
      code: "AlreadyExists",
      reason: "TABLE_NAME_TAKEN",
      metadata: { table_name: "tAKEN", dataset_id: datasetId },
    });
    expect((await refusalOf(service.client.getDataset({ dataset: named(name) }))).reason).toBe(
      "DATASET_NOT_FOUND",
    );
  });

  test.each([
    ["name", { name: "" }],
    ["name", { name: "x".repeat(129) }],
    ["name", { name: "a\nb" }],
    ["name", { name: " " }],
    ["table_name", { tableName: "select" }],
    ["table_name", { tableName: "1st" }],
    ["description", { description: "x".repeat(4097) }],
    ["metadata_json", { metadataJson: `{"t":"${"x".repeat(65_529)}"}` }],
  ])("refuses a bad %s", async (field, dataset) => {
    expect(await refusalOf(service.create(dataset))).toEqual(invalid(`dataset.${field}`));
  });

  test("accepts values just within the limits", async () => {
    await service.create({
      name: "👩".repeat(128),
      description: "é".repeat(4096),
      metadataJson: `{"t":"${"x".repeat(65_528)}"}`,
    });
  });

  test("refuses a request without a dataset, and reports all bad fields at once", async () => {
    expect(await refusalOf(service.client.createDataset({}))).toEqual(invalid("dataset"));
    expect((await refusalOf(service.create({ name: "", tableName: "1" }))).metadata).toMatchObject({
      field: "dataset.name",
      violation_count: "2",
    });
  });

  test("creates the dataset that an import has reserved", async () => {
    const name = newName();
    const { datasetId } = await transaction(database.pool, (client) =>
      reserveDataset(client, defaultProject, name),
    );
    expect((await service.create({ name })).datasetId).toBe(datasetId);
  });
});

describe("GetDataset", () => {
  test("names the dataset as the caller did if it does not exist", async () => {
    expect(await refusalOf(service.client.getDataset({ dataset: named("nowhere") }))).toEqual({
      code: "NotFound",
      reason: "DATASET_NOT_FOUND",
      metadata: { name: "nowhere" },
    });
    expect(await refusalOf(service.client.getDataset({ dataset: identified("data0") }))).toEqual({
      code: "NotFound",
      reason: "DATASET_NOT_FOUND",
      metadata: { dataset_id: "data0" },
    });
  });

  test("needs one of name and id", async () => {
    expect(await refusalOf(service.client.getDataset({}))).toEqual(invalid("dataset"));
    expect(await refusalOf(service.client.getDataset({ dataset: {} }))).toEqual(invalid("dataset"));
    expect(await refusalOf(service.client.getDataset({ dataset: named("") }))).toEqual(
      invalid("dataset.name"),
    );
    expect(await refusalOf(service.client.getDataset({ dataset: identified("\0") }))).toEqual(
      invalid("dataset.dataset_id"),
    );
  });
});
