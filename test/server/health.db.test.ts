import { rm } from "node:fs/promises";
import * as grpc from "@grpc/grpc-js";
import { service } from "grpc-health-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readConfig } from "../../src/config.ts";
import { newLog } from "../../src/log.ts";
import { startServer } from "../../src/server/start-server.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";
import { startTestService, testConfig } from "../support/service.ts";
import { unfinishedRequest } from "../support/unfinished-request.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await newTestDatabase();
});
afterAll(() => database.drop());

/** Returns a client from the package that publishes the protocol. */
function healthClient(address: string) {
  const Health = grpc.makeClientConstructor(service, "Health");
  const client = new Health(address, grpc.credentials.createInsecure());
  return {
    check: (name: string) =>
      new Promise<string>((resolve, reject) => {
        client.check?.({ service: name }, (error: grpc.ServiceError | null, answer: { status: string }) =>
          error ? reject(error) : resolve(answer.status),
        );
      }),
    list: () =>
      new Promise<Record<string, { status: string }>>((resolve, reject) => {
        client.list?.(
          {},
          (error: grpc.ServiceError | null, answer: { statuses: Record<string, { status: string }> }) =>
            error ? reject(error) : resolve(answer.statuses),
        );
      }),
    watch: (name: string): grpc.ClientReadableStream<{ status: string }> => client.watch?.({ service: name }),
    close: () => client.close(),
  };
}

/** Returns a function that reads the statuses of a watch one by one. */
function statuses(watch: grpc.ClientReadableStream<{ status: string }>): () => Promise<string | undefined> {
  const iterator = watch[Symbol.asyncIterator]();
  return async () => (await iterator.next()).value?.status;
}

describe("health", () => {
  test("is SERVING for the server and for each of its services", async () => {
    const server = await startTestService({ database });
    const client = healthClient(server.address);
    expect(await client.check("")).toBe("SERVING");
    expect(await client.check("itembank.v1.ItemService")).toBe("SERVING");
    expect(await client.list()).toMatchObject({
      "": { status: "SERVING" },
      "itembank.v1.UpsertService": { status: "SERVING" },
      "grpc.health.v1.Health": { status: "SERVING" },
    });
    client.close();
    await server.close();
  });

  test("of an unknown service is NOT_FOUND, and SERVICE_UNKNOWN to a watch", async () => {
    const server = await startTestService({ database });
    const client = healthClient(server.address);
    await expect(client.check("itembank.v1.Nothing")).rejects.toMatchObject({ code: grpc.status.NOT_FOUND });
    const watch = client.watch("itembank.v1.Nothing");
    expect(await statuses(watch)()).toBe("SERVICE_UNKNOWN");
    watch.destroy();
    client.close();
    await server.close();
  });

  test("is NOT_SERVING and calls are UNAVAILABLE until the database is ready", async () => {
    // Migrations wait for this lock.
    const holder = await database.pool.connect();
    await holder.query("begin; lock table migrations in access exclusive mode");
    let listening: (address: string) => void = () => undefined;
    const address = new Promise<string>((resolve) => {
      listening = resolve;
    });
    const config = { ...readConfig({}), ...testConfig(database) };
    const starting = startServer({
      config,
      log: newLog("silent"),
      onListening: ({ host, port }) => listening(`${host}:${port}`),
    });

    const client = healthClient(await address);
    const next = statuses(client.watch(""));
    expect(await next()).toBe("NOT_SERVING");
    expect(await client.check("itembank.v1.ItemService")).toBe("NOT_SERVING");
    const info = await fetch(`http://${await address}/itembank.v1.SystemService/GetServerInfo`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    expect(info.status).toBe(503);
    expect(await info.json()).toMatchObject({ code: "unavailable" });

    await holder.query("commit");
    holder.release();
    const server = await starting;
    expect(await next()).toBe("SERVING");
    client.close();
    await server.close();
    await rm(config.dataDir, { recursive: true, force: true });
  });

  test("turns NOT_SERVING when the service stops, for watches and checks", async () => {
    const server = await startTestService({ database });
    const client = healthClient(server.address);
    const next = statuses(client.watch("itembank.v1.RunService"));
    expect(await next()).toBe("SERVING");
    // An incomplete request keeps the service from stopping at once.
    const unfinished = await unfinishedRequest(`${server.url}/itembank.v1.SystemService/GetServerInfo`);

    const stopped = server.close();
    expect(await next()).toBe("NOT_SERVING");
    expect(await client.check("")).toBe("NOT_SERVING");
    unfinished.destroy();
    await stopped;
    client.close();
  });
});
