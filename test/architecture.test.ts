import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, normalize, relative } from "node:path";
import { describe, expect, test } from "vitest";

/**
 * The way of data can be read off the names of files: wire → `-handler` → `-wire` → rules → `-store` and back. This suite
 * reads the imports and holds every file to its name.
 */

const root = join(import.meta.dirname, "..");

/** One folder per feature, all with the same vocabulary. */
const features = [
  "api",
  "datasets",
  "schemas",
  "versions",
  "items",
  "changesets",
  "upsert",
  "diffs",
  "runs",
  "results",
  "comparisons",
  "work",
  "purge",
  "uploads",
  "files",
  "query",
];

/**
 * Files of features that bring rules and stores together: they run transactions and call stores, but know nothing of the
 * wire. All others without a suffix are rules, which do no I/O.
 */
const procedures = [
  "query/file-cache.ts",
  "datasets/calls/check-items.ts",
  "datasets/calls/create-dataset.ts",
  "datasets/calls/delete-dataset.ts",
  "datasets/calls/update-dataset.ts",
  "diffs/diff-versions.ts",
  "diffs/open-diff.ts",
  "versions/block-range-sweeper.ts",
  "versions/tag-version.ts",
  "versions/read-differences.ts",
  "versions/watch-dataset.ts",
  "items/read-items.ts",
  "upsert/write-items.ts",
  "purge/purge-item.ts",
  "items/stream-pages.ts",
  "changesets/check-rows.ts",
  "upsert/import-session.ts",
  "api/upserts/receive-import.ts",
  "diffs/read-plan-differences.ts",
  "changesets/apply-plan.ts",
  "changesets/publish.ts",
  "changesets/rebase-changeset.ts",
  "changesets/restore-version.ts",
  "changesets/stage-rows.ts",
  "changesets/stage-restored.ts",
  "changesets/expired-changeset-sweeper.ts",
  "upsert/stage-frame.ts",
  "upsert/upsert-items.ts",
  "changesets/write-once.ts",
  "upsert/apply-upload.ts",
  "uploads/delete-upload.ts",
  "uploads/list-uploads.ts",
  "uploads/send-upload.ts",
  "uploads/delete-segment-blobs.ts",
  "uploads/read-segments.ts",
  "uploads/upload-sweeper.ts",
  "comparisons/compare-runs.ts",
  "results/covered-items-cache.ts",
  "runs/create-run.ts",
  "results/delete-results.ts",
  "runs/delete-run.ts",
  "runs/deleted-run-sweeper.ts",
  "work/end-run.ts",
  "results/erase-results.ts",
  "results/follow-results.ts",
  "results/get-result.ts",
  "runs/list-incomplete.ts",
  "results/list-results.ts",
  "runs/list-runs.ts",
  "results/record-results.ts",
  "api/runs/record-result-frames.ts",
  "results/record-scores.ts",
  "runs/update-run.ts",
  "work/lease-cells.ts",
  "work/assignment-loader.ts",
  "work/record-work.ts",
  "work/work-dispatcher.ts",
  "work/process-tick.ts",
  "work/worker-session.ts",
  "query/export-items.ts",
  "query/resolve-tables.ts",
  "query/run-query.ts",
  "query/snapshot-sweeper.ts",
  "query/snapshot-cache.ts",
  "query/write-rows.ts",
];

/** Files beyond `-handler`, `-wire` and rpc/ that know the generated code, and why. */
const generatedCodeAllowed = new Map([
  ["routes.ts", "registers the handlers with their services"],
  ["server.ts", "registers health and reflection, which are no feature"],
  [
    "api/upserts/receive-import.ts",
    "checks a frame while the one before is written, so it takes them from the wire",
  ],
  [
    "api/runs/record-result-frames.ts",
    "checks a frame while the one before is written, so it takes them from the wire",
  ],
]);

/** Files longer than 400 lines, and why there is no seam in them. */
const lengthAllowed = new Map([
  ["json/canonical-json.ts", "one pass over one text, whose state all parts share"],
]);

interface SourceFile {
  /** From src/ down. */
  readonly path: string;
  readonly text: string;
  /** What it imports: paths from the root of the repository down, or names of packages. */
  readonly imports: readonly string[];
}

function filesUnder(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .map((path) => join(folder, path));
}

function importsOf(path: string, text: string): string[] {
  const statements = /^(?:import|export)\b[^;]*?(?:\bfrom )?"([^"]+)";$|\bimport\("([^"]+)"\)/gm;
  return [...text.matchAll(statements)].map(([, named = "", dynamic = ""]) => {
    const name = named || dynamic;
    return name.startsWith(".") ? normalize(join(path, "..", name)) : name;
  });
}

const sources: SourceFile[] = filesUnder("src").map((path) => {
  const text = readFileSync(join(root, path), "utf8");
  return { path: relative("src", path), text, imports: importsOf(path, text) };
});

const featureOf = ({ path }: SourceFile) => features.find((feature) => path.startsWith(`${feature}/`));
const hasSuffix = ({ path }: SourceFile, ...suffixes: string[]) =>
  suffixes.some((suffix) => path.endsWith(`-${suffix}.ts`));
const isProcedure = ({ path }: SourceFile) => procedures.includes(path);
const isRule = (file: SourceFile) =>
  featureOf(file) !== undefined &&
  file.path !== "api/resources.ts" &&
  !hasSuffix(file, "handler", "wire", "store") &&
  !isProcedure(file);

const generated = (name: string) => name.startsWith("gen/");
/** Files of db/ that hold values and do no I/O. */
const values = ["src/db/instant.ts", "src/db/copied-columns.ts"];
const database = (name: string) =>
  (name.startsWith("src/db/") && !values.includes(name)) || /^pg(-|$)/.test(name);
const store = (name: string) => name.endsWith("-store.ts");
const wire = (name: string) => /-(wire|handler)\.ts$/.test(name);

/** Imports that a kind of file must not have, as `file imports name`. */
function violations(
  isMeant: (file: SourceFile) => boolean,
  isForbidden: (name: string) => boolean,
): string[] {
  return sources
    .filter(isMeant)
    .flatMap((file) => file.imports.filter(isForbidden).map((name) => `${file.path} imports ${name}`));
}

describe("imports", () => {
  test("are found", () => {
    expect(sources.length).toBeGreaterThan(80);
    expect(sources.filter(isRule).length).toBeGreaterThan(20);
    const handler = sources.find(({ path }) => path === "api/items/item-handler.ts");
    expect(handler?.imports).toContain("gen/itembank/v1/item_service_pb.js");
    expect(handler?.imports).toContain("src/items/item-store.ts");
    expect(handler?.imports).toContain("node:crypto");
  });

  test("of rules reach neither the wire nor the database", () => {
    expect(
      violations(isRule, (name) => generated(name) || database(name) || store(name) || wire(name)),
    ).toEqual([]);
  });

  test("of stores reach no generated code and nothing of the wire", () => {
    expect(
      violations(
        (file) => hasSuffix(file, "store"),
        (name) => generated(name) || wire(name),
      ),
    ).toEqual([]);
  });

  test("of -wire files reach no database", () => {
    expect(
      violations(
        (file) => hasSuffix(file, "wire"),
        (name) => database(name) || store(name),
      ),
    ).toEqual([]);
  });

  test("reach generated code only from handlers, wire, rpc/ and files with a reason", () => {
    const isFree = (file: SourceFile) =>
      hasSuffix(file, "handler", "wire") ||
      file.path.startsWith("rpc/") ||
      generatedCodeAllowed.has(file.path);
    expect(violations((file) => !isFree(file), generated)).toEqual([]);
  });

  test("reach the driver of the database only from db/", () => {
    expect(
      violations(
        ({ path }) => !path.startsWith("db/"),
        (name) => /^pg(-|$)/.test(name),
      ),
    ).toEqual([]);
  });

  test("of features never reach what puts the service together", () => {
    const assembly = ["src/main.ts", "src/server.ts", "src/routes.ts", "src/config.ts"];
    expect(
      violations(
        (file) => featureOf(file) !== undefined,
        (name) => assembly.includes(name),
      ),
    ).toEqual([]);
  });

  test("are not granted to files that are gone or do not need it", () => {
    const needless = procedures.filter((path) => {
      const file = sources.find((one) => one.path === path);
      const reaches = (name: string) =>
        database(name) || store(name) || procedures.includes(relative("src", name));
      return file === undefined || !file.imports.some(reaches);
    });
    expect(needless).toEqual([]);
    const unused = [...generatedCodeAllowed.keys()].filter(
      (path) => !sources.find((file) => file.path === path)?.imports.some(generated),
    );
    expect(unused).toEqual([]);
  });
});

describe("source files", () => {
  test("are named in kebab-case after what they give", () => {
    const drawers = /^(lib|utils?|helpers?|common|types|misc|shared|index)$/;
    const badly = sources.filter(({ path }) =>
      path
        .replace(/(\.d)?\.ts$/, "")
        .split("/")
        .some((part) => drawers.test(part) || !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(part)),
    );
    expect(badly.map((file) => file.path)).toEqual([]);
  });

  test("have at most 400 lines", () => {
    const long = sources.filter(
      ({ path, text }) => text.split("\n").length > 401 && !lengthAllowed.has(path),
    );
    expect(long.map((file) => file.path)).toEqual([]);
  });

  test("of features stand in a folder that this suite knows", () => {
    const known = [...features, "json", "rpc", "db", "blobs", "engine", "auth", "cli"];
    const folders = new Set(sources.flatMap(({ path }) => (path.includes("/") ? [path.split("/")[0]] : [])));
    expect([...folders].filter((folder) => !known.includes(folder ?? ""))).toEqual([]);
  });
});

describe("the type checker", () => {
  const folders = ["src", "test", "examples", "bench"].filter((folder) => existsSync(join(root, folder)));
  const files = folders
    .flatMap(filesUnder)
    .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));

  test("is never told to look away", () => {
    // Put together, so that this file does not find itself.
    const directive = new RegExp(`@ts-${"(ignore|expect-error|nocheck)"}`);
    expect(files.filter(({ text }) => directive.test(text)).map((file) => file.path)).toEqual([]);
  });

  test("never meets any", () => {
    const anyType = /(?:[:<|&(,=]|\bas)\s*any\b(?=\s*[\])>;,|&={]|\s*$)|\bany\[\]/m;
    const code = (text: string) =>
      text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/gm, "");
    expect(anyType.test("const one: any = 1;") && anyType.test("Map<string, any>")).toBe(true);
    expect(files.filter(({ text }) => anyType.test(code(text))).map((file) => file.path)).toEqual([]);
  });
});
