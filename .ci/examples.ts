/**
 * Runs the examples in languages without a client library against a service of this checkout. An example whose toolchain is
 * missing is reported as skipped. Exits with 1 if any of them fails.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** An example and the commands that run it; the last one gets the address of the service. */
interface Example {
  readonly directory: string;
  readonly tool: string;
  readonly commands: (address: string) => readonly (readonly string[])[];
}

const examples: readonly Example[] = [
  {
    directory: "examples/go",
    tool: "go",
    commands: (address) => [
      ["go", "generate"],
      ["go", "run", ".", "-address", address],
    ],
  },
  {
    directory: "examples/java",
    tool: "mvn",
    commands: (address) => [["mvn", "-q", "-B", "compile", "exec:java", `-Dexec.args=${address}`]],
  },
];

/** Matches the last line that every example prints. */
const success = /STATE_COMPLETED: 2500 results read; 2500 expected = 2500 succeeded \+ 0 failed \+ 0 missing/;

const directory = await mkdtemp(join(tmpdir(), "itembank-examples-"));
const service = spawn(process.execPath, ["src/main.ts"], {
  env: {
    ...process.env,
    ITEMBANK_LISTEN: "127.0.0.1:0",
    ITEMBANK_DATA_DIR: directory,
    ITEMBANK_LOG_LEVEL: "warn",
  },
  stdio: ["ignore", "pipe", "inherit"],
});
let failed = 0;
try {
  const address = await addressOf(service);
  for (const example of examples) {
    const verdict = run(example, address);
    console.log(`${verdict.padEnd(4)} ${example.directory}`);
    if (verdict === "FAIL") failed++;
  }
} finally {
  service.kill("SIGTERM");
  await once(service, "exit");
  await rm(directory, { recursive: true, force: true });
}
process.exitCode = failed === 0 ? 0 : 1;

function run({ directory: cwd, tool, commands }: Example, address: string): "ok" | "FAIL" | "skip" {
  if (spawnSync(tool, [tool === "go" ? "version" : "--version"]).error !== undefined) return "skip";
  for (const [command = "", ...args] of commands(address)) {
    const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: "utf8" });
    const isLast = args.some((argument) => argument.includes(address));
    if (status === 0 && (!isLast || success.test(stdout))) continue;
    console.log(stdout + stderr);
    return "FAIL";
  }
  return "ok";
}

async function addressOf({ stdout }: ChildProcess): Promise<string> {
  if (stdout === null) throw new Error("the service has no standard output");
  for await (const line of createInterface({ input: stdout })) {
    const address = /listens on (\S+?),? /.exec(line)?.[1];
    if (address !== undefined) return address;
  }
  throw new Error("the service did not start");
}
