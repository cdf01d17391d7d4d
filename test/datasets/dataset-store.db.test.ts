import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDataset } from "../../src/dataset-calls/create-dataset.ts";
import { updateDataset } from "../../src/dataset-calls/update-dataset.ts";
import {
  clockOf,
  createReserved,
  findDataset,
  findReservedDataset,
  getWriteDatasetId,
  listDatasets,
  lockDataset,
  reserveDataset,
} from "../../src/datasets/dataset-store.ts";
import type { Client } from "../../src/db/pool.ts";
import { transaction } from "../../src/db/transaction.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";
import { datasetHandle, defaultProject, projectNamed } from "../support/handles.ts";
import { waitForLock } from "../support/locks.ts";
import { newName } from "./dataset-service.ts";

const projectId = defaultProject;

let database: TestDatabase;
beforeAll(async () => {
  database = await newTestDatabase();
});
afterAll(() => database.drop());

const inTransaction = <T>(work: (client: Client) => Promise<T>) => transaction(database.pool, work);
const reserve = (name: string) => inTransaction((client) => reserveDataset(client, projectId, name));
const create = (name: string) =>
  inTransaction((client) => createDataset(client, projectId, { name, description: "" }));
const rename = (name: string, to: string) =>
  inTransaction((client) => updateDataset(client, { projectId, ref: { name }, etag: "" }, { name: to }));
const remove = (datasetId: string) =>
  inTransaction(async (client) => {
    await lockDataset(client, projectId, { datasetId });
    for (const table of ["dataset_names", "dataset_table_names", "datasets"]) {
      await client.query(`delete from ${table} where dataset_id = $1`, [datasetId]);
    }
  });
const publish = (datasetId: string, name: string) =>
  inTransaction(async (client) =>
    createReserved(
      client,
      datasetHandle(datasetId),
      { name, description: "made" },
      await clockOf(client, datasetHandle(datasetId)),
    ),
  );

describe("a reserved dataset", () => {
  test("is one dataset for 20 imports at once", async () => {
    const name = newName();
    const reserved = await Promise.all(Array.from({ length: 20 }, () => reserve(name)));
    expect(new Set(reserved.map((one) => one.datasetId)).size).toBe(1);
    expect(reserved.every((one) => !one.exists)).toBe(true);
  });

  test("is invisible to readers, except in calls about its writes", async () => {
    const name = newName();
    const { datasetId } = await reserve(name);
    expect(await findDataset(database.pool, projectId, { name })).toBeUndefined();
    expect(await findDataset(database.pool, projectId, { datasetId })).toBeUndefined();
    const all = await listDatasets(database.pool, projectId, {
      namePrefix: name,
      view: "full",
      after: undefined,
      limit: 10,
    });
    expect(all.rows).toEqual([]);
    await expect(inTransaction((client) => lockDataset(client, projectId, { name }))).rejects.toMatchObject({
      reason: "DATASET_NOT_FOUND",
      facts: { name },
    });

    expect(await findReservedDataset(database.pool, projectId, { name })).toEqual({
      datasetId,
      exists: false,
    });
    expect(await getWriteDatasetId(database.pool, projectId, { datasetId })).toBe(datasetId);
    expect(await getWriteDatasetId(database.pool, projectId, { name })).toBe(datasetId);
  });

  test("becomes a dataset that readers see, once", async () => {
    const name = newName();
    const { datasetId } = await reserve(name);
    await publish(datasetId, name);
    expect(await findDataset(database.pool, projectId, { name })).toMatchObject({
      datasetId,
      name,
      description: "made",
      headVersion: 0n,
      itemCount: 0n,
      digest: Buffer.alloc(32),
    });
    expect(await reserve(name)).toEqual({ datasetId, exists: true });
    await expect(publish(datasetId, name)).rejects.toThrow(/is not reserved/);
  });

  test("keeps its id when CreateDataset creates it", async () => {
    const name = newName();
    const { datasetId } = await reserve(name);
    expect((await create(name)).datasetId).toBe(datasetId);
  });

  test("loses its name to a dataset that is renamed, and is not created then", async () => {
    const [name, other] = [newName(), newName()];
    const { datasetId } = await reserve(name);
    const taker = await create(other);
    await rename(other, name);
    await expect(publish(datasetId, name)).rejects.toMatchObject({
      reason: "DATASET_NAME_TAKEN",
      facts: { name, dataset_id: taker.datasetId },
    });
    expect(await findDataset(database.pool, projectId, { datasetId })).toBeUndefined();
  });

  test("regains its name if the dataset that took it has given it up", async () => {
    const [name, other, third] = [newName(), newName(), newName()];
    const { datasetId } = await reserve(name);
    await create(other);
    await rename(other, name);
    await rename(name, third);
    await publish(datasetId, name);
    expect(await findDataset(database.pool, projectId, { name })).toMatchObject({ datasetId });
  });

  test("is either created or loses its name when both happen at once, 20 times", async () => {
    for (let round = 0; round < 20; round++) {
      const [name, other] = [newName(), newName()];
      const { datasetId } = await reserve(name);
      const taker = await create(other);
      const outcomes = await Promise.allSettled([publish(datasetId, name), rename(other, name)]);
      expect(outcomes.map((one) => one.status).sort()).toEqual(["fulfilled", "rejected"]);
      const winner = outcomes[0].status === "fulfilled" ? datasetId : taker.datasetId;
      expect(await findDataset(database.pool, projectId, { name })).toMatchObject({ datasetId: winner });
      const refused = outcomes.find((one) => one.status === "rejected");
      expect(refused?.reason).toMatchObject({ reason: "DATASET_NAME_TAKEN" });
    }
  });

  test("is not reserved when the transaction fails", async () => {
    const name = newName();
    const failing = inTransaction(async (client) => {
      await reserveDataset(client, projectId, name);
      throw new Error("enough");
    });
    await expect(failing).rejects.toThrow("enough");
    expect(await findReservedDataset(database.pool, projectId, { name })).toBeUndefined();
  });
});

describe("reserving", () => {
  test("waits for a rename, and then reserves the name that has become free", async () => {
    const [name, other] = [newName(), newName()];
    const { datasetId } = await create(name);
    let reserving: Promise<unknown> = Promise.resolve();
    await inTransaction(async (client) => {
      await lockDataset(client, projectId, { name });
      reserving = reserve(name);
      await waitForLock(client);
      await updateDataset(client, { projectId, ref: { name }, etag: "" }, { name: other });
    });
    const reserved = await reserving;
    expect(reserved).toMatchObject({ exists: false });
    expect(reserved).not.toMatchObject({ datasetId });
  });
});

describe("locking a dataset by name", () => {
  test("locks the dataset that has the name once the lock is granted", async () => {
    const [name, other, aside] = [newName(), newName(), newName()];
    await create(name);
    const heir = await create(other);
    let locking: Promise<unknown> = Promise.resolve();
    await inTransaction(async (client) => {
      await lockDataset(client, projectId, { name });
      locking = inTransaction(async (second) => {
        const { datasetId } = await lockDataset(second, projectId, { name });
        const free = await database.pool.query(
          "select from datasets where dataset_id = $1 for update skip locked",
          [datasetId],
        );
        return { datasetId, locked: free.rowCount === 0 };
      });
      await waitForLock(client);
      await updateDataset(client, { projectId, ref: { name }, etag: "" }, { name: aside });
      await updateDataset(client, { projectId, ref: { name: other }, etag: "" }, { name });
    });
    expect(await locking).toEqual({ datasetId: heir.datasetId, locked: true });
  });

  test("finds nothing if the dataset was deleted meanwhile", async () => {
    const name = newName();
    const { datasetId } = await create(name);
    let locking: Promise<unknown> = Promise.resolve();
    await inTransaction(async (client) => {
      await lockDataset(client, projectId, { name });
      locking = inTransaction((second) => lockDataset(second, projectId, { name }));
      locking.catch(() => undefined);
      await waitForLock(client);
      await client.query("delete from dataset_names where dataset_id = $1", [datasetId]);
      await client.query("delete from dataset_table_names where dataset_id = $1", [datasetId]);
      await client.query("delete from datasets where dataset_id = $1", [datasetId]);
    });
    await expect(locking).rejects.toMatchObject({ reason: "DATASET_NOT_FOUND", facts: { name } });
  });
});

describe("a dataset of another project", () => {
  test("is not found, by name or id", async () => {
    const name = newName();
    const { datasetId } = await create(name);
    expect(await findDataset(database.pool, projectNamed("other"), { name })).toBeUndefined();
    expect(await findDataset(database.pool, projectNamed("other"), { datasetId })).toBeUndefined();
    expect(await findReservedDataset(database.pool, projectNamed("other"), { datasetId })).toBeUndefined();
  });
});

describe("generated table names", () => {
  test("are numbered, and a freed one is used again", async () => {
    const names = ["Sales!", "Sales?", "SALES", "sales"];
    const created = [];
    for (const name of names) created.push(await create(name));
    expect(created.map((one) => one.tableName)).toEqual(["sales", "sales_2", "sales_3", "sales_4"]);
    await remove(created[1]?.datasetId ?? "");
    expect((await create("sales.")).tableName).toBe("sales_2");
  });

  test("of 20 datasets created at once are 20", async () => {
    const created = await Promise.all(
      Array.from({ length: 20 }, (_, at) => create(`At once${"!".repeat(at)}`)),
    );
    expect(new Set(created.map((one) => one.tableName)).size).toBe(20);
  });
});
