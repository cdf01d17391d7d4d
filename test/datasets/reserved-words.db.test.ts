import { afterAll, beforeAll, expect, test } from "vitest";
import { isReservedWord } from "../../src/datasets/reserved-words.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await newTestDatabase();
});
afterAll(() => database.drop());

test("every word that this PostgreSQL reserves is a reserved word", async () => {
  const { rows } = await database.pool.query<{ word: string }>(
    "select word from pg_get_keywords() where catcode in ('R', 'T')",
  );
  expect(rows.length).toBeGreaterThan(90);
  expect(rows.filter(({ word }) => !isReservedWord(word))).toEqual([]);
});
