import type { Client } from "@connectrpc/connect";
import type * as grpc from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { DatasetVersion } from "../../gen/itembank/v1/dataset_pb.js";
import { DatasetService, type WatchDatasetResponse } from "../../gen/itembank/v1/dataset_service_pb.js";
import { ItemService } from "../../gen/itembank/v1/item_service_pb.js";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";
import { newGrpcJsClient } from "../support/grpc-js.ts";
import { invalid, refusalOf, refused } from "../support/refusal.ts";
import { startTestService, type TestService } from "../support/service.ts";
import { settled } from "../support/settled.ts";
import { addVersion, addVersions } from "./history.ts";

let database: TestDatabase;
/** Two services on one database, whose heartbeats come too late for the tests, and one with quick heartbeats. */
let service: TestService;
let other: TestService;
let hasty: TestService;
let datasets: Client<typeof DatasetService>;
beforeAll(async () => {
  database = await newTestDatabase();
  [service, other, hasty] = (await Promise.all(
    [3600, 3600, 1].map((heartbeatSeconds) => startTestService({ database, config: { heartbeatSeconds } })),
  )) as [TestService, TestService, TestService];
  datasets = service.client(DatasetService);
});
afterAll(async () => {
  await Promise.all([service.close(), other.close(), hasty.close()]);
  await database.drop();
});

type DatasetRef = { readonly by: { readonly case: "datasetId"; readonly value: string } };

let names = 0;

/** A dataset with this many versions, all of them without items. */
async function withVersions(count: number): Promise<DatasetRef> {
  const { dataset } = await datasets.createDataset({ dataset: { name: `watched ${++names}` } });
  const datasetId = dataset?.datasetId ?? "";
  for (let n = 0; n < count; n++) await addVersion(database.pool, datasetId);
  return { by: { case: "datasetId", value: datasetId } };
}

/** Publishes a version through a service: one more item. */
const publish = (dataset: DatasetRef, itemId: string, through = service) =>
  through.client(ItemService).createItem({ dataset, item: { itemId, inputJson: "1" }, note: itemId });

/** Watches in the background. */
function watch(
  dataset: DatasetRef,
  { afterVersion = 0n, through = service }: { afterVersion?: bigint; through?: TestService } = {},
) {
  const frames: WatchDatasetResponse["frame"][] = [];
  const leaving = new AbortController();
  const stream = through
    .client(DatasetService)
    .watchDataset({ dataset, afterVersion }, { signal: leaving.signal });
  const over = (async () => {
    for await (const { frame } of stream) frames.push(frame);
  })();
  const refusal = refusalOf(over);
  refusal.catch(() => undefined);
  const versions = () => frames.flatMap((frame) => (frame.case === "version" ? [frame.value] : []));
  const heartbeats = () => frames.flatMap((frame) => (frame.case === "heartbeat" ? [frame.value] : []));
  return { frames, versions, heartbeats, refusal, leave: () => leaving.abort() };
}

type Watch = ReturnType<typeof watch>;

const numbers = (versions: readonly Pick<DatasetVersion, "version">[]) =>
  versions.map(({ version }) => Number(version));

const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, n) => first + n);

const caughtUp = (one: Watch) => vi.waitFor(() => expect(one.heartbeats().length).toBeGreaterThan(0), 10_000);

/** Connections that listen for changes on this database. */
async function listeners(): Promise<number> {
  const { rows } = await database.pool.query<{ count: bigint }>(
    "select count(*) from pg_stat_activity where datname = current_database() and query like 'listen versions%'",
  );
  return Number(rows[0]?.count);
}

describe("WatchDataset", () => {
  test("streams what exists, in order, then a heartbeat, then new versions", async () => {
    const dataset = await withVersions(0);
    await publish(dataset, "a");
    await publish(dataset, "b");
    await datasets.tagVersion({ dataset, tag: "prod" });
    const watcher = watch(dataset);
    await caughtUp(watcher);
    expect(watcher.frames.map((frame) => frame.case)).toEqual(["version", "version", "heartbeat"]);
    expect(watcher.heartbeats()).toMatchObject([{ latestVersion: 2n }]);
    await publish(dataset, "c");
    await vi.waitFor(() => expect(numbers(watcher.versions())).toEqual([1, 2, 3]));
    const { versions } = await datasets.listVersions({ dataset });
    expect(watcher.versions()).toEqual(versions.toReversed());
    expect(watcher.versions()[1]?.tags).toMatchObject([{ tag: "prod" }]);
    watcher.leave();
    expect((await watcher.refusal).code).toBe("Canceled");
  });

  test("begins after the version that the caller knows, also on an empty dataset", async () => {
    const dataset = await withVersions(250);
    for (const [afterVersion, first] of [
      [0n, 1],
      [100n, 101],
      [249n, 250],
      [250n, 251],
    ] as const) {
      const watcher = watch(dataset, { afterVersion });
      await caughtUp(watcher);
      expect(numbers(watcher.versions())).toEqual(range(first, 250));
      expect(watcher.heartbeats()[0]?.latestVersion).toBe(250n);
      watcher.leave();
      await watcher.refusal;
    }
    const empty = watch(await withVersions(0));
    await caughtUp(empty);
    expect(empty.frames).toMatchObject([{ case: "heartbeat", value: { latestVersion: 0n } }]);
    empty.leave();
  });

  test("sends each of 200 versions once and in order to 20 watchers of two services, however often they reconnect", async () => {
    const dataset = await withVersions(0);
    const whole = Array.from({ length: 20 }, (_, n) => watch(dataset, { through: n % 2 ? service : other }));
    await Promise.all(whole.map(caughtUp));
    const seen: number[] = [];
    const resuming = (async () => {
      while (seen.length < 200) {
        const cut = new AbortController();
        const request = { dataset, afterVersion: BigInt(seen.at(-1) ?? 0) };
        let frames = 0;
        for await (const { frame } of datasets.watchDataset(request, { signal: cut.signal })) {
          if (frame.case === "version") seen.push(Number(frame.value.version));
          if (++frames === 7 || seen.length === 200) break;
        }
        cut.abort();
      }
    })();
    await Promise.all(range(1, 200).map((n) => publish(dataset, `i${n}`, n % 2 ? service : other)));
    await vi.waitFor(() => expect(whole.every((one) => one.versions().length === 200)).toBe(true), 20_000);
    await resuming;
    for (const one of whole) expect(numbers(one.versions())).toEqual(range(1, 200));
    expect(seen).toEqual(range(1, 200));
    for (const one of whole) one.leave();
    await Promise.all(whole.map((one) => one.refusal));
    await vi.waitFor(async () => expect(await listeners()).toBe(0));
  });

  test("is woken by a publisher on another server at once", async () => {
    const dataset = await withVersions(0);
    const watcher = watch(dataset);
    await caughtUp(watcher);
    await publish(dataset, "a", other);
    await vi.waitFor(() => expect(numbers(watcher.versions())).toEqual([1]), 10_000);
    watcher.leave();
    await watcher.refusal;
  });

  test("is not woken by a write that changed nothing or was undone", async () => {
    const dataset = await withVersions(0);
    const watcher = watch(dataset);
    await caughtUp(watcher);
    await publish(dataset, "a");
    await refusalOf(publish(dataset, "a"));
    await service.client(ItemService).deleteItem({ dataset, itemId: "b" });
    await publish(dataset, "c");
    await vi.waitFor(() => expect(numbers(watcher.versions())).toEqual([1, 2]));
    watcher.leave();
    await watcher.refusal;
  });

  test("continues without a gap when the listening connection is cut", async () => {
    const dataset = await withVersions(0);
    const watcher = watch(dataset);
    await caughtUp(watcher);
    await vi.waitFor(async () => expect(await listeners()).toBe(1));
    await database.pool.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query like 'listen %'",
    );
    for (const n of range(1, 5)) await publish(dataset, `i${n}`, other);
    await vi.waitFor(() => expect(numbers(watcher.versions())).toEqual(range(1, 5)), 10_000);
    watcher.leave();
    await watcher.refusal;
  });

  test("finds versions without a notification by the next heartbeat", async () => {
    const dataset = await withVersions(0);
    const watcher = watch(dataset, { through: hasty });
    await caughtUp(watcher);
    await addVersion(database.pool, dataset.by.value);
    await vi.waitFor(() => expect(numbers(watcher.versions())).toEqual([1]), 10_000);
    watcher.leave();
    await watcher.refusal;
  });

  test("repeats heartbeats while there is nothing new, and never sends one before a new version", async () => {
    const dataset = await withVersions(3);
    const watcher = watch(dataset, { afterVersion: 1n, through: hasty });
    await vi.waitFor(() => expect(watcher.heartbeats().length).toBeGreaterThan(2), 10_000);
    await publish(dataset, "a", hasty);
    await vi.waitFor(() => expect(watcher.heartbeats().at(-1)?.latestVersion).toBe(4n), 10_000);
    let last = 1n;
    for (const frame of watcher.frames) {
      if (frame.case === "version") last = frame.value.version;
      else expect(frame.value).toMatchObject({ latestVersion: last });
    }
    const times = watcher
      .heartbeats()
      .map(({ serverTime }) => Number(serverTime?.seconds) * 1e9 + Number(serverTime?.nanos));
    expect(times).toEqual(times.toSorted((one, another) => one - another));
    watcher.leave();
    await watcher.refusal;
  });

  test("queries the database a few times for 500 watchers, not once for each", async () => {
    const dataset = await withVersions(0);
    const watchers = Array.from({ length: 500 }, () => watch(dataset));
    await Promise.all(watchers.map(caughtUp));
    const asked = vi.spyOn(service.resources.pool, "query");
    await publish(dataset, "a");
    await vi.waitFor(() => expect(watchers.every((one) => one.versions().length === 1)).toBe(true), 10_000);
    const statements = asked.mock.calls.length;
    asked.mockRestore();
    expect(statements).toBeLessThan(20);
    for (const one of watchers) one.leave();
    await Promise.all(watchers.map((one) => one.refusal));
  });

  test("waits for a slow watcher, and buffers nothing for it", async () => {
    const dataset = await withVersions(0);
    const count = 1_500;
    await addVersions(database.pool, dataset.by.value, count, "n".repeat(1_024));
    const client = newGrpcJsClient(DatasetService, service.address);
    const asked = vi.spyOn(service.resources.pool, "query");
    const stream = client.WatchDataset?.({ dataset }) as grpc.ClientReadableStream<WatchDatasetResponse>;
    const seen: number[] = [];
    stream.on("error", () => undefined);
    stream.on("data", ({ frame }: WatchDatasetResponse) => {
      if (frame.case === "version") seen.push(Number(frame.value.version));
    });
    stream.pause();
    const whilePaused = await settled(() => asked.mock.calls.length);
    await publish(dataset, "late");
    stream.resume();
    await vi.waitFor(() => expect(seen.length).toBe(count + 1), 10_000);
    const inAll = asked.mock.calls.length;
    asked.mockRestore();
    stream.cancel();
    client.close();
    expect(seen).toEqual(range(1, count + 1));
    expect(whilePaused).toBeLessThan(inAll);
  });

  test("ends when the dataset is deleted, and does not follow its name to another", async () => {
    const dataset = await withVersions(2);
    const watcher = watch(dataset);
    const elsewhere = watch(dataset, { through: other });
    await Promise.all([caughtUp(watcher), caughtUp(elsewhere)]);
    await datasets.deleteDataset({ dataset });
    const notFound = refused("NotFound", "DATASET_NOT_FOUND", { dataset_id: dataset.by.value });
    expect(await watcher.refusal).toEqual(notFound);
    expect(await elsewhere.refusal).toEqual(notFound);
  });

  test("ends when the service stops", async () => {
    const dataset = await withVersions(1);
    const stopped = await startTestService({ database });
    const watcher = watch(dataset, { through: stopped });
    await caughtUp(watcher);
    await stopped.close();
    expect(await watcher.refusal).toEqual(refused("Unavailable", "SHUTTING_DOWN"));
  });

  test("releases its connections when its client leaves", async () => {
    const dataset = await withVersions(1);
    const watcher = watch(dataset);
    await caughtUp(watcher);
    await vi.waitFor(async () => expect(await listeners()).toBe(1));
    watcher.leave();
    await watcher.refusal;
    await vi.waitFor(async () => expect(await listeners()).toBe(0));
  });

  test("refuses versions that do not exist, and datasets that do not exist or are not named", async () => {
    const dataset = await withVersions(2);
    for (const afterVersion of [-1n, 3n, 2n ** 62n, -(2n ** 63n)]) {
      expect(await refusalOf(datasets.watchDataset({ dataset, afterVersion }))).toEqual(
        refused("NotFound", "VERSION_NOT_FOUND", { version: `${afterVersion}`, latest_version: "2" }),
      );
    }
    const nowhere = { by: { case: "name", value: "nowhere" } } as const;
    expect(await refusalOf(datasets.watchDataset({ dataset: nowhere }))).toEqual(
      refused("NotFound", "DATASET_NOT_FOUND", { name: "nowhere" }),
    );
    expect(await refusalOf(datasets.watchDataset({}))).toEqual(invalid("dataset"));
  });
});
