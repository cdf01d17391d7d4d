import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Scratch } from "../blobs/scratch.ts";
import { invalidFile } from "./invalid-file.ts";
import { decodeFrames, type ParquetRequest } from "./parquet-frames.ts";
import type { Column, TableRow } from "./table.ts";

const main = fileURLToPath(new URL("parquet-main.ts", import.meta.url));

/** Megabytes of JavaScript that the reader may hold: a page of rows, some times over. */
const heapMegabytes = 512;

/**
 * The rows of a Parquet file, page by page, read in a process of its own. A null is undefined.
 *
 * @throws Failure INVALID_FILE
 */
export async function* parquetRows(file: string, scratch: Scratch): AsyncGenerator<TableRow[]> {
  await using spill = await scratch.newFolder();
  const request: ParquetRequest = { file, spillFolder: spill.path };
  // Nothing of what this service was told: a file that takes the reader over finds no secrets. Apart from its signals, too: a
  // Ctrl-C that stops the service must not make files look broken.
  const child = spawn(
    process.execPath,
    [`--max-old-space-size=${heapMegabytes}`, main, JSON.stringify(request)],
    { env: {}, detached: true, stdio: ["ignore", "pipe", "ignore"] },
  );
  const exited = once(child, "exit");
  exited.catch(() => undefined);
  try {
    let columns: Column[] | undefined;
    let number = 0;
    for await (const frame of decodeFrames(child.stdout)) {
      if ("problem" in frame) throw invalidFile(frame.problem, frame.place);
      if ("columns" in frame) {
        columns = frame.columns.map((column) => ({ ...column, isLiteral: false }));
        yield [];
        continue;
      }
      const known = columns ?? [];
      yield frame.rows.map((cells) => {
        number++;
        return { columns: known, cells: cells.map((cell) => cell ?? undefined), number, line: undefined };
      });
    }
    const [code] = await exited;
    if (code !== 0) throw invalidFile("cannot be read as Parquet: its reader came to an end");
  } finally {
    child.kill("SIGKILL");
  }
}
