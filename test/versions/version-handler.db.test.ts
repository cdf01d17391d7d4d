import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Dataset } from "../../gen/itembank/v1/dataset_pb.js";
import { type Instant, now } from "../../src/db/instant.ts";
import { instantFromWire, timestampToWire } from "../../src/rpc/time-wire.ts";
import {
  type DatasetService,
  datasetService,
  identified,
  invalid,
  named,
  present,
  refusalOf,
} from "../datasets/dataset-service.ts";
import { newTestDatabase, type TestDatabase } from "../support/database.ts";
import { addVersion } from "./history.ts";

let database: TestDatabase;
let service: DatasetService;
beforeAll(async () => {
  database = await newTestDatabase();
  service = await datasetService(database.pool);
});
afterAll(() => database.drop());

/** A dataset with this many versions, a second apart, the first a second after its creation. */
async function withVersions(count: number): Promise<{ dataset: Dataset; times: Instant[] }> {
  const dataset = await service.create();
  const start = instantFromWire("create_time", present(dataset.createTime));
  const times = Array.from({ length: count }, (_, at) => start + BigInt(at + 1) * 1_000_000n);
  for (const time of times) await addVersion(database.pool, dataset.datasetId, time);
  return { dataset, times };
}

const at = {
  version: (version: bigint) => ({ by: { case: "version", value: version } }) as const,
  time: (time: Instant) => ({ by: { case: "asOf", value: timestampToWire(time) } }) as const,
  tag: (tag: string) => ({ by: { case: "tag", value: tag } }) as const,
};

async function getVersion({ datasetId }: Dataset, selector?: ReturnType<(typeof at)[keyof typeof at]>) {
  const request = { dataset: identified(datasetId), ...(selector && { at: selector }) };
  return present((await service.client.getVersion(request)).version);
}

const tag = ({ datasetId }: Dataset, name: string, version: bigint, locked = false) =>
  service.client.tagVersion({ dataset: identified(datasetId), tag: name, at: at.version(version), locked });

const untag = ({ datasetId }: Dataset, name: string) =>
  service.client.untagVersion({ dataset: identified(datasetId), tag: name });

const tagNames = ({ tags }: { tags: readonly { tag: string }[] }) => tags.map((one) => one.tag);

describe("GetVersion", () => {
  test("returns the latest version by default", async () => {
    const { dataset, times } = await withVersions(3);
    const latest = await getVersion(dataset);
    expect(latest).toMatchObject({
      datasetId: dataset.datasetId,
      version: 3n,
      itemCount: 3n,
      counts: { received: 1n, created: 1n, updated: 0n, unchanged: 0n, deleted: 0n },
      note: "note 3",
      author: "me",
      createTime: timestampToWire(times[2] ?? 0n),
      tags: [],
    });
    expect(Buffer.from(latest.digest)).toEqual(Buffer.alloc(32, 0xab));
    expect(latest.requestId).toMatch(/^[0-9a-f-]{36}$/);
    expect(
      (await service.client.getVersion({ dataset: identified(dataset.datasetId), at: {} })).version,
    ).toEqual(latest);
  });

  test("returns version 0 without items and counts, with the creation time of the dataset", async () => {
    const { dataset } = await withVersions(1);
    const start = await getVersion(dataset, at.version(0n));
    expect(start).toMatchObject({
      version: 0n,
      itemCount: 0n,
      createTime: dataset.createTime,
      requestId: "",
    });
    expect(start.counts).toBeUndefined();
    expect(Buffer.from(start.digest)).toEqual(Buffer.alloc(32));
    expect(await getVersion(await service.create())).toMatchObject({ version: 0n });
  });

  test.each([-1n, 4n, 2n ** 62n, -(2n ** 63n)])("refuses version %s of 3", async (version) => {
    const { dataset } = await withVersions(3);
    expect(await refusalOf(getVersion(dataset, at.version(version)))).toEqual({
      code: "NotFound",
      reason: "VERSION_NOT_FOUND",
      metadata: { dataset_id: dataset.datasetId, version: `${version}`, latest_version: "3" },
    });
  });

  test("finds the version of a time, from its own microsecond on", async () => {
    const { dataset, times } = await withVersions(2);
    const [first = 0n, second = 0n] = times;
    const versionAt = async (time: Instant) => (await getVersion(dataset, at.time(time))).version;
    expect(await versionAt(first - 1n)).toBe(0n);
    expect(await versionAt(first)).toBe(1n);
    expect(await versionAt(second - 1n)).toBe(1n);
    expect(await versionAt(second)).toBe(2n);
    expect(await versionAt(now() + 86_400_000_000n)).toBe(2n);
    expect(await versionAt(0n)).toBe(0n);
  });

  test("accepts the first and the last valid time, and refuses others", async () => {
    const { dataset } = await withVersions(1);
    const versionAt = (seconds: bigint, nanos = 0) =>
      service.client.getVersion({
        dataset: identified(dataset.datasetId),
        at: { by: { case: "asOf", value: { seconds, nanos } } },
      });
    expect((await versionAt(-62_135_596_800n)).version).toMatchObject({ version: 0n });
    expect((await versionAt(253_402_300_799n, 999_999_999)).version).toMatchObject({ version: 1n });
    expect(await refusalOf(versionAt(253_402_300_800n))).toEqual(invalid("at.as_of"));
    expect(await refusalOf(versionAt(0n, -1))).toEqual(invalid("at.as_of"));
  });

  test("finds the version with a tag", async () => {
    const { dataset } = await withVersions(2);
    await tag(dataset, "prod", 1n);
    expect(await getVersion(dataset, at.tag("prod"))).toMatchObject({ version: 1n });
    for (const missing of ["Prod", "latest", "no tag"]) {
      expect(await refusalOf(getVersion(dataset, at.tag(missing)))).toEqual({
        code: "NotFound",
        reason: "TAG_NOT_FOUND",
        metadata: { dataset_id: dataset.datasetId, tag: missing },
      });
    }
    expect(await refusalOf(getVersion(dataset, at.tag("")))).toEqual(invalid("at.tag"));
  });

  test("reports a dataset that does not exist", async () => {
    const call = service.client.getVersion({ dataset: named("nowhere") });
    expect(await refusalOf(call)).toMatchObject({
      reason: "DATASET_NOT_FOUND",
      metadata: { name: "nowhere" },
    });
  });
});

describe("ListVersions", () => {
  test.each([1, 2, 5, 6])(
    "shows each version once, newest first, in pages of %i while others write",
    async (size) => {
      const { dataset } = await withVersions(5);
      const listed: bigint[] = [];
      for (let pageToken = ""; ; ) {
        const request = { dataset: identified(dataset.datasetId), pageSize: size, pageToken };
        const page = await service.client.listVersions(request);
        expect(page.versions.length).toBeLessThanOrEqual(size);
        listed.push(...page.versions.map((one) => one.version));
        if (page.nextPageToken === "") break;
        pageToken = page.nextPageToken;
        await addVersion(database.pool, dataset.datasetId);
      }
      expect(listed).toEqual([5n, 4n, 3n, 2n, 1n]);
    },
  );

  test("returns the same as GetVersion, and nothing for an empty dataset", async () => {
    const { dataset } = await withVersions(2);
    await tag(dataset, "b", 1n);
    await tag(dataset, "B", 1n, true);
    const { versions } = await service.client.listVersions({ dataset: identified(dataset.datasetId) });
    expect(versions).toEqual([
      await getVersion(dataset, at.version(2n)),
      await getVersion(dataset, at.version(1n)),
    ]);
    expect(versions.map(tagNames)).toEqual([[], ["B", "b"]]);
    const empty = await service.create();
    expect(await service.client.listVersions({ dataset: identified(empty.datasetId) })).toMatchObject({
      versions: [],
      nextPageToken: "",
    });
  });

  test("lists only tagged versions on request", async () => {
    const { dataset } = await withVersions(4);
    await tag(dataset, "a", 1n);
    await tag(dataset, "b", 3n);
    await tag(dataset, "c", 3n);
    const listed: bigint[] = [];
    for (let pageToken = ""; ; ) {
      const page = await service.client.listVersions({
        dataset: identified(dataset.datasetId),
        taggedOnly: true,
        pageSize: 1,
        pageToken,
      });
      listed.push(...page.versions.map((one) => one.version));
      if (page.nextPageToken === "") break;
      pageToken = page.nextPageToken;
    }
    expect(listed).toEqual([3n, 1n]);
  });

  test("refuses a token of another dataset or other arguments, and a negative page size", async () => {
    const { dataset } = await withVersions(2);
    const { dataset: other } = await withVersions(2);
    const { nextPageToken: pageToken } = await service.client.listVersions({
      dataset: identified(dataset.datasetId),
      pageSize: 1,
    });
    for (const request of [
      { dataset: identified(other.datasetId), pageToken },
      { dataset: identified(dataset.datasetId), taggedOnly: true, pageToken },
    ]) {
      expect(await refusalOf(service.client.listVersions(request))).toEqual({
        code: "InvalidArgument",
        reason: "INVALID_PAGE_TOKEN",
        metadata: { field: "page_token" },
      });
    }
    const negative = service.client.listVersions({ dataset: identified(dataset.datasetId), pageSize: -1 });
    expect(await refusalOf(negative)).toEqual(invalid("page_size"));
    expect((await refusalOf(service.client.listVersions({ dataset: named("nowhere") }))).reason).toBe(
      "DATASET_NOT_FOUND",
    );
  });
});

describe("TagVersion", () => {
  test("puts a tag on the latest version, moves it, and returns its previous version", async () => {
    const { dataset } = await withVersions(2);
    const first = await service.client.tagVersion({ dataset: identified(dataset.datasetId), tag: "prod" });
    expect(first).toMatchObject({ version: { version: 2n, tags: [{ tag: "prod", locked: false }] } });
    expect(first.previousVersion).toBe(0n);
    const moved = await tag(dataset, "prod", 1n);
    expect(moved).toMatchObject({ version: { version: 1n, tags: [{ tag: "prod" }] }, previousVersion: 2n });
    expect(tagNames(await getVersion(dataset))).toEqual([]);
  });

  test("changes nothing, not even its time, when done again", async () => {
    const { dataset } = await withVersions(1);
    const first = await tag(dataset, "prod", 1n, true);
    const second = await tag(dataset, "prod", 1n, true);
    expect(second.version).toEqual(first.version);
    expect(second.previousVersion).toBe(1n);
  });

  test("moves a tag only from the version that the caller expects, so that of two moves one wins", async () => {
    const { dataset } = await withVersions(3);
    const move = (version: bigint, expectedTaggedVersion: bigint) =>
      service.client.tagVersion({
        dataset: identified(dataset.datasetId),
        tag: "prod",
        at: at.version(version),
        expectedTaggedVersion,
      });
    expect((await move(1n, 0n)).previousVersion).toBe(0n);
    const moves = await Promise.allSettled([move(2n, 1n), move(3n, 1n)]);
    expect(moves.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
    const tagged = (
      await service.client.listVersions({
        dataset: identified(dataset.datasetId),
        taggedOnly: true,
      })
    ).versions.map(({ version }) => version);
    expect(await refusalOf(move(2n, 1n))).toEqual({
      code: "Aborted",
      reason: "TAG_CONFLICT",
      metadata: { tag: "prod", expected_tagged_version: "1", tagged_version: `${tagged[0]}` },
    });
    expect((await refusalOf(move(2n, 0n))).reason).toBe("TAG_CONFLICT");
  });

  test("answers a repeated request as it did first, wherever the tag is by then", async () => {
    const { dataset } = await withVersions(2);
    const ref = identified(dataset.datasetId);
    const request = { dataset: ref, tag: "prod", at: at.version(1n), requestId: crypto.randomUUID() };
    const first = await service.client.tagVersion(request);
    await tag(dataset, "prod", 2n);
    expect(await service.client.tagVersion(request)).toEqual(first);
    expect(tagNames(await getVersion(dataset))).toEqual(["prod"]);

    const untagging = { dataset: ref, tag: "prod", requestId: crypto.randomUUID() };
    const removed = await service.client.untagVersion(untagging);
    expect(await service.client.untagVersion(untagging)).toEqual(removed);
    expect((await refusalOf(untag(dataset, "prod"))).reason).toBe("TAG_NOT_FOUND");
  });

  test("does not move a locked tag until it is unlocked", async () => {
    const { dataset } = await withVersions(2);
    await tag(dataset, "prod", 1n, true);
    const locked = {
      code: "FailedPrecondition",
      reason: "TAG_LOCKED",
      metadata: { tag: "prod", version: "1" },
    };
    expect(await refusalOf(tag(dataset, "prod", 2n))).toEqual(locked);
    expect(await refusalOf(untag(dataset, "prod"))).toEqual(locked);
    expect((await tag(dataset, "prod", 1n, false)).version).toMatchObject({ tags: [{ locked: false }] });
    expect((await tag(dataset, "prod", 2n)).previousVersion).toBe(1n);
  });

  test("refuses version 0, versions that do not exist, and invalid tags", async () => {
    const { dataset } = await withVersions(1);
    expect(await refusalOf(tag(dataset, "prod", 0n))).toEqual(invalid("at"));
    expect(await refusalOf(tag(await service.create(), "prod", 0n))).toEqual(invalid("at"));
    expect((await refusalOf(tag(dataset, "prod", 2n))).reason).toBe("VERSION_NOT_FOUND");
    for (const bad of ["", "latest", "1", "a b", "é", "a\n", "x".repeat(65)]) {
      expect(await refusalOf(tag(dataset, bad, 1n))).toEqual(invalid("tag"));
    }
    await tag(dataset, `_.-${"x".repeat(61)}`, 1n);
    const other = service.client.tagVersion({
      dataset: identified(dataset.datasetId),
      tag: "prod",
      at: at.tag("missing"),
    });
    expect((await refusalOf(other)).reason).toBe("TAG_NOT_FOUND");
  });

  test("by 20 callers at once leaves the tag on one version", async () => {
    const { dataset } = await withVersions(20);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, number) => tag(dataset, "prod", BigInt(number + 1))),
    );
    // Each moved it from another's version, the first from none.
    const previous = new Set(answers.map((answer) => answer.previousVersion));
    expect(previous.size).toBe(20);
    const { versions } = await service.client.listVersions({
      dataset: identified(dataset.datasetId),
      taggedOnly: true,
    });
    expect(versions).toHaveLength(1);
  });
});

describe("UntagVersion", () => {
  test("removes a tag and returns the version without it", async () => {
    const { dataset } = await withVersions(1);
    await tag(dataset, "a", 1n);
    await tag(dataset, "b", 1n);
    expect((await untag(dataset, "a")).version).toMatchObject({ version: 1n, tags: [{ tag: "b" }] });
    expect(await refusalOf(untag(dataset, "a"))).toEqual({
      code: "NotFound",
      reason: "TAG_NOT_FOUND",
      metadata: { dataset_id: dataset.datasetId, tag: "a" },
    });
  });

  test("refuses an invalid tag, and a dataset that does not exist", async () => {
    const { dataset } = await withVersions(1);
    expect(await refusalOf(untag(dataset, ""))).toEqual(invalid("tag"));
    const nowhere = service.client.untagVersion({ dataset: named("nowhere"), tag: "a" });
    expect((await refusalOf(nowhere)).reason).toBe("DATASET_NOT_FOUND");
  });
});
