import type { DescMethod, JsonObject } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { DatasetService } from "../../gen/itembank/v1/dataset_service_pb.js";
import { ItemService } from "../../gen/itembank/v1/item_service_pb.js";
import { RunService } from "../../gen/itembank/v1/run_service_pb.js";
import { UploadService } from "../../gen/itembank/v1/upload_service_pb.js";
import { UpsertService } from "../../gen/itembank/v1/upsert_service_pb.js";
import type { Pool } from "../../src/db/pool.ts";
import type { TestService } from "../support/service.ts";
import { addItemHistory, addVersions } from "../versions/history.ts";

/** Entries to list, set up for one test. */
export interface Listing {
  /** Unique ids of the initial entries, in the order of the listing. */
  readonly ids: readonly string[];
  /** The request without page_size and page_token or cursor. */
  readonly request: JsonObject;
  /** Requests that list something else, by their difference: they do not accept tokens of this listing. */
  readonly others: Readonly<Record<string, JsonObject>>;
  /** Adds entries at all possible positions: before, between and after the others. Deletes those it added before. */
  readonly write: () => Promise<unknown>;
}

/** A call that is paged, or a stream that is resumed, by a token. */
export interface PagedCall {
  readonly method: DescMethod;
  /** Whether writes after the first page are never visible; otherwise they may be. */
  readonly isFrozen: boolean;
  /** Whether there is always an entry to list; otherwise a listing may be empty. */
  readonly isNeverEmpty?: boolean;
  /** Returns the ids on a page or in a frame of a stream. */
  readonly idsOf: (page: JsonObject) => string[];
  /** Sets up `count` entries; a few large ones suffice for streams, whose frames are full at 3 MiB. */
  readonly setUp: (service: TestService, count: number) => Promise<Listing>;
}

/** All paged or resumable calls. A call that is added to the service must be added here. */
export const pagedCalls: readonly PagedCall[] = [
  {
    method: DatasetService.method.listDatasets,
    isFrozen: false,
    idsOf: (page) => texts(page.datasets, "datasetId"),
    async setUp(service, count) {
      const datasets = service.client(DatasetService);
      const namePrefix = newName();
      const create = async (n: number) => {
        const { dataset } = await datasets.createDataset({ dataset: { name: `${namePrefix} ${n}` } });
        return { id: dataset?.datasetId ?? "", createTime: dataset?.createTime };
      };
      const ids = newestFirst(await createAll(count, create));
      let added = "";
      return {
        ids,
        request: { namePrefix },
        others: { "another prefix": { namePrefix: namePrefix.slice(1) }, "no prefix": {} },
        async write() {
          if (added !== "") await datasets.deleteDataset({ dataset: identified(added) });
          added = (await create(count)).id;
        },
      };
    },
  },
  {
    method: DatasetService.method.listVersions,
    isFrozen: false,
    idsOf: (page) => texts(page.versions, "version"),
    async setUp(service, count) {
      const datasetId = await newDataset(service);
      await addVersions(service.database.pool, datasetId, count);
      return {
        ids: Array.from({ length: count }, (_, n) => `${count - n}`),
        request: { dataset: { datasetId } },
        others: {
          "another dataset": { dataset: { datasetId: await newDataset(service) } },
          "tagged versions alone": { dataset: { datasetId }, taggedOnly: true },
        },
        write: () => addVersions(service.database.pool, datasetId, 1),
      };
    },
  },
  {
    method: DatasetService.method.diffVersions,
    isFrozen: true,
    idsOf: (frame) => texts((frame.batch as JsonObject | undefined)?.changes, "itemId"),
    async setUp(service, count) {
      const { request, others, ...listing } = await setUpItems(service, numbered(count, "x".repeat(900_000)));
      const between = { ...request, before: { version: "0" } };
      return {
        ...listing,
        request: between,
        others: {
          "another dataset": { ...others["another dataset"], before: { version: "0" } },
          "another version before": { ...request, before: { version: "1" } },
          "the other way round": { ...request, before: { version: "1" }, after: { version: "0" } },
          "a version after by its number": { ...between, after: { version: "1" } },
          "keys alone": { ...between, view: "ITEM_VIEW_KEYS" },
        },
      };
    },
  },
  {
    method: ItemService.method.listItems,
    isFrozen: true,
    idsOf: (page) => texts(page.items, "itemId"),
    setUp: (service, count) => setUpItems(service, numbered(count)),
  },
  {
    method: ItemService.method.streamItems,
    isFrozen: true,
    idsOf: (frame) => texts((frame.batch as JsonObject | undefined)?.items, "itemId"),
    setUp: (service, count) => setUpItems(service, numbered(count, "x".repeat(900_000))),
  },
  {
    method: ItemService.method.listItemRevisions,
    isFrozen: false,
    isNeverEmpty: true,
    idsOf: (page) => texts(page.revisions, "version"),
    async setUp(service, count) {
      const datasetId = await newDataset(service);
      await addItemHistory(service.database.pool, datasetId, ["x", "y"], count);
      const upserts = service.client(UpsertService);
      let written = 0;
      return {
        ids: Array.from({ length: count }, (_, n) => `${count - n}`),
        request: { dataset: { datasetId }, itemId: "x" },
        others: {
          "another item": { dataset: { datasetId }, itemId: "y" },
          "another dataset": { dataset: { datasetId: await newDataset(service) }, itemId: "x" },
        },
        write: () =>
          upserts.upsertItems({
            dataset: identified(datasetId),
            items: [{ itemId: "x", inputJson: `"written ${++written}"` }],
          }),
      };
    },
  },
  {
    method: RunService.method.listRuns,
    isFrozen: false,
    idsOf: (page) => texts(page.runs, "runId"),
    async setUp(service, count) {
      const datasetId = await newDataset(service, numbered(1));
      const runs = service.client(RunService);
      const create = async () => {
        const { run } = await runs.createRun({ dataset: identified(datasetId), run: { targetId: "t" } });
        return { id: run?.runId ?? "", createTime: run?.createTime };
      };
      const ids = newestFirst(await createAll(count, create));
      const request = { dataset: { datasetId } };
      let added = "";
      return {
        ids,
        request,
        others: {
          "all datasets": {},
          "another dataset": { dataset: { datasetId: await newDataset(service) } },
          "one version": { ...request, datasetVersion: "1" },
          "some states": { ...request, states: ["STATE_PENDING"] },
          "a label": { ...request, label: "prod" },
          "one target": { ...request, targetId: "t" },
        },
        async write() {
          if (added !== "") await runs.deleteRun({ runId: added });
          added = (await create()).id;
        },
      };
    },
  },
  {
    method: RunService.method.listResults,
    isFrozen: false,
    idsOf: (page) => texts(page.results, "itemId"),
    async setUp(service, count) {
      const { runs, runId, ids, gaps, record } = await setUpRun(service, count);
      await record(ids);
      const { run: another } = await runs.createRun({ dataset: gaps.dataset, run: {} });
      const added: string[] = [];
      return {
        ids,
        request: { runId },
        others: {
          "another run": { runId: another?.runId ?? "" },
          "one item": { runId, itemId: ids[0] ?? "" },
          "errors alone": { runId, outcome: "OUTCOME_FILTER_FAILED" },
          "successes alone": { runId, outcome: "OUTCOME_FILTER_SUCCEEDED" },
          "results to be scored": { runId, missingScores: ["s"] },
          "replaced ones, too": { runId, includeReplaced: true },
          "with items": { runId, view: "RESULT_VIEW_WITH_ITEM" },
        },
        async write() {
          const cells = added.splice(0).map((itemId) => ({ itemId, repetition: 1 }));
          if (cells.length > 0) await runs.deleteResults({ runId, cells });
          added.push(...gaps.some());
          await record(added);
        },
      };
    },
  },
  {
    method: RunService.method.listIncomplete,
    isFrozen: false,
    idsOf: (page) => texts(page.items, "itemId"),
    async setUp(service, count) {
      const { runs, runId, ids, gaps, record } = await setUpRun(service, count);
      await record(gaps.all);
      const { run: another } = await runs.createRun({ dataset: gaps.dataset, run: {} });
      const added: string[] = [];
      return {
        ids,
        request: { runId },
        others: {
          "another run": { runId: another?.runId ?? "" },
          "with items": { runId, view: "INCOMPLETE_VIEW_WITH_ITEM" },
        },
        async write() {
          await record(added.splice(0));
          added.push(...gaps.some());
          await runs.deleteResults({ runId, cells: added.map((itemId) => ({ itemId, repetition: 1 })) });
        },
      };
    },
  },
  {
    method: UploadService.method.listUploads,
    isFrozen: false,
    idsOf: (page) => texts(page.uploads, "uploadId"),
    async setUp({ database: { pool } }, count) {
      // The listing covers the whole project, so the uploads of other tests are deleted.
      await pool.query("delete from uploads");
      await addUploads(pool, 1, count);
      return {
        ids: Array.from({ length: count }, (_, n) => uploadId(count - n)),
        request: {},
        others: { "some states": { states: ["STATE_PENDING"] } },
        async write() {
          await pool.query("delete from uploads where upload_id = $1", [uploadId(count + 1)]);
          await addUploads(pool, count + 1, 1);
        },
      };
    },
  },
];

const uploadId = (number: number) => `upld${String(number).padStart(26, "0")}`;

/** Creates uploads in progress, each newer than the previous one. */
async function addUploads(pool: Pool, first: number, count: number): Promise<void> {
  await pool.query(
    `insert into uploads (upload_id, project_id, request_id, fingerprint, mime_type, filename, create_time, expire_time)
     select 'upld' || lpad(n::text, 26, '0'), 'default', gen_random_uuid(), '', '', '',
            now() + n * interval '1 microsecond', now() + interval '1 day'
     from generate_series($1::int, $1::int + $2::int - 1) n`,
    [first, count],
  );
}

/** Creates a run on `count` items, and on others before, between and after them whose results come and go. */
async function setUpRun(service: TestService, count: number) {
  const ids = numbered(count).map(({ itemId }) => itemId);
  const others = ["!", ...ids.map((id) => `${id}+`)];
  const items = [...ids, ...others].map((itemId) => ({ itemId, inputJson: "1" }));
  const dataset = identified(await newDataset(service, items));
  const runs = service.client(RunService);
  const { run } = await runs.createRun({ dataset, run: {} });
  const runId = run?.runId ?? "";
  const outcome = { case: "outputJson", value: "1" } as const;
  return {
    runs,
    runId,
    ids,
    gaps: {
      dataset,
      all: others,
      some: () => [...new Set(["!", others[1], others[Math.ceil(count / 2)], others.at(-1)])].map(String),
    },
    async record(itemIds: readonly string[]) {
      for (let first = 0; first < itemIds.length; first += 1_000) {
        const results = itemIds
          .slice(first, first + 1_000)
          .map((itemId) => ({ itemId, repetition: 1, outcome }));
        await runs.recordResults({ runId, results });
      }
    },
  };
}

interface ItemInit {
  readonly itemId: string;
  readonly inputJson: string;
}

/** Returns items `k00000`, `k00001`, … */
function numbered(count: number, payload = ""): ItemInit[] {
  return Array.from({ length: count }, (_, n) => ({
    itemId: `k${String(n).padStart(5, "0")}`,
    inputJson: JSON.stringify(`${n} ${payload}`),
  }));
}

async function setUpItems(service: TestService, items: readonly ItemInit[]): Promise<Listing> {
  const datasetId = await newDataset(service, items);
  const upserts = service.client(UpsertService);
  const ids = items.map(({ itemId }) => itemId);
  const request = { dataset: { datasetId } };
  let written = 0;
  return {
    ids,
    request,
    others: {
      "another dataset": { dataset: { datasetId: await newDataset(service) } },
      "a version by its number": { ...request, at: { version: "1" } },
      "a split": { ...request, splits: ["test"] },
      "keys alone": { ...request, view: "ITEM_VIEW_KEYS" },
    },
    async write() {
      const places = ["!", `${ids[0]}+`, ids[1] ?? "", `${ids[Math.floor(ids.length / 2)]}+`, "~"];
      await upserts.upsertItems({
        dataset: identified(datasetId),
        items: places.map((itemId) => ({ itemId, inputJson: `"written ${++written}"` })),
      });
      const itemIds = [ids.at(-1) ?? "", ids[Math.floor(ids.length / 3)] ?? ""];
      await service.client(ItemService).batchDeleteItems({ dataset: identified(datasetId), itemIds });
    },
  };
}

/** Creates `count` entries, a few at a time. */
async function createAll<T>(count: number, create: (n: number) => Promise<T>): Promise<T[]> {
  const created: T[] = [];
  while (created.length < count) {
    const some = Math.min(50, count - created.length);
    created.push(...(await Promise.all(Array.from({ length: some }, (_, n) => create(created.length + n)))));
  }
  return created;
}

/** Returns the ids of created entries, newest first. */
function newestFirst(created: readonly { id: string; createTime: Timestamp | undefined }[]): string[] {
  const timeOf = (time: Timestamp | undefined) => Number(time?.seconds) * 1e6 + Number(time?.nanos) / 1e3;
  return created
    .toSorted(
      (one, other) => timeOf(other.createTime) - timeOf(one.createTime) || (one.id < other.id ? 1 : -1),
    )
    .map(({ id }) => id);
}

let names = 0;

const newName = () => `paged ${String(++names).padStart(3, "0")}`;

/** Creates a dataset with these items at version 1, if there are any; more than one call may be needed. */
async function newDataset(service: TestService, items: readonly ItemInit[] = []): Promise<string> {
  const { dataset } = await service.client(DatasetService).createDataset({ dataset: { name: newName() } });
  const datasetId = dataset?.datasetId ?? "";
  const upserts = service.client(UpsertService);
  let frame: ItemInit[] = [];
  let bytes = 0;
  const send = async () => {
    if (frame.length > 0) await upserts.upsertItems({ dataset: identified(datasetId), items: frame });
    frame = [];
    bytes = 0;
  };
  for (const item of items) {
    if (frame.length === 1_000 || bytes + item.inputJson.length > 2_500_000) await send();
    frame.push(item);
    bytes += item.inputJson.length;
  }
  await send();
  return datasetId;
}

function identified(datasetId: string) {
  return { by: { case: "datasetId", value: datasetId } } as const;
}

/** Returns one member of each object in a list of JSON. */
function texts(list: unknown, member: string): string[] {
  return ((list ?? []) as JsonObject[]).map((one) => String(one[member]));
}
