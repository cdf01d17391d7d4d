import pg from "pg";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { newNotifications } from "../../src/db/notifications.ts";
import { newPool } from "../../src/db/pool.ts";
import { newLog } from "../../src/log.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await newTestDatabase();
});
afterAll(() => database.drop());

const log = newLog("silent");
const open = (channel: string) => newNotifications(database.pool, log, channel);

/** The number of connections that listen on a channel. */
async function listeners(channel: string): Promise<number> {
  const { rows } = await database.pool.query(
    "select from pg_stat_activity where datname = current_database() and query = $1",
    [`listen ${channel}`],
  );
  return rows.length;
}

describe("notifications", () => {
  test("reach followers on another server, except the one that made the change", async () => {
    await using here = open("two_servers");
    await using there = open("two_servers");
    const { signal } = new AbortController();
    using mine = here.subscribe("key", signal);
    using theirs = there.subscribe("key", signal);
    using others = there.subscribe("another key", signal);
    await expect.poll(() => listeners("two_servers")).toBe(2);
    // Connecting wakes all followers.
    for (const one of [mine, theirs, others]) await one.wait(10_000);
    here.notify("key", mine);
    await theirs.wait(10_000);
    for (const one of [mine, others]) {
      const begin = performance.now();
      await one.wait(100);
      expect(performance.now() - begin).toBeGreaterThan(90);
    }
  });

  test("that are disposed of first notify other servers of the last change", async () => {
    const told: string[] = [];
    const listener = new pg.Client(database.url);
    await listener.connect();
    listener.on("notification", ({ payload = "" }) => told.push(payload.split(" ")[1] ?? ""));
    await listener.query("listen last");

    // As in a service that stops, the connections are closed right after.
    const pool = newPool({ url: database.url, connections: 1, log });
    const notifications = newNotifications(pool, log, "last");
    notifications.notify("key");
    await notifications[Symbol.asyncDispose]();
    await pool.end();
    await expect.poll(() => told).toEqual(["key"]);
    await listener.end();
  });

  test("that are disposed of leave no connection", async () => {
    const notifications = open("leaving");
    using _ = notifications.subscribe("key", new AbortController().signal);
    await expect.poll(() => listeners("leaving")).toBe(1);
    const end = vi.spyOn(pg.Client.prototype, "end");
    await notifications[Symbol.asyncDispose]();
    expect(end.mock.settledResults).toMatchObject([{ type: "fulfilled" }]);
    end.mockRestore();
    expect(await listeners("leaving")).toBe(0);
  });

  test("that are disposed of wake all followers", async () => {
    const notifications = open("wakes");
    const subscription = notifications.subscribe("key", new AbortController().signal);
    await expect.poll(() => listeners("wakes")).toBe(1);
    await subscription.wait(10_000);
    const begin = performance.now();
    const waiting = subscription.wait(10_000);
    await notifications[Symbol.asyncDispose]();
    await waiting;
    expect(performance.now() - begin).toBeLessThan(5_000);
  });
});
