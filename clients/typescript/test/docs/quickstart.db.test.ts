import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestService, type TestService } from "../../../../test/support/service.ts";
import { type InstalledPackage, installPackage, runTool } from "../package/installed-package.ts";

const guide = readFileSync(join(import.meta.dirname, "../../../../docs/clients.md"), "utf8");

let service: TestService;
let installed: InstalledPackage;

beforeAll(async () => {
  [service, installed] = await Promise.all([startTestService(), installPackage()]);
});

afterAll(async () => {
  await Promise.all([service.close(), installed.remove()]);
});

test("the quickstart of docs/clients.md runs as written, with the package as it is published", async () => {
  const [, code = ""] = /### Quickstart\n+```ts\n(.*?)```/s.exec(guide) ?? [];
  expect(code).toContain("http://127.0.0.1:50051");
  // Everything but the address, which is that of the test's own service.
  await writeFile(
    join(installed.folder, "quickstart.mts"),
    code.replace("http://127.0.0.1:50051", service.url),
  );
  const output = await runTool("node", ["quickstart.mts"], installed.folder);
  expect(
    output
      .replace(/data\w{26}/, "data…")
      .replaceAll(/runs\w{26}/g, "runs…")
      .replace(/p50.*/, "p50 …"),
  ).toBe(
    [
      "version 1: 3 created, 0 unchanged",
      "COMPLETED  capitals on data… version 1  (runs…)",
      "cells      3 = 2 succeeded + 1 failed + 0 missing",
      "latency    p50 …",
      "correct    0.5  n 2 of 2",
      "ERROR      1 ×  never heard of Portugal",
      "pt failed: never heard of Portugal",
      'fr answered "Paris"',
      'it answered "Milan"',
      "",
    ].join("\n"),
  );
});
