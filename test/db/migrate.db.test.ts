import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { migrate, NewerDatabaseError } from "../../src/db/migrate.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await newTestDatabase();
});
afterAll(() => database.drop());

describe("migrate", () => {
  test("twenty starts at once on an empty database all succeed, and one of them does the work", async () => {
    await database.pool.query("drop schema public cascade; create schema public");
    const ran = await Promise.all(Array.from({ length: 20 }, () => migrate(database.pool)));
    expect(ran.filter((names) => names.length > 0)).toHaveLength(1);
    expect(ran.flat()).toContain("0001_datasets");
  });

  test("a second run does nothing", async () => {
    expect(await migrate(database.pool)).toEqual([]);
  });

  test("a database of a newer release is refused", async () => {
    await database.pool.query("insert into migrations (number, name) values (9999, '9999_from_the_future')");
    await expect(migrate(database.pool)).rejects.toThrow(NewerDatabaseError);
    await expect(migrate(database.pool)).rejects.toThrow("9999_from_the_future");
    await database.pool.query("delete from migrations where number = 9999");
  });
});
