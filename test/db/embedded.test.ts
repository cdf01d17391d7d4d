import { spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { startEmbeddedDatabase } from "../../src/db/embedded.ts";
import { newLog } from "../../src/log.ts";

describe("the embedded database", () => {
  test.each([
    ["the exit code that is set", "process.exitCode = 3", { status: 3, signal: null }],
    [
      "signals",
      'process.kill(process.pid, "SIGTERM"); setTimeout(() => {}, 10_000)',
      { status: null, signal: "SIGTERM" },
    ],
  ])("leaves %s to the process that loads it", (_, script, ending) => {
    const module = new URL("../../src/db/embedded.ts", import.meta.url);
    const program = `await import(${JSON.stringify(module)}); ${script}`;
    const { status, signal } = spawnSync(process.execPath, ["--input-type=module", "--eval", program]);
    expect({ status, signal }).toEqual(ending);
  });

  // Other users run it under their own name, who can enter where they put it.
  test.skipIf(process.getuid?.() !== 0)("as root, names the folder that its user cannot enter", async () => {
    const closed = await mkdtemp(join(tmpdir(), "assay-closed-"));
    try {
      const start = startEmbeddedDatabase(join(closed, "data"), newLog("silent"));
      await expect(start).rejects.toThrow(`cannot enter ${closed} on the way`);
    } finally {
      await rm(closed, { recursive: true, force: true });
    }
  });
});
