#!/usr/bin/env node
/**
 * `itembank`, started by whatever Node there is. The program is TypeScript, which Node runs from release 24 on: an older one
 * starts the Node that comes with the project, as npm scripts do.
 */
import { spawn } from "node:child_process";
import module, { createRequire } from "node:module";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const neededRelease = 24;

if (Number.parseInt(process.versions.node, 10) >= neededRelease) {
  // Halves the time to start: what was compiled once is kept in the folder for temporary files.
  module.enableCompileCache();
  await import("../src/cli/main.ts");
} else {
  const child = spawn(ownNode(), [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: "inherit",
  });
  // A terminal tells the child as well, which takes two signals in a moment for one.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => {
    process.stderr.write(`itembank: needs Node ${neededRelease} and cannot start it: ${error.message}\n`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}

/** The Node of the package `node`. */
function ownNode() {
  try {
    const folder = dirname(createRequire(import.meta.url).resolve("node/package.json"));
    return join(folder, "bin", process.platform === "win32" ? "node.exe" : "node");
  } catch {
    // It is not installed, so that there is nothing to start but what the shell knows as node.
    process.stderr.write(
      `itembank: this is Node ${process.versions.node}; Itembank needs ${neededRelease} or newer, which npm ci installs\n`,
    );
    process.exit(1);
  }
}
