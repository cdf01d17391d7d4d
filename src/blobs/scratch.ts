import { randomUUID } from "node:crypto";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { LocalBlob } from "./blob-store.ts";

/** A place for files that are not needed after the service has stopped. Disposing of it removes all of them. */
export interface Scratch extends AsyncDisposable {
  /** Its absolute path. Exists from the first `newFile` or `newFolder` on. */
  readonly path: string;
  /** Returns the name of a file that does not exist yet, and is removed when it is disposed of. */
  newFile(): Promise<LocalBlob>;
  /** Makes a folder, which is removed with its content when it is disposed of. */
  newFolder(): Promise<LocalBlob>;
}

/**
 * How long a scratch place must have been unchanged before it is removed. Its process is long dead then, or will create
 * it again.
 */
const abandonedMilliseconds = 24 * 3_600_000;

/** Opens a scratch place for this process, in a folder of its own within a directory. Removes those of killed processes. */
export async function openScratch(directory: string): Promise<Scratch> {
  const parent = resolve(directory);
  await removeAbandoned(parent);
  const path = join(parent, randomUUID());
  const take = async (): Promise<LocalBlob> => {
    await mkdir(path, { recursive: true });
    const name = join(path, randomUUID());
    return { path: name, [Symbol.asyncDispose]: () => rm(name, { recursive: true, force: true }) };
  };
  return {
    path,
    newFile: take,
    async newFolder() {
      const folder = await take();
      await mkdir(folder.path);
      return folder;
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

async function removeAbandoned(parent: string): Promise<void> {
  const names = await readdir(parent).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    return [];
  });
  for (const name of names) {
    const folder = join(parent, name);
    // Another process may remove it at the same time.
    const found = await stat(folder).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs > abandonedMilliseconds) {
      await rm(folder, { recursive: true, force: true });
    }
  }
}
