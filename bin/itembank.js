#!/usr/bin/env node
/**
 * `itembank`, started by any Node. The program is TypeScript, which Node runs from release 24 on: an older Node starts the
 * one that is installed with the project, as npm scripts do.
 */
import { spawn } from "node:child_process";
import module, { createRequire } from "node:module";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const neededRelease = 24;

if (Number.parseInt(process.versions.node, 10) >= neededRelease) {
  // Halves the start-up time: compiled code is cached in the folder for temporary files.
  module.enableCompileCache();
  await import("../src/cli/main.ts");
} else {
  const child = spawn(ownNode(), [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: "inherit",
  });
  // A terminal signals the child as well, which treats two signals in quick succession as one.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => {
    process.stderr.write(`itembank: needs Node ${neededRelease} and cannot start it: ${error.message}\n`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}

/** Returns the path of the Node in the package `node`. */
function ownNode() {
  try {
    const folder = dirname(createRequire(import.meta.url).resolve("node/package.json"));
    return join(folder, "bin", process.platform === "win32" ? "node.exe" : "node");
  } catch {
    // It is not installed, and the Node on the PATH may be the one that is too old.
    process.stderr.write(
      `itembank: this is Node ${process.versions.node}; Itembank needs ${neededRelease} or newer, which npm ci installs\n`,
    );
    process.exit(1);
  }
}
