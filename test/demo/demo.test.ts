import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const main = fileURLToPath(new URL("../../examples/demo/main.ts", import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

/** Starts the demo as `npm run demo` does. Settings of the surroundings do not count. */
function startDemo(environment: Record<string, string>): {
  kill: () => boolean;
  ended: Promise<Ended>;
  read: () => string;
} {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("ASSAY_"));
  const child = execFile(process.execPath, [main], {
    env: { ...Object.fromEntries(inherited), ...environment },
  });
  let [output, errors] = ["", ""];
  child.stdout?.on("data", (text: string) => {
    output += text;
  });
  child.stderr?.on("data", (text: string) => {
    errors += text;
  });
  const ended = new Promise<Ended>((done) => {
    child.on("close", (code) => done({ code, output, errors }));
  });
  return { kill: () => child.kill("SIGINT"), ended, read: () => output };
}

describe("the demo", () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "assay-demo-"));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  const data = () => ({ ASSAY_DATA_DIR: join(directory, "data") });

  it("imports, evolves, runs and compares on an empty directory", async () => {
    const { code, output, errors } = await startDemo(data()).ended;
    expect(errors).toBe("");
    expect(code).toBe(0);
    for (const line of [
      "version 1, received 300 = 300 created + 0 updated + 0 unchanged; 0 deleted",
      "version 2, received 72 = 12 created + 6 updated + 54 unchanged; 0 deleted",
      "version 3, received 306 = 0 created + 3 updated + 303 unchanged; 6 deleted",
      "version 1 read back: 300 items, equal to the file byte for byte",
      "keywords 918 of 918 results, 93 errors",
      "reader   910 of 918 results, 36 errors",
      "306 items in both runs, 0 in one run only, 0 with other content, 0 without a pair.",
      "reader is better than keywords",
    ]) {
      expect(output).toContain(line);
    }
    // Nothing but text in a pipe.
    expect(output).not.toContain("\u001b");
  });

  it("makes no new version the second time, and finds its runs again", async () => {
    const { code, output, errors } = await startDemo(data()).ended;
    expect(errors).toBe("");
    expect(code).toBe(0);
    expect(output).toContain(
      "no changes, no new version: still version 3, received 306 = 0 created + 0 updated + 306 unchanged; 0 deleted",
    );
    expect(output).toMatch(/keywords reuses run runs[0-9a-z]{26}/);
    expect(output).toMatch(/reader {3}reuses run runs[0-9a-z]{26}/);
    expect(output).toContain("reader is better than keywords");
  });

  it("stops cleanly when it is interrupted, and starts again", async () => {
    const environment = { ASSAY_DATA_DIR: join(directory, "interrupted") };
    const demo = startDemo(environment);
    while (!demo.read().includes("keywords 2")) await sleep(20);
    demo.kill();
    const { code, errors } = await demo.ended;
    expect(errors).toBe("");
    expect(code).toBe(130);
    const again = await startDemo(environment).ended;
    expect(again.errors).toBe("");
    expect(again.code).toBe(0);
    expect(again.output).toContain("keywords 918 of 918 results");
  });

  it("says in one line what is wrong with its settings", async () => {
    const { code, errors } = await startDemo({ ASSAY_DATA_DIRECTORY: directory }).ended;
    expect(code).toBe(1);
    expect(errors).toMatch(/^demo: ASSAY_DATA_DIRECTORY is not a setting\. .*\n$/);
  });
});
