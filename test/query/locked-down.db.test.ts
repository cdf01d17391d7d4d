import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { refusalOf } from "../support/refusal.ts";
import { escapes } from "./escapes.ts";
import { item, type QueryServiceUnderTest, startQueryService } from "./query-service.ts";

let service: QueryServiceUnderTest;
let folder = "";

beforeAll(async () => {
  service = await startQueryService();
  folder = await mkdtemp(join(tmpdir(), "itembank-escape-"));
  await writeFile(join(folder, "data.csv"), "a,b\n1,2\n");
  await service.mirror("secrets", [item("a", { word: "sesame" })]);
});

afterAll(async () => {
  await service.close();
  await rm(folder, { recursive: true, force: true });
});

describe("SQL", () => {
  test("is attacked in many different ways", () => {
    expect(escapes.length).toBeGreaterThan(120);
    expect(new Set(escapes).size).toBe(escapes.length);
  });

  test.each(escapes)("refuses %s", async (attempt) => {
    const sql = attempt.replaceAll("{path}", join(folder, "data.csv"));
    const refusal = await refusalOf(service.queries.query({ sql }));
    expect(refusal).toMatchObject({ code: "InvalidArgument", reason: "INVALID_SQL" });
    expect(refusal.metadata.problem).not.toBe("");
    // Errors contain nothing that the service keeps to itself.
    expect(JSON.stringify(refusal)).not.toMatch(/parquet'|snapshots|\.itembank|itembank-test/);
  });

  test("still works after all of that", async () => {
    expect(await service.rows("select word from datasets.secrets")).toEqual([["sesame"]]);
  });

  test("does not reveal where tables are stored", async () => {
    const answer = await service.query("select * from datasets.secrets limit 0");
    expect(answer.columns.map((column) => column.split(" ")[0])).not.toContain("filename");
    const refusal = await refusalOf(service.queries.query({ sql: "select filename from datasets.secrets" }));
    expect(refusal.reason).toBe("INVALID_SQL");
  });
});
