import type { MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { VersionSelectorSchema } from "../../gen/itembank/v1/dataset_pb.js";
import { RunService } from "../../gen/itembank/v1/run_service_pb.js";
import {
  at,
  type DatasetRef,
  type ItemServiceUnderTest,
  item,
  startItemService,
} from "../items/item-service.ts";
import { refusalOf, refused } from "../support/refusal.ts";

type Selector = MessageInitShape<typeof VersionSelectorSchema>;

let service: ItemServiceUnderTest;
let dataset: DatasetRef;
let selectors: Record<string, Selector | undefined>;

/** Three versions, each of which adds an item; the second is tagged. */
beforeAll(async () => {
  service = await startItemService();
  dataset = await service.dataset(item("a", 1));
  await service.items.createItem({ dataset, item: item("b", 1) });
  await service.items.createItem({ dataset, item: item("c", 1) });
  await service.datasets.tagVersion({ dataset, tag: "second", at: at(2n) });
  const { version } = await service.datasets.getVersion({ dataset, at: at(2n) });
  const { seconds = 0n, nanos = 0 } = version?.createTime ?? {};
  const time = (micros: number): Selector => {
    const later = nanos + micros * 1000;
    const value = { seconds: later < 0 ? seconds - 1n : seconds, nanos: (later + 1e9) % 1e9 };
    return { by: { case: "asOf", value } };
  };
  selectors = {
    "number 2": at(2n),
    "the tag of 2": { by: { case: "tag", value: "second" } },
    "the time of 2": time(0),
    "the time just before 2": time(-1),
    "a time in the future": { by: { case: "asOf", value: { seconds: seconds + 86_400n } } },
    "a time before the first": { by: { case: "asOf", value: { seconds: seconds - 86_400n } } },
    "number 0": at(0n),
    nothing: undefined,
    "an empty message": {},
  };
});
afterAll(() => service.close());

const chosen: [string, bigint][] = [
  ["number 2", 2n],
  ["the tag of 2", 2n],
  ["the time of 2", 2n],
  ["the time just before 2", 1n],
  ["a time in the future", 3n],
  ["a time before the first", 0n],
  ["number 0", 0n],
  ["nothing", 3n],
  ["an empty message", 3n],
];

const selected = (name: string): { at?: Selector } => {
  const selector = selectors[name];
  return selector === undefined ? {} : { at: selector };
};

/** The ids of the items in a version. */
const idsAt = (version: bigint) => ["a", "b", "c"].slice(0, Number(version));

describe.each(chosen)("at %s", (name, version) => {
  test("GetVersion returns the version", async () => {
    const found = await service.datasets.getVersion({ dataset, ...selected(name) });
    expect(found.version).toMatchObject({ version, itemCount: version });
  });

  test("GetItem finds the items of the version, and names it either way", async () => {
    const request = { dataset, itemId: "b", ...selected(name) };
    if (version >= 2n) expect(await service.items.getItem(request)).toMatchObject({ version });
    else {
      expect(await refusalOf(service.items.getItem(request))).toEqual(
        refused("NotFound", "ITEM_NOT_FOUND", { item_id: "b", version: `${version}` }),
      );
    }
  });

  test("ListItems and StreamItems show the items of the version, and name it", async () => {
    const list = await service.items.listItems({ dataset, ...selected(name) });
    expect([list.version, list.items.map((one) => one.itemId)]).toEqual([version, idsAt(version)]);
    const streamed: string[] = [];
    for await (const { frame } of service.items.streamItems({ dataset, ...selected(name) })) {
      expect(frame.value).toMatchObject({ version });
      if (frame.case === "batch") streamed.push(...frame.value.items.map((one) => one.itemId));
      if (frame.case === "end") expect(frame.value.itemCount).toBe(version);
    }
    expect(streamed).toEqual(idsAt(version));
  });

  test("DiffVersions compares with the version, and names both", async () => {
    const after = selectors[name];
    const request = { dataset, before: at(0n), ...(after === undefined ? {} : { after }) };
    for await (const { frame } of service.datasets.diffVersions(request)) {
      if (frame.case !== "summary") continue;
      expect(frame.value).toMatchObject({ beforeVersion: 0n, afterVersion: version, created: version });
    }
  });

  test("CreateRun pins the version, or reports that it has no items", async () => {
    const runs = service.client(RunService);
    const call = runs.createRun({ dataset, run: { targetType: "model", targetId: name }, ...selected(name) });
    if (version > 0n) expect((await call).run).toMatchObject({ datasetVersion: version });
    else expect(await refusalOf(call)).toEqual(refused("FailedPrecondition", "EMPTY_RUN", { version: "0" }));
  });
});
