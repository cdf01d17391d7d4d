import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { getHeapStatistics } from "node:v8";
import { describe, expect, test } from "vitest";
import { v8Flags } from "../../src/server/v8-flags.ts";

/** The report of a process about itself before it runs its program. */
interface Told {
  readonly pid: number;
  readonly flags: readonly string[];
  /** Depends on the size of semi-spaces, and so on the flag that V8 reads only when a process starts. */
  readonly heapLimit: number;
}

const telling = `data:text/javascript,import { getHeapStatistics } from "node:v8";
const heapLimit = getHeapStatistics().heap_size_limit;
console.error("TOLD " + JSON.stringify({ pid: process.pid, flags: process.execArgv, heapLimit }));`;

/** Runs a program on Node. Returns the reports of its successive processes, and the rest of standard error. */
function run(args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  const { NODE_OPTIONS: options = "", ...settings } = environment;
  const { stderr, status } = spawnSync(process.execPath, args, {
    encoding: "utf8",
    timeout: 30_000,
    env: { PATH: process.env.PATH, NODE_OPTIONS: `--import=${encodeURI(telling)} ${options}`, ...settings },
  });
  const lines = stderr.split("\n");
  const told = lines.flatMap((line) => /^TOLD (.*)/.exec(line)?.[1] ?? []);
  return {
    told: told.map((line) => JSON.parse(line) as Told),
    said: lines.filter((line) => !line.startsWith("TOLD ")).join("\n"),
    status,
  };
}

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

/** Returns the heap limit of a process that is started with these flags. */
function heapLimitWith(...flags: readonly string[]): number | undefined {
  return run([...flags, "--eval", ""]).told[0]?.heapLimit;
}

describe("the flags of V8", () => {
  const refusal = /^itembank: ITEMBANK_LISTEN=here: expected host:port/;
  // Both stop at an invalid address, which they read after they have set the flags.
  test.each([
    ["src/main.ts", [path("src/main.ts")], { ITEMBANK_LISTEN: "here" }],
    ["itembank serve", [path("bin/itembank.js"), "serve", "--listen", "here"], {}],
  ])("hold for %s, which restarts with them under the same process id", (_, args, environment) => {
    const { told, said, status } = run(args, environment);
    expect(said).toMatch(refusal);
    expect(status).toBe(1);
    expect(told.map(({ flags }) => flags)).toEqual([[], v8Flags]);
    expect(new Set(told.map(({ pid }) => pid)).size).toBe(1);
    expect(told[1]?.heapLimit).toBe(heapLimitWith(...v8Flags));
    expect(told[1]?.heapLimit).not.toBe(heapLimitWith());
  });

  test("do not override flags that are set already, in either spelling", () => {
    const [semiSpaces = "", external = ""] = v8Flags;
    const settings = { ITEMBANK_LISTEN: "here", NODE_OPTIONS: "--max_semi_space_size=32" };
    const { told } = run([external, path("src/main.ts")], settings);
    expect(told.map(({ flags }) => flags)).toEqual([[external]]);
    expect(told[0]?.heapLimit).toBe(heapLimitWith("--max-semi-space-size=32"));
    const { told: other } = run([semiSpaces, path("src/main.ts")], { ITEMBANK_LISTEN: "here" });
    expect(other.map(({ flags }) => flags)).toEqual([[semiSpaces], [external, semiSpaces]]);
  });

  test("hold in the processes that run suites", () => {
    for (const flag of v8Flags) expect(process.execArgv).toContain(flag);
    expect(getHeapStatistics().heap_size_limit).toBe(heapLimitWith(...v8Flags));
  });
});
