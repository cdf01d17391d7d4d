import { fromJson, type JsonObject, type JsonValue, type Message, toJson } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { defaultPageSize, limits } from "../../src/limits.ts";
import { services } from "../../src/server/routes.ts";
import { newTestDatabase } from "../support/database.ts";
import { invalid, refusalOf } from "../support/refusal.ts";
import { startTestService, type TestService } from "../support/service.ts";
import { type Listing, type PagedCall, pagedCalls } from "./paged-calls.ts";

/** Reads every page of every listing; paged-calls.ts sets up the entries. */

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.close());

interface Page {
  readonly ids: readonly string[];
  /** The token of the next page, or the cursor after a frame. Empty on the last page, and at the end of a stream. */
  readonly token: string;
}

/** The field that accepts tokens. */
function tokenField({ method }: PagedCall): "page_token" | "cursor" {
  return method.input.fields.some(({ name }) => name === "cursor") ? "cursor" : "page_token";
}

const isStream = (call: PagedCall) => tokenField(call) === "cursor";

/** Reads one page or, of a stream, its first frame. */
async function read(call: PagedCall, request: JsonObject, token = "", pageSize?: number): Promise<Page> {
  const { method } = call;
  const asked = {
    ...request,
    [isStream(call) ? "cursor" : "pageToken"]: token,
    ...(pageSize && { pageSize }),
  };
  const calls = service.client(method.parent) as unknown as Record<
    string,
    (request: Message) => Promise<Message> & AsyncIterable<Message>
  >;
  const answer = calls[method.localName]?.(fromJson(method.input, asked)) as Promise<Message> &
    AsyncIterable<Message>;
  const json = (message: Message) => toJson(method.output, message) as JsonObject;
  if (!isStream(call)) {
    const page = json(await answer);
    return { ids: call.idsOf(page), token: String(page.nextPageToken ?? "") };
  }
  for await (const message of answer) {
    const frame = json(message);
    const batch = frame.batch as Record<string, JsonValue> | undefined;
    return { ids: call.idsOf(frame), token: String(batch?.cursor ?? "") };
  }
  throw new Error("the stream ended without its end");
}

/** Reads all pages, one call for each; `between` runs after each. */
async function walk(
  call: PagedCall,
  { request }: Listing,
  { pageSize, between }: { readonly pageSize?: number; readonly between?: () => Promise<unknown> } = {},
): Promise<Page[]> {
  const pages: Page[] = [];
  for (let token = ""; ; ) {
    const page = await read(call, request, token, pageSize);
    pages.push(page);
    if (page.token === "") return pages;
    token = page.token;
    await between?.();
  }
}

const idsOf = (pages: readonly Page[]) => pages.flatMap(({ ids }) => ids);

/** Returns the failure of a call with a token that is not its own. */
const refusedToken = (call: PagedCall) => ({
  code: "InvalidArgument",
  reason: "INVALID_PAGE_TOKEN",
  metadata: { field: tokenField(call) },
});

/** Returns a token of a listing. */
async function tokenOf(call: PagedCall, listing: Listing): Promise<string> {
  const { token } = await read(call, listing.request, "", isStream(call) ? undefined : 1);
  expect(token).not.toBe("");
  return token;
}

const named = (call: PagedCall) => [call.method.name, call] as const;
const all = pagedCalls.map(named);
const paged = pagedCalls.filter((call) => !isStream(call)).map(named);
const streams = pagedCalls.filter(isStream).map(named);

/** Few enough to page through one by one, and divisible by some of the page sizes. */
const few = 20;

describe("Calls that take a token", () => {
  const taking = services
    .flatMap(({ methods }) => methods)
    .filter(({ input }) => input.fields.some(({ name }) => name === "page_token" || name === "cursor"));

  test("are all tested here", () => {
    const tried = pagedCalls.map(({ method }) => method.name);
    expect(taking.map(({ name }) => name).filter((name) => !tried.includes(name))).toEqual([]);
    expect(taking.length).toBeGreaterThanOrEqual(10);
  });
});

describe.each(paged)("%s", (_, call) => {
  test.each([1, 5, 16, few, few + 1])(
    "lists each entry once and in order, in pages of %i",
    async (pageSize) => {
      const listing = await call.setUp(service, few);
      const pages = await walk(call, listing, { pageSize });
      expect(idsOf(pages)).toEqual(listing.ids);
      // Pages may be shorter, but these need not be; the last has no token, and is not empty.
      expect(pages.map(({ ids }) => ids.length)).toEqual(
        Array.from({ length: Math.ceil(few / pageSize) }, (_, n) => Math.min(pageSize, few - n * pageSize)),
      );
    },
  );

  test.skipIf(call.isNeverEmpty)("returns one empty page without a token if there is nothing", async () => {
    const { request } = await call.setUp(service, 0);
    expect(await read(call, request)).toEqual({ ids: [], token: "" });
  });

  test("returns 50 entries by default, at most 1,000, and refuses a negative size", async () => {
    const listing = await call.setUp(service, limits.maxPageSize + 1);
    const { request, ids } = listing;
    expect((await read(call, request)).ids).toEqual(ids.slice(0, defaultPageSize));
    for (const pageSize of [limits.maxPageSize, limits.maxPageSize + 1, 2 ** 31 - 1]) {
      const first = await read(call, request, "", pageSize);
      expect(first.ids).toEqual(ids.slice(0, limits.maxPageSize));
      expect(await read(call, request, first.token, pageSize)).toEqual({
        ids: ids.slice(limits.maxPageSize),
        token: "",
      });
    }
    for (const pageSize of [-1, -(2 ** 31)]) {
      expect(await refusalOf(read(call, request, "", pageSize))).toEqual(invalid("page_size"));
    }
  });

  test("allows another size on each page", async () => {
    const { request, ids } = await call.setUp(service, few);
    const seen: string[] = [];
    let token = "";
    for (const pageSize of [1, 7, 2, 100]) {
      const page = await read(call, request, token, pageSize);
      seen.push(...page.ids);
      token = page.token;
    }
    expect(seen).toEqual(ids);
    expect(token).toBe("");
  });

  test("returns the same page for the same token", async () => {
    const { request } = await call.setUp(service, few);
    const { token } = await read(call, request, "", 3);
    expect(await read(call, request, token, 3)).toEqual(await read(call, request, token, 3));
  });
});

describe.each(streams)("%s", (_, call) => {
  test("resumes after each of its frames, and returns each entry once and in order", async () => {
    const listing = await call.setUp(service, 8);
    const pages = await walk(call, listing);
    expect(pages.length).toBeGreaterThan(3);
    expect(idsOf(pages)).toEqual(listing.ids);
  });
});

describe.each(all)("%s", (_, call) => {
  const count = isStream(call) ? 8 : few;

  test("neither skips nor repeats entries while others write between its pages", async () => {
    const listing = await call.setUp(service, count);
    const pages = await walk(call, listing, {
      ...(isStream(call) ? {} : { pageSize: 3 }),
      between: () => listing.write(),
    });
    const seen = idsOf(pages);
    expect(seen.length).toBe(new Set(seen).size);
    const there = new Set(listing.ids);
    expect(call.isFrozen ? seen : seen.filter((id) => there.has(id))).toEqual(listing.ids);
  });

  test("refuses a token with any changed byte", async () => {
    const listing = await call.setUp(service, count);
    const token = await tokenOf(call, listing);
    const bytes = Buffer.from(token, "base64url");
    const altered = Array.from(bytes, (_, at) => {
      const copy = Buffer.from(bytes);
      copy[at] = (copy[at] ?? 0) ^ (1 << (at % 8));
      return copy.toString("base64url");
    });
    altered.push(
      bytes.subarray(0, -1).toString("base64url"),
      bytes.subarray(1).toString("base64url"),
      Buffer.concat([bytes, Buffer.alloc(1)]).toString("base64url"),
      Buffer.concat([bytes, bytes]).toString("base64url"),
    );
    for (const one of altered) {
      expect(await refusalOf(read(call, listing.request, one))).toEqual(refusedToken(call));
    }
    expect((await read(call, listing.request, token)).ids.length).toBeGreaterThan(0);
  });

  test("refuses garbage, and other spellings of a token", async () => {
    const listing = await call.setUp(service, count);
    const token = await tokenOf(call, listing);
    const garbage = ["x", "0", "50", "null", "AQ", "é", " ", "\u0000", "A".repeat(100_000)];
    const spellings = [
      `${token}=`,
      `${token}\n`,
      ` ${token}`,
      `${token}A`,
      token.toLowerCase(),
      `${token},${token}`,
    ];
    for (const one of [...garbage, ...spellings.filter((one) => one !== token)]) {
      expect(await refusalOf(read(call, listing.request, one))).toEqual(refusedToken(call));
    }
  });

  test("refuses a token of the same call with other arguments", async () => {
    const listing = await call.setUp(service, count);
    const token = await tokenOf(call, listing);
    for (const [what, request] of Object.entries(listing.others)) {
      expect([what, await refusalOf(read(call, request, token))]).toEqual([what, refusedToken(call)]);
    }
    expect(Object.keys(listing.others).length).toBeGreaterThan(0);
  });
});

describe("A token", () => {
  test("is not accepted by other calls", async () => {
    const listings = await Promise.all(
      pagedCalls.map(async (call) => {
        const listing = await call.setUp(service, isStream(call) ? 8 : 3);
        return { call, listing, token: await tokenOf(call, listing) };
      }),
    );
    for (const { call, listing } of listings) {
      for (const other of listings) {
        if (other.call === call) continue;
        const what = `${call.method.name} with a token of ${other.call.method.name}`;
        const refusal = await refusalOf(read(call, listing.request, other.token));
        expect([what, refusal]).toEqual([what, refusedToken(call)]);
      }
    }
  });

  test("is not accepted in another project", async () => {
    const [listDatasets, listRuns] = ["ListDatasets", "ListRuns"].map((name) =>
      pagedCalls.find(({ method }) => method.name === name),
    ) as [PagedCall, PagedCall];
    const { pageTokens } = service.resources;
    const seal = {
      datasets: (project: string) => pageTokens.seal("ListDatasets", [project, "", "full"], ["0", "data"]),
      runs: (project: string) => pageTokens.seal("ListRuns", [project, "", 0n, "", "", ""], ["0", "runs"]),
    };
    expect(await read(listDatasets, {}, seal.datasets("default"))).toEqual({ ids: [], token: "" });
    expect(await read(listRuns, {}, seal.runs("default"))).toEqual({ ids: [], token: "" });
    expect(await refusalOf(read(listDatasets, {}, seal.datasets("other")))).toEqual(
      refusedToken(listDatasets),
    );
    expect(await refusalOf(read(listRuns, {}, seal.runs("other")))).toEqual(refusedToken(listRuns));
  });

  test("is accepted by other servers of the installation, but not by other installations", async () => {
    const [call] = pagedCalls as readonly [PagedCall];
    const listing = await call.setUp(service, 3);
    const token = await tokenOf(call, listing);
    const here = service;
    const rest = listing.ids.slice(1);
    const another = await startTestService({ database: here.database });
    const database = await newTestDatabase();
    // The databases of tests are copies of one template.
    await database.pool.query("update secrets set value = sha256(value) where name = 'page_token'");
    const foreign = await startTestService({ database });
    try {
      service = another;
      expect((await read(call, listing.request, token)).ids).toEqual(rest);
      service = foreign;
      expect(await refusalOf(read(call, listing.request, token))).toEqual(refusedToken(call));
    } finally {
      service = here;
      await another.close();
      await foreign.close();
      await database.drop();
    }
  });
});
