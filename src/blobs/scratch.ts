import { randomUUID } from "node:crypto";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { LocalBlob } from "./blob-store.ts";

/** A place for files that nobody needs once the service has stopped. Disposing of it removes all of them. */
export interface Scratch extends AsyncDisposable {
  /** Where it is, absolute. There from the first `newFile` or `newFolder` on. */
  readonly path: string;
  /** The name of a file that is not there yet, and goes when it is disposed of. */
  newFile(): Promise<LocalBlob>;
  /** A folder, which goes with all that is in it when it is disposed of. */
  newFolder(): Promise<LocalBlob>;
}

/**
 * How long nothing may have been made in a scratch place before it goes. Its process is long dead then, or will make the place
 * anew.
 */
const abandonedMilliseconds = 24 * 3_600_000;

/** A scratch place of this process, in a folder of its own within a directory. Removes what killed processes left there. */
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
    // Another process may remove the same.
    const found = await stat(folder).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs > abandonedMilliseconds) {
      await rm(folder, { recursive: true, force: true });
    }
  }
}
