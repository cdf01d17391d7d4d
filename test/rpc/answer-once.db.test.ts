import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type DatasetService,
  datasetService,
  invalid,
  newName,
  refusalOf,
} from "../datasets/dataset-service.ts";
import { addRun } from "../datasets/rows.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";
import { addVersion } from "../versions/history.ts";

let database: TestDatabase;
let service: DatasetService;
beforeAll(async () => {
  database = await newTestDatabase();
  service = await datasetService(database.pool);
});
afterAll(() => database.drop());

describe("a call with a request_id", () => {
  test("has one effect, made 20 times at once, and one answer", async () => {
    const name = newName();
    const requestId = randomUUID();
    const answers = await Promise.all(Array.from({ length: 20 }, () => service.create({ name }, requestId)));
    for (const answer of answers) expect(answer).toEqual(answers[0]);
    const later = await service.create({ name }, requestId.toUpperCase());
    expect(later).toEqual(answers[0]);
  });

  test("returns the first answer whatever has changed since", async () => {
    const dataset = await service.create();
    const requestId = randomUUID();
    const request = { patch: { description: "first", etag: dataset.etag }, requestId };
    const first = await service.update(dataset, request);
    await service.update(dataset, { patch: { description: "second" } });
    expect(await service.update(dataset, request)).toEqual(first);
    expect((await service.get(dataset.datasetId)).description).toBe("second");
  });

  test("is refused with other content or for another method", async () => {
    const requestId = randomUUID();
    const dataset = await service.create({}, requestId);
    const reused = {
      code: "InvalidArgument",
      reason: "REQUEST_ID_REUSED",
      metadata: { request_id: requestId },
    };
    expect(await refusalOf(service.create({}, requestId))).toEqual(reused);
    expect(await refusalOf(service.remove(dataset, { requestId }))).toEqual(reused);
  });

  test("that failed may be repeated", async () => {
    const [name, requestId] = [newName(), randomUUID()];
    const holder = await service.create({ name });
    expect((await refusalOf(service.create({ name }, requestId))).reason).toBe("DATASET_NAME_TAKEN");
    await service.remove(holder);
    expect((await service.create({ name }, requestId)).name).toBe(name);
  });

  test("is forgotten with the resource it wrote", async () => {
    const [name, requestId] = [newName(), randomUUID()];
    const first = await service.create({ name }, requestId);
    await service.remove(first);
    expect((await service.create({ name }, requestId)).datasetId).not.toBe(first.datasetId);
  });

  test("is remembered if it deleted the resource", async () => {
    const dataset = await service.create();
    await addVersion(database.pool, dataset.datasetId);
    await addRun(database.pool, dataset.datasetId);
    const requestId = randomUUID();
    for (let times = 0; times < 2; times++) {
      expect((await service.remove(dataset, { force: true, requestId })).deletedRunCount).toBe(1n);
    }
  });

  test("needs a UUID", async () => {
    expect(await refusalOf(service.create({}, "9f0c"))).toEqual(invalid("request_id"));
  });
});
