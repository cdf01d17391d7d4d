import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, rename, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** The package of the client, and the repository that provides its dependencies. */
const packageFolder = join(import.meta.dirname, "../..");
const repository = join(packageFolder, "../..");

/** A project with the client installed as it is published. */
export interface InstalledPackage {
  readonly folder: string;
  /** The files of the package, relative to its root. */
  readonly files: readonly string[];
  remove(): Promise<void>;
}

/**
 * Builds and packs the client, and installs the tarball into an empty project. Works on a copy, because several suites may do
 * this at once.
 */
export async function installPackage(): Promise<InstalledPackage> {
  const folder = await mkdtemp(join(tmpdir(), "itembank-client-"));
  const copy = join(folder, "copy");
  const isSource = (path: string) => !/[\\/](node_modules|dist|proto)$/.test(path);
  await cp(packageFolder, copy, { recursive: true, filter: isSource });
  await run("npm", ["run", "build", "--", "--outDir", join(copy, "dist")], { cwd: packageFolder });
  await run("npm", ["run", "contract", "--", join(copy, "proto")], { cwd: packageFolder });
  const pack = ["pack", "--json", "--ignore-scripts", "--pack-destination", folder];
  const { stdout } = await run("npm", pack, { cwd: copy });
  const [{ filename }] = Object.values(JSON.parse(stdout)) as [{ filename: string }];
  await run("tar", ["-xzf", filename], { cwd: folder });
  await mkdir(join(folder, "node_modules", "@itembank"), { recursive: true });
  const installed = join(folder, "node_modules", "@itembank", "client");
  await rename(join(folder, "package"), installed);
  for (const scope of ["@bufbuild", "@connectrpc", "@noble", "@types"]) {
    await symlink(join(repository, "node_modules", scope), join(folder, "node_modules", scope));
  }
  return {
    folder,
    files: (await readdir(installed, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(installed.length + 1)),
    remove: () => rm(folder, { recursive: true }),
  };
}

/** Runs a program from the repository's dependencies in a folder. */
export async function runTool(name: string, args: readonly string[], cwd: string): Promise<string> {
  const bin = join(repository, "node_modules", ".bin", name);
  const { stdout } = await run(bin, args, { cwd }).catch((error: { stdout: string; stderr: string }) => {
    throw new Error(`${name} ${args.join(" ")}: ${error.stdout}${error.stderr}`);
  });
  return stdout;
}
