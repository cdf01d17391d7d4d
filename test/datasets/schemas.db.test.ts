import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { updateDataset } from "../../src/dataset-calls/update-dataset.ts";
import { getDataset } from "../../src/datasets/dataset-store.ts";
import { transaction } from "../../src/db/transaction.ts";
import {
  at,
  type DatasetRef,
  type ItemInit,
  type ItemServiceUnderTest,
  item,
  numbered,
  startItemService,
} from "../items/item-service.ts";
import { defaultProject } from "../support/handles.ts";
import { faultyFieldsOf, invalid, refusalOf, refused } from "../support/refusal.ts";

let service: ItemServiceUnderTest;
beforeAll(async () => {
  service = await startItemService();
});
afterAll(() => service.close());

const numbers = '{"type":"number"}';

const get = async (dataset: DatasetRef) => (await service.datasets.getDataset({ dataset })).dataset;
const update = (dataset: DatasetRef, patch: Parameters<typeof service.datasets.updateDataset>[0]["patch"]) =>
  service.datasets.updateDataset({ dataset, ...(patch && { patch }) });
const clear = (dataset: DatasetRef, ...paths: string[]) =>
  service.datasets.updateDataset({ dataset, patch: {}, updateMask: { paths } });

describe("the schemas of a dataset", () => {
  test.each(["true", "{}", '{ "type" :  "number",\n"minimum":1.0e0 }', '{"title":"\\u0000"}'])(
    "are kept as they were sent: %s",
    async (schema) => {
      const { dataset } = await service.datasets.createDataset({
        dataset: {
          name: `schemas ${randomUUID()}`,
          inputSchemaJson: schema,
          expectedOutputSchemaJson: schema,
        },
      });
      expect(dataset).toMatchObject({ inputSchemaJson: schema, expectedOutputSchemaJson: schema });
      const ref = { by: { case: "datasetId", value: dataset?.datasetId ?? "" } } as const;
      expect(await get(ref)).toEqual(dataset);
      expect((await update(ref, dataset)).dataset).toEqual(dataset);
    },
  );

  test.each([
    ["input_schema_json", "inputSchemaJson"],
    ["expected_output_schema_json", "expectedOutputSchemaJson"],
  ])("are refused if they are not valid, naming the place: %s", async (field, member) => {
    const dataset = await service.dataset();
    const schema = { [member]: '{"properties":{"a":{"type":"strin"}}}' };
    const created = await refusalOf(service.datasets.createDataset({ dataset: { name: "x", ...schema } }));
    expect(created).toEqual(invalid(`dataset.${field}`));
    expect(created.metadata.problem).toMatch(/^\$\.properties\.a\.type: /);
    expect(await refusalOf(update(dataset, schema))).toEqual(invalid(`patch.${field}`));
    const importing = service.upserts.upsertItems({
      dataset: { by: { case: "name", value: "x" } },
      items: [],
      options: { createIfMissing: true, newDataset: schema },
    });
    expect(await refusalOf(importing)).toEqual(invalid(`options.new_dataset.${field}`));
    const large = { [member]: JSON.stringify({ title: "x".repeat(256 * 1024) }) };
    expect(await refusalOf(update(dataset, large))).toEqual(
      refused("InvalidArgument", "LIMIT_EXCEEDED", { limit: "max_schema_bytes", maximum: "262144" }),
    );
  });

  test("are both named if both are not valid", async () => {
    const dataset = await service.dataset();
    expect(
      await faultyFieldsOf(update(dataset, { inputSchemaJson: "[]", expectedOutputSchemaJson: "{" })),
    ).toEqual(["patch.input_schema_json", "patch.expected_output_schema_json"]);
  });
});

describe("a new schema", () => {
  test("that items of the latest version satisfy is set, with a new etag and no version", async () => {
    const dataset = await service.dataset(item("a", "x"));
    await service.items.updateItem({ dataset, itemId: "a", patch: { inputJson: "1" } });
    const before = await get(dataset);
    const { dataset: after } = await update(dataset, { inputSchemaJson: numbers });
    expect(after).toMatchObject({ inputSchemaJson: numbers, latestVersion: 2n, itemCount: 1n });
    expect(after?.etag).not.toBe(before?.etag);
    expect((await service.read(dataset, 1n)).a?.inputJson).toBe('"x"');
  });

  test("that items violate is refused with their number and examples, and nothing changes", async () => {
    const rows = numbered(1500).map((one, n) => (n % 3 === 1 ? { ...one, inputJson: '{"n":[1]}' } : one));
    const dataset = await service.dataset(...rows.slice(0, 1000));
    await service.items.batchCreateItems({ dataset, items: rows.slice(1000) });
    const before = await get(dataset);
    const call = () => update(dataset, { inputSchemaJson: numbers, description: "new" });
    expect(await refusalOf(call())).toEqual({
      code: "FailedPrecondition",
      reason: "ITEMS_VIOLATE_SCHEMA",
      metadata: { violation_count: "500", item_id: "k001", path: "$.input", keyword: "type" },
    });
    const fields = await faultyFieldsOf(call());
    expect(fields.length).toBeGreaterThan(10);
    expect(new Set(fields)).toEqual(new Set(["patch.input_schema_json"]));
    expect(await get(dataset)).toEqual(before);
  });

  test("is checked against expected outputs where there are any", async () => {
    const dataset = await service.dataset(item("a", 1), item("b", 1, { expectedOutputJson: '{"x":[1]}' }));
    const schema = '{"properties":{"x":{"items":{"type":"string"}}}}';
    const call = () => update(dataset, { expectedOutputSchemaJson: schema });
    expect(await refusalOf(call())).toEqual(
      refused("FailedPrecondition", "ITEMS_VIOLATE_SCHEMA", {
        violation_count: "1",
        item_id: "b",
        path: "$.expected_output.x[0]",
      }),
    );
    expect(await faultyFieldsOf(call())).toEqual(["patch.expected_output_schema_json"]);
    await service.items.deleteItem({ dataset, itemId: "b" });
    expect((await call()).dataset?.expectedOutputSchemaJson).toBe(schema);
  });

  test("is not checked against purged items", async () => {
    const dataset = await service.dataset(item("a", "x"), item("b", 1));
    await service.items.purgeItem({ dataset, itemId: "a" });
    expect((await update(dataset, { inputSchemaJson: numbers })).dataset?.inputSchemaJson).toBe(numbers);
  });

  test("that means the same, or removes the schema, needs no check of items", async () => {
    const dataset = await service.dataset(item("a", 1));
    await update(dataset, { inputSchemaJson: numbers });
    // Now an item violates the schema, so any check would fail.
    await service.pool.query("update item_revisions set input = '\"x\"' where dataset_id = $1", [
      dataset.by.value,
    ]);
    const respelled = ' {"type": "number"}';
    expect((await update(dataset, { inputSchemaJson: respelled })).dataset?.inputSchemaJson).toBe(respelled);
    expect((await clear(dataset, "input_schema_json")).dataset?.inputSchemaJson).toBe("");
    expect((await refusalOf(update(dataset, { inputSchemaJson: numbers }))).reason).toBe(
      "ITEMS_VIOLATE_SCHEMA",
    );
  });

  test("of the input leaves the one of expected outputs alone, and the other way round", async () => {
    const dataset = await service.dataset(item("a", 1));
    await update(dataset, { inputSchemaJson: numbers, expectedOutputSchemaJson: "{}" });
    await update(dataset, { expectedOutputSchemaJson: "true" });
    expect(await get(dataset)).toMatchObject({ inputSchemaJson: numbers, expectedOutputSchemaJson: "true" });
    await clear(dataset, "expected_output_schema_json");
    expect(await get(dataset)).toMatchObject({ inputSchemaJson: numbers, expectedOutputSchemaJson: "" });
    expect((await refusalOf(service.items.createItem({ dataset, item: item("b", "x") }))).reason).toBe(
      "SCHEMA_VIOLATION",
    );
  });

  test("is refused for a stale etag before items are checked", async () => {
    const dataset = await service.dataset(item("a", "x"));
    expect((await refusalOf(update(dataset, { inputSchemaJson: numbers, etag: "stale" }))).reason).toBe(
      "ETAG_MISMATCH",
    );
  });

  test("returns its first answer to a repetition, whatever items exist by then", async () => {
    const dataset = await service.dataset(item("a", 1));
    const request = { dataset, patch: { inputSchemaJson: numbers }, requestId: randomUUID() };
    const first = await service.datasets.updateDataset(request);
    await clear(dataset, "input_schema_json");
    await service.items.createItem({ dataset, item: item("b", "x") });
    expect(await service.datasets.updateDataset(request)).toEqual(first);
  });

  test("checks items published during the check, and the last ones under the lock", async () => {
    const dataset = await service.dataset(...numbered(50));
    const publish = (items: ItemInit[]) => service.upserts.upsertItems({ dataset, items });
    const ref = { datasetId: dataset.by.value };
    const set = (beforeLock: () => Promise<unknown>) =>
      transaction(service.pool, async (client) => {
        // Others can publish until the statement that locks the dataset.
        const query = client.query.bind(client);
        const lockFirst = new Proxy(client, {
          get(target, name, receiver) {
            if (name !== "query") return Reflect.get(target, name, receiver);
            return async (...statement: Parameters<typeof query>) => {
              if (String(statement[0]).includes("for update of d")) await beforeLock();
              return query(...statement);
            };
          },
        });
        return updateDataset(
          lockFirst,
          { projectId: defaultProject, ref, etag: "" },
          { inputSchema: numbers },
        );
      });
    const late = async () => {
      await publish([item("k001", "late"), item("k002", 2.5), item("k003", "x")]);
      await publish([item("k003", 3)]);
    };
    await expect(set(late)).rejects.toMatchObject({
      reason: "ITEMS_VIOLATE_SCHEMA",
      facts: { violation_count: 1, item_id: "k001" },
    });
    await publish([item("k001", 1)]);
    await set(() => publish([item("k004", 4.5)]));
    expect((await getDataset(service.pool, defaultProject, ref)).inputSchema).toBe(numbers);
    expect(Object.keys(await service.read(dataset))).toHaveLength(50);
    expect(Object.keys(await service.read(dataset, 3n))).toHaveLength(50);
    expect((await service.items.getItem({ dataset, itemId: "k004", at: at(1n) })).item?.inputJson).toBe("4");
  });

  test("stops checking items when the caller cancels", async () => {
    const dataset = await service.dataset(...numbered(1000));
    const left = new AbortController();
    left.abort(new Error("left"));
    const ref = { datasetId: dataset.by.value };
    const request = { projectId: defaultProject, ref, etag: "", signal: left.signal };
    await expect(
      transaction(service.pool, (client) => updateDataset(client, request, { inputSchema: numbers })),
    ).rejects.toThrow("left");
  });
});
