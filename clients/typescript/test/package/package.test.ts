import { readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { build, type Rolldown } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { clientVersion } from "../../src/version.ts";
import { type InstalledPackage, installPackage, runTool } from "./installed-package.ts";

let installed: InstalledPackage;

beforeAll(async () => {
  installed = await installPackage();
});

afterAll(() => installed.remove());

const program = `
import { type ItembankClient, ItembankError, createItembankClient, type UpsertResult } from "@itembank/client";
import { type Run, Run_State } from "@itembank/client/contract";

const itembank: ItembankClient = createItembankClient({ url: "http://127.0.0.1:1" });
export const upsert = async (): Promise<UpsertResult> =>
  itembank.upsertDataset({ name: "qa", items: [{ sku: 1, q: "?" }], itemId: "sku", map: ({ q }) => ({ input: q }) });
export const ended = (run: Run): boolean => run.state === Run_State.COMPLETED;
if (!(new Error() instanceof ItembankError)) console.log(itembank.contentHash({ input: { q: "2+2?" }, expectedOutput: "4" }));
itembank.close();
`;

describe("the package", () => {
  test("contains the built code, the generated code, the contract, a license, and nothing else", () => {
    const kinds = new Set(installed.files.map((file) => file.replace(/\/.*|\.(d\.ts|js)$/, "")));
    expect([...kinds].sort()).toEqual(["LICENSE", "README.md", "dist", "gen", "package.json", "proto"]);
    expect(installed.files.filter((file) => file.endsWith(".ts") && !file.endsWith(".d.ts"))).toEqual([]);
    expect(installed.files).toContain("gen/itembank/v1/item_pb.js");
  });

  test("carries the contract as it is, from which code is generated with nothing else at hand", async () => {
    const contract = join(import.meta.dirname, "../../../../proto");
    const files = readdirSync(contract, { recursive: true, encoding: "utf8", withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(contract, join(entry.parentPath, entry.name)));
    expect(files.length).toBeGreaterThan(15);
    const packed = join(installed.folder, "node_modules/@itembank/client/proto");
    for (const file of files) {
      expect(readFileSync(join(packed, file), "utf8")).toBe(readFileSync(join(contract, file), "utf8"));
    }
    expect(installed.files.filter((file) => file.startsWith("proto/"))).toHaveLength(files.length);
    await runTool(
      "buf",
      ["build", packed, "--output", join(installed.folder, "image.binpb")],
      installed.folder,
    );
    const resolve = "console.log(import.meta.resolve('@itembank/client/proto/itembank/v1/run.proto'))";
    expect(await runTool("node", ["--input-type=module", "-e", resolve], installed.folder)).toContain(
      "@itembank/client/proto/itembank/v1/run.proto",
    );
  });

  test("has the version that it sends in calls", () => {
    const { version } = JSON.parse(readFileSync(join(import.meta.dirname, "../../package.json"), "utf8"));
    expect(clientVersion).toBe(version);
  });

  test("runs in Node without the sources", async () => {
    const file = join(installed.folder, "program.mts");
    await writeFile(file, program);
    expect(await runTool("node", [file], installed.folder)).toBe(
      "b40d637f2214d3567d3c2af64abb232a99725aaf8e846a46a7e9918c6fc2cafd\n",
    );
  });

  test.each([
    [
      "in Node",
      // Connect's own declarations refer to types of browsers; ours are checked below.
      { module: "nodenext", types: ["node"], lib: ["es2024", "esnext.disposable"], skipLibCheck: true },
    ],
    [
      "in browsers, without the types of Node",
      {
        module: "esnext",
        moduleResolution: "bundler",
        customConditions: ["browser"],
        types: [],
        lib: ["es2024", "esnext.disposable", "dom", "dom.iterable", "dom.asynciterable"],
      },
    ],
  ])("has types that compile %s", async (_, compilerOptions) => {
    await writeFile(join(installed.folder, "typed.mts"), program);
    const config = {
      compilerOptions: { target: "es2022", strict: true, noEmit: true, ...compilerOptions },
      files: ["typed.mts"],
    };
    await writeFile(join(installed.folder, "tsconfig.json"), JSON.stringify(config));
    await runTool("tsc", ["--project", "tsconfig.json"], installed.folder);
  });

  test("is bundled for browsers without modules of Node", async () => {
    await writeFile(
      join(installed.folder, "page.mjs"),
      'import { createItembankClient } from "@itembank/client";\n' +
        'console.log(createItembankClient({ url: "http://127.0.0.1:1" }).contentHash({ input: 1 }));\n',
    );
    const bundle = await build({
      root: installed.folder,
      configFile: false,
      logLevel: "error",
      build: { write: false, minify: false, rollupOptions: { input: "page.mjs" } },
    });
    const chunks = (bundle as Rolldown.RolldownOutput).output.filter((part) => part.type === "chunk");
    const modules = chunks.flatMap(({ moduleIds }) => moduleIds);
    expect(modules.some((id) => id.endsWith("@itembank/client/dist/browser.js"))).toBe(true);
    expect(modules.filter((id) => /browser-external|connect-node|^node:/.test(id))).toEqual([]);
    expect(chunks.map(({ code }) => code).join()).not.toMatch(/from "node:|require\(/);
  });
});
