import { toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DatasetSchema } from "../../gen/itembank/v1/dataset_pb.js";
import { DatasetService, DatasetView } from "../../gen/itembank/v1/dataset_service_pb.js";
import { ItemService } from "../../gen/itembank/v1/item_service_pb.js";
import { RunService } from "../../gen/itembank/v1/run_service_pb.js";
import { limits } from "../../src/limits.ts";
import { startTestService, type TestService } from "../support/service.ts";
import { addItemHistory, addVersions } from "../versions/history.ts";

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.close());

/** Walks through a listing a thousand rows at a time, and returns the sizes of its pages. */
async function walk<T>(page: (pageToken: string) => Promise<{ rows: readonly T[]; next: string }>) {
  const pages: T[][] = [];
  for (let token = ""; ; ) {
    const { rows, next } = await page(token);
    pages.push([...rows]);
    if (next === "") return pages;
    token = next;
  }
}

/** A schema of nearly the largest legal size. */
const schema = `{"description":"${"s".repeat(Number(limits.maxSchemaBytes) - 100)}"}`;
const longNote = "\u{1f600}".repeat(1_024);

describe("a listing of rows of the largest legal size", () => {
  test("of datasets comes in pages that fit a message, and whole", async () => {
    const datasets = service.client(DatasetService);
    const namePrefix = "large rows";
    const count = 20;
    for (let n = 0; n < count; n++) {
      await datasets.createDataset({
        dataset: { name: `${namePrefix} ${n}`, inputSchemaJson: schema, expectedOutputSchemaJson: schema },
      });
    }
    const list = (view: DatasetView) =>
      walk(async (pageToken) => {
        const answer = await datasets.listDatasets({ namePrefix, pageSize: 1_000, pageToken, view });
        return { rows: answer.datasets, next: answer.nextPageToken };
      });
    const pages = await list(DatasetView.UNSPECIFIED);
    expect(pages.flat().map(({ name }) => name)).toEqual(
      Array.from({ length: count }, (_, n) => `${namePrefix} ${count - 1 - n}`),
    );
    expect(pages.flat().every(({ inputSchemaJson }) => inputSchemaJson === schema)).toBe(true);
    for (const page of pages) {
      const bytes = page.reduce((sum, dataset) => sum + toBinary(DatasetSchema, dataset).length, 0);
      expect(bytes).toBeLessThanOrEqual(limits.maxBatchBytes);
    }
    // Five or six datasets of half a megabyte fit.
    expect(pages.length).toBeLessThanOrEqual(Math.ceil(count / 5));

    const [basic, ...others] = await list(DatasetView.BASIC);
    expect(others).toEqual([]);
    expect(basic?.map(({ name }) => name)).toEqual(pages.flat().map(({ name }) => name));
    expect(basic?.every((one) => one.inputSchemaJson === "" && one.expectedOutputSchemaJson === "")).toBe(
      true,
    );
  });

  test("of versions and of the history of an item, with the longest notes", async () => {
    const datasets = service.client(DatasetService);
    const { dataset } = await datasets.createDataset({ dataset: { name: "long notes" } });
    const { pool } = service.database;
    const datasetId = dataset?.datasetId ?? "";
    await addItemHistory(pool, datasetId, ["a"], 500, longNote);
    await addVersions(pool, datasetId, 1_000, longNote);
    const ref = { by: { case: "datasetId", value: datasetId } } as const;
    const versions = await walk(async (pageToken) => {
      const answer = await datasets.listVersions({ dataset: ref, pageSize: 1_000, pageToken });
      return { rows: answer.versions, next: answer.nextPageToken };
    });
    expect(versions.flat().map(({ version }) => Number(version))).toEqual(
      Array.from({ length: 1_500 }, (_, n) => 1_500 - n),
    );
    expect(versions.length).toBeGreaterThan(1);
    const revisions = await walk(async (pageToken) => {
      const answer = await service
        .client(ItemService)
        .listItemRevisions({ dataset: ref, itemId: "a", pageSize: 1_000, pageToken });
      return { rows: answer.revisions, next: answer.nextPageToken };
    });
    expect(revisions.flat()).toHaveLength(500);
  });

  test("of runs, with the longest descriptions and metadata", async () => {
    const name = "runs of large rows";
    await service.client(DatasetService).createDataset({ dataset: { name } });
    const dataset = { by: { case: "name", value: name } } as const;
    await service.client(ItemService).createItem({ dataset, item: { itemId: "a", inputJson: "1" } });
    const runs = service.client(RunService);
    const metadataJson = JSON.stringify({ text: "m".repeat(64 * 1024 - 100) });
    for (let n = 0; n < 60; n++) {
      await runs.createRun({
        dataset,
        run: { name: `run ${n}`, description: "😀".repeat(4_096), metadataJson },
      });
    }
    const pages = await walk(async (pageToken) => {
      const answer = await runs.listRuns({ dataset, pageSize: 1_000, pageToken });
      return { rows: answer.runs, next: answer.nextPageToken };
    });
    expect(pages.flat().map((run) => run.name)).toEqual(
      Array.from({ length: 60 }, (_, n) => `run ${59 - n}`),
    );
    expect(pages.length).toBeGreaterThan(1);
  });
});
