/**
 * Checks the sources without running them: style, types, dead code, and the contract. Runs all checks, prints the output of those that
 * fail, and exits with 1 if any does.
 */
import { execFileSync, spawnSync } from "node:child_process";

/** A check: the statement it verifies, and the command that fails if the statement is wrong. */
type Check = readonly [title: string, command: string, ...args: string[]];

const checks: Check[] = [
  ["sources are formatted and free of lint", "biome", "ci", "--error-on-warnings", "."],
  ["types hold", "tsc", "--noEmit"],
  ["nothing is exported, installed or kept that nobody uses", "knip", "--no-progress"],
  ["the contract follows its style", "buf", "lint"],
  ["the contract is formatted", "buf", "format", "--diff", "--exit-code", "proto"],
  [
    "generated code is what the contract generates",
    "sh",
    "-c",
    'set -- gen clients/typescript/gen && npm run --silent generate && git diff --exit-code --stat -- "$@" && test -z "$(git ls-files --others --exclude-standard "$@")"',
  ],
];

const lastRelease = lastReleaseTag();
if (lastRelease !== undefined) {
  checks.push([
    `clients of ${lastRelease} still work`,
    "buf",
    "breaking",
    "proto",
    "--against",
    `.git#tag=${lastRelease},subdir=proto`,
  ]);
}

let failed = 0;
for (const [title, command, ...args] of checks) {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  console.log(`${status === 0 ? "ok  " : "FAIL"} ${title}`);
  if (status !== 0) {
    failed++;
    console.log(stdout + stderr);
  }
}
if (lastRelease === undefined) console.log("skip compatibility with the last release: there is none yet");
process.exitCode = failed === 0 ? 0 : 1;

/** Returns the newest tag of a release; undefined before the first one. */
function lastReleaseTag(): string | undefined {
  const tags = execFileSync("git", ["tag", "--list", "v*", "--sort=-version:refname"], { encoding: "utf8" });
  return tags.split("\n")[0] || undefined;
}
