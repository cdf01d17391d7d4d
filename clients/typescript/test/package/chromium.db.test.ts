import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { text } from "node:stream/consumers";
import { build, type Rolldown } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestService, type TestService } from "../../../../test/support/service.ts";
import { createItembankClient } from "../../src/node.ts";
import { type InstalledPackage, installPackage } from "./installed-package.ts";

/** The browser of the machine, if there is one. */
const browser = ["chromium", "chromium-browser", "google-chrome"]
  .flatMap((name) => (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, name)))
  .find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });

/** The script of the page. It reports its results to its own server. */
const script = `
import { ItembankError, createItembankClient, formatSummary } from "@itembank/client";

const itembank = createItembankClient({ url: SERVICE_URL, token: "secret" });
let said = "";
const say = (text) => {
  said += text + "\\n";
};
try {
  const items = [1, 2, 3].map((n) => ({ itemId: "k" + n, input: { n, "é": "\\u{1d11e}" }, expectedOutput: n }));
  const { version, digest } = await itembank.upsertDataset({ name: "from a page", items });
  say("version " + version + " " + digest);
  const { summary } = await itembank.runExperiment({
    dataset: "from a page",
    task: ({ input }) => (input.n === 3 ? Promise.reject(new Error("three")) : input.n),
    evaluators: { correct: ({ output, expectedOutput }) => output === expectedOutput },
    retries: 0,
  });
  say(formatSummary(summary).split("\\n").slice(1).filter((line) => !line.startsWith("latency")).join("\\n"));
  for await (const { itemId, input } of itembank.streamItems({ dataset: "from a page" })) say(itemId + " " + input.n);
  await itembank.datasets.getDataset({ dataset: { by: { case: "name", value: "nowhere" } } }).catch((error) => {
    if (error instanceof ItembankError) say(error.reason + " " + error.facts.name);
  });
  say("done");
} catch (error) {
  say("FAILED " + error + (error.cause ?? ""));
}
await fetch("/", { method: "POST", body: said });
`;

let service: TestService;
let site: Server;
let installed: InstalledPackage;
let profile: string;
let page = "";
const told = Promise.withResolvers<string>();

beforeAll(async () => {
  site = createServer(async (request, response) => {
    if (request.method === "POST") told.resolve(await text(request));
    response.setHeader("content-type", "text/html; charset=utf-8").end(page);
  });
  site.listen(0, "127.0.0.1");
  await once(site, "listening");
  [service, installed, profile] = await Promise.all([
    startTestService({ config: { allowedOrigins: [originOf(site)] } }),
    installPackage(),
    mkdtemp(join(tmpdir(), "itembank-browser-")),
  ]);
});

afterAll(async () => {
  site.close();
  // Child processes of the browser outlive it for a moment, and still write to the profile.
  const removal = rm(profile, { recursive: true, force: true, maxRetries: 10 });
  await Promise.all([service.close(), installed.remove(), removal]);
});

const originOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

// Without a browser, the entry point for browsers is tested in Node by browser.db.test.ts, and bundled by package.test.ts.
test.skipIf(browser === undefined)("a page of another origin uses the client in a real browser", async () => {
  await writeFile(
    join(installed.folder, "page.mjs"),
    script.replace("SERVICE_URL", JSON.stringify(service.url)),
  );
  const bundle = await build({
    root: installed.folder,
    configFile: false,
    logLevel: "error",
    build: { write: false, rollupOptions: { input: "page.mjs" } },
  });
  const [chunk] = (bundle as Rolldown.RolldownOutput).output;
  page = `<!doctype html><meta charset="utf-8"><body><script type="module">${chunk.code}</script>`;
  const chromium = spawn(
    browser as string,
    [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      // Without debugging, the browser exits once the page is loaded.
      "--remote-debugging-port=0",
      `--user-data-dir=${profile}`,
      `${originOf(site)}/`,
    ],
    { stdio: "ignore" },
  );
  const ended = once(chromium, "exit");
  let said: string;
  try {
    said = await Promise.race([told.promise, ended.then(([code]) => `the browser ended with code ${code}`)]);
  } finally {
    chromium.kill();
    await ended;
  }
  const node = createItembankClient({ url: service.url });
  const items = [1, 2, 3].map((n) => ({ itemId: `k${n}`, input: { n, é: "\u{1d11e}" }, expectedOutput: n }));
  const { digest } = await node.upsertDataset({ name: "from Node", items });
  node.close();
  expect(said).toBe(
    [
      `version 1 ${digest}`,
      "cells      3 = 2 succeeded + 1 failed + 0 missing",
      "correct    1  n 2 of 2",
      "ERROR      1 ×  three",
      "k1 1",
      "k2 2",
      "k3 3",
      "DATASET_NOT_FOUND nowhere",
      "done",
      "",
    ].join("\n"),
  );
});
