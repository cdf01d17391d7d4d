import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Engine, type EngineOptions, openEngine, quoted } from "../../src/db/duckdb.ts";

let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "itembank-engine-"));
  await writeFile(join(folder, "it's.csv"), "a,b\n1,2\n");
  await writeFile(join(folder, "other.csv"), "a,b\n1,2\n");
});

afterAll(() => rm(folder, { recursive: true, force: true }));

const open = (options: Partial<EngineOptions> = {}) =>
  openEngine({
    memoryBytes: 128 * 1024 * 1024,
    threads: 1,
    spillFolder: join(folder, "spill"),
    spillBytes: 1024 ** 3,
    files: [join(folder, "it's.csv")],
    ...options,
  });

async function rowsOf(engine: Engine, sql: string) {
  const connection = await engine.connect();
  try {
    return (await connection.runAndReadAll(sql)).getRowsJson();
  } finally {
    connection.closeSync();
  }
}

describe("an engine", () => {
  test("reads the allowed files, whatever their names", async () => {
    await using engine = await open();
    const sql = `select * from read_csv(${quoted(join(folder, "it's.csv"))})`;
    expect(await rowsOf(engine, sql)).toEqual([["1", "2"]]);
  });

  test.each([
    ["other files", () => `select * from read_csv(${quoted(join(folder, "other.csv"))})`],
    ["files by name alone", () => `select * from ${JSON.stringify(join(folder, "other.csv"))}`],
    ["folders", () => `select * from glob(${quoted(join(folder, "*"))})`],
    ["files as text", () => "select * from read_text('/etc/hostname')"],
    ["the network", () => "select * from read_csv('https://localhost/a.csv')"],
    ["extensions", () => "install httpfs"],
    ["loading extensions", () => "load httpfs"],
    ["settings", () => "set memory_limit = '100GB'"],
    ["external access", () => "set enable_external_access = true"],
    ["other databases", () => `attach ${quoted(join(folder, "new.db"))}`],
    ["writing files", () => `copy (select 1) to ${quoted(join(folder, "new.csv"))}`],
  ])("lets no statement use %s", async (_, sql) => {
    await using engine = await open();
    await expect(rowsOf(engine, sql())).rejects.toThrow();
    expect((await readdir(folder)).filter((name) => name.startsWith("new"))).toEqual([]);
  });

  test("spills data that does not fit into memory, within its folder", async () => {
    await using engine = await open();
    const sql = "select count(distinct i || repeat('x', 40)) from range(2000000) as t (i)";
    expect(await rowsOf(engine, sql)).toEqual([["2000000"]]);
  });

  test("fails where neither memory nor spilling suffices", async () => {
    await using engine = await open();
    const sql = "select length(string_agg(repeat('x', 1000) || i, ',')) from range(1000000) as t (i)";
    await expect(rowsOf(engine, sql)).rejects.toThrow(/memory/i);
  });
});
