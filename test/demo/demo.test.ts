import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

const main = fileURLToPath(new URL("../../examples/demo/main.ts", import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

/** A running demo. */
interface RunningDemo {
  /** Returns its output so far. */
  read(): string;
  interrupt(): void;
  /** Closes the output, as `head` does. */
  closeOutput(): void;
  readonly ended: Promise<Ended>;
}

/** Starts the demo as `npm run demo` does, without the settings of the environment. */
function startDemo(settings: Record<string, string>): RunningDemo {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("ITEMBANK_"));
  const child = execFile(process.execPath, [main], {
    env: { ...Object.fromEntries(inherited), ...settings },
  });
  let [output, errors] = ["", ""];
  child.stdout?.on("data", (text: string) => {
    output += text;
  });
  child.stderr?.on("data", (text: string) => {
    errors += text;
  });
  return {
    read: () => output,
    interrupt: () => child.kill("SIGINT"),
    closeOutput: () => child.stdout?.destroy(),
    ended: new Promise((done) => {
      child.on("close", (code) => done({ code, output, errors }));
    }),
  };
}

describe("the demo", () => {
  let directory: string;
  let data: { ITEMBANK_DATA_DIR: string };
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "itembank-demo-"));
    data = { ITEMBANK_DATA_DIR: directory };
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  it("imports, evolves, runs and compares, and makes no new version the second time", async () => {
    const first = await startDemo(data).ended;
    expect(first).toMatchObject({ code: 0, errors: "" });
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
      expect(first.output).toContain(line);
    }
    // Nothing but text in a pipe.
    expect(first.output).not.toContain("\u001b");

    const second = await startDemo(data).ended;
    expect(second).toMatchObject({ code: 0, errors: "" });
    expect(second.output).toContain(
      "no changes, no new version: still version 3, received 306 = 0 created + 0 updated + 306 unchanged; 0 deleted",
    );
    expect(second.output).toMatch(/keywords reuses runs[0-9a-z]{26}/);
    expect(second.output).toMatch(/reader {3}reuses runs[0-9a-z]{26}/);
    expect(second.output).toContain("reader is better than keywords");
  });

  it("stops cleanly when it is interrupted, and starts again", async () => {
    const demo = startDemo(data);
    await vi.waitUntil(() => demo.read().includes("keywords 2"), { timeout: 40_000 });
    demo.interrupt();
    const interrupted = await demo.ended;
    expect(interrupted).toMatchObject({ code: 130, errors: "" });
    expect(interrupted.output).toMatch(/stopped, and the database with it\n$/);
    const again = await startDemo(data).ended;
    expect(again).toMatchObject({ code: 0, errors: "" });
    expect(again.output).toContain("keywords 918 of 918 results");
  });

  it("stops when its output is closed", async () => {
    const demo = startDemo(data);
    await vi.waitUntil(() => demo.read().includes("keywords 2"), { timeout: 40_000 });
    demo.closeOutput();
    expect(await demo.ended).toMatchObject({ code: 141, errors: "" });
  });

  it("reports an invalid setting in one line", async () => {
    const { code, errors } = await startDemo({ ITEMBANK_DATA_DIRECTORY: directory }).ended;
    expect(code).toBe(1);
    expect(errors).toMatch(/^demo: ITEMBANK_DATA_DIRECTORY is not a setting\. .*\n$/);
  });
});
