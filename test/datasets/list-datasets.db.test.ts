import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";
import { type DatasetService, datasetService, invalid, refusalOf } from "./dataset-service.ts";

let database: TestDatabase;
let service: DatasetService;
beforeAll(async () => {
  database = await newTestDatabase();
  service = await datasetService(database.pool);
});
afterAll(() => database.drop());

describe("ListDatasets", () => {
  /** Reads all pages, and does something between them. */
  async function listAll(namePrefix: string, pageSize: number, between: () => Promise<unknown>) {
    const names: string[] = [];
    for (let pageToken = ""; ; ) {
      const page = await service.client.listDatasets({ namePrefix, pageSize, pageToken });
      names.push(...page.datasets.map((dataset) => dataset.name));
      expect(page.datasets.length).toBeLessThanOrEqual(pageSize);
      if (page.nextPageToken === "") return names;
      pageToken = page.nextPageToken;
      await between();
    }
  }

  test.each([1, 2, 5, 6])(
    "shows each dataset once, newest first, in pages of %i while others write",
    async (size) => {
      const prefix = `page ${size} `;
      for (let number = 1; number <= 5; number++) await service.create({ name: `${prefix}${number}` });
      let written = 0;
      const names = await listAll(prefix, size, () => service.create({ name: `${prefix}more ${++written}` }));
      expect(names).toEqual([5, 4, 3, 2, 1].map((number) => `${prefix}${number}`));
    },
  );

  test("takes a prefix literally and by bytes", async () => {
    for (const name of ["p_a", "pXa", "P_a", "p%a", "p\\a"]) await service.create({ name });
    const listed = async (namePrefix: string) =>
      (await service.client.listDatasets({ namePrefix })).datasets.map((dataset) => dataset.name);
    expect(await listed("p_")).toEqual(["p_a"]);
    expect(await listed("p%")).toEqual(["p%a"]);
    expect(await listed("p\\")).toEqual(["p\\a"]);
    expect(await listed("p_ab")).toEqual([]);
  });

  test("lists 50 by default", async () => {
    await Promise.all(Array.from({ length: 51 }, (_, number) => service.create({ name: `many ${number}` })));
    const { datasets, nextPageToken } = await service.client.listDatasets({ namePrefix: "many " });
    expect(datasets).toHaveLength(50);
    expect(nextPageToken).not.toBe("");
    expect(
      (await service.client.listDatasets({ namePrefix: "many ", pageSize: 9999 })).datasets,
    ).toHaveLength(51);
  });

  test("refuses a token of another listing, and a negative page size", async () => {
    await service.create({ name: "token 1" });
    await service.create({ name: "token 2" });
    const { nextPageToken } = await service.client.listDatasets({ namePrefix: "token", pageSize: 1 });
    const invalidToken = {
      code: "InvalidArgument",
      reason: "INVALID_PAGE_TOKEN",
      metadata: { field: "page_token" },
    };
    const other = service.client.listDatasets({ namePrefix: "toke", pageSize: 1, pageToken: nextPageToken });
    expect(await refusalOf(other)).toEqual(invalidToken);
    expect(await refusalOf(service.client.listDatasets({ pageToken: "x" }))).toEqual(invalidToken);
    expect(await refusalOf(service.client.listDatasets({ pageSize: -1 }))).toEqual(invalid("page_size"));
  });
});
