import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { transaction } from "../../src/db/transaction.ts";
import {
  type DatasetService,
  datasetService,
  identified,
  invalid,
  refusalOf,
} from "../datasets/dataset-service.ts";
import { addItemRows, addRun, rowsOf } from "../datasets/rows.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";
import { waitForLock } from "../support/locks.ts";
import { addVersion } from "../versions/history.ts";

let database: TestDatabase;
let service: DatasetService;
beforeAll(async () => {
  database = await newTestDatabase();
  service = await datasetService(database.pool);
});
afterAll(() => database.drop());

describe("DeleteDataset", () => {
  test("leaves no row of the dataset in any table", async () => {
    const dataset = await service.create({}, randomUUID());
    const { datasetId } = dataset;
    await service.update(dataset, { patch: { description: "x" }, requestId: randomUUID() });
    await addVersion(database.pool, datasetId);
    await service.client.tagVersion({ dataset: identified(datasetId), tag: "prod", locked: true });
    await addRun(database.pool, datasetId);
    await addRun(database.pool, datasetId);
    await addItemRows(database.pool, datasetId);
    const before = await rowsOf(database.pool, datasetId);
    expect(before.filter(({ count }) => count === 0n)).toEqual(
      // Replaced scores exist only with results, which are covered.
      [{ table: "replaced_scores", count: 0n }],
    );

    expect((await service.remove(dataset, { force: true })).deletedRunCount).toBe(2n);
    expect((await rowsOf(database.pool, datasetId)).filter(({ count }) => count > 0n)).toEqual([]);
    expect((await refusalOf(service.get(datasetId))).reason).toBe("DATASET_NOT_FOUND");
  });

  test("frees its names, and never reuses its id", async () => {
    const dataset = await service.create();
    await service.remove(dataset);
    const again = await service.create({ name: dataset.name, tableName: dataset.tableName });
    expect(again.datasetId).not.toBe(dataset.datasetId);
  });

  test("leaves other datasets alone", async () => {
    const [one, other] = [await service.create(), await service.create()];
    await addVersion(database.pool, other.datasetId);
    await addRun(database.pool, other.datasetId);
    const before = await rowsOf(database.pool, other.datasetId);
    await service.remove(one, { force: true });
    expect(await rowsOf(database.pool, other.datasetId)).toEqual(before);
  });

  test("waits for a writer at work, and deletes what it adds", async () => {
    const dataset = await service.create();
    await addVersion(database.pool, dataset.datasetId);
    let deleting: Promise<unknown> = Promise.resolve();
    await transaction(database.pool, async (client) => {
      await client.query("select from changesets where dataset_id = $1 for update", [dataset.datasetId]);
      deleting = service.remove(dataset);
      await waitForLock(client);
      await addItemRows(client, dataset.datasetId);
    });
    await deleting;
    expect((await rowsOf(database.pool, dataset.datasetId)).filter(({ count }) => count > 0n)).toEqual([]);
  });

  test("is refused while there are runs or locked tags", async () => {
    const dataset = await service.create();
    const { datasetId } = dataset;
    await addVersion(database.pool, datasetId);
    for (const tag of ["prod", "gold"]) {
      await service.client.tagVersion({ dataset: identified(datasetId), tag, locked: true });
    }
    await service.client.tagVersion({ dataset: identified(datasetId), tag: "loose" });
    const inUse = { code: "FailedPrecondition", reason: "DATASET_IN_USE" };
    expect(await refusalOf(service.remove(dataset))).toEqual({
      ...inUse,
      metadata: { dataset_id: datasetId, run_count: "0", locked_tags: "gold,prod" },
    });
    for (const tag of ["prod", "gold"]) {
      await service.client.tagVersion({ dataset: identified(datasetId), tag, locked: false });
    }
    await addRun(database.pool, datasetId);
    expect(await refusalOf(service.remove(dataset))).toEqual({
      ...inUse,
      metadata: { dataset_id: datasetId, run_count: "1", locked_tags: "" },
    });
    expect(await service.get(datasetId)).toMatchObject({ latestVersion: 1n });
  });

  test("is guarded by the etag", async () => {
    const dataset = await service.create();
    expect(await refusalOf(service.remove(dataset, { etag: "stale" }))).toEqual({
      code: "Aborted",
      reason: "ETAG_MISMATCH",
      metadata: { etag: "stale", current_etag: dataset.etag },
    });
    await service.remove(dataset, { etag: dataset.etag });
  });

  test("reports a dataset that does not exist", async () => {
    const dataset = await service.create();
    await service.remove(dataset);
    expect(await refusalOf(service.remove(dataset))).toMatchObject({
      code: "NotFound",
      reason: "DATASET_NOT_FOUND",
      metadata: { dataset_id: dataset.datasetId },
    });
    expect(await refusalOf(service.client.deleteDataset({}))).toEqual(invalid("dataset"));
  });

  test("of one dataset by 20 callers has one winner", async () => {
    const dataset = await service.create();
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => service.remove(dataset)));
    expect(outcomes.filter((one) => one.status === "fulfilled")).toHaveLength(1);
  });
});
