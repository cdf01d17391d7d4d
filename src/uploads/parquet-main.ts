import { type DuckDBConnection, type DuckDBType, DuckDBTypeId } from "@duckdb/node-api";
import { openEngine, quoted } from "../db/duckdb.ts";
import type { FilePlace } from "./invalid-file.ts";
import { encodeFrame, type ParquetFrame, type ParquetRequest } from "./parquet-frames.ts";
import { jsonOfValue, NoJsonForm, requireJsonForm } from "./parquet-values.ts";

/**
 * Reads one Parquet file in a process of its own, and writes its rows to standard output. The engine is native code that is given
 * a file of a stranger: a file that crashes it, or asks it for all memory, ends this process and nothing else.
 */

/** Enough for row groups of some hundred megabytes unpacked, little enough for several at once on a small machine. */
const memoryBytes = 768 * 1024 * 1024;
const spillBytes = 8 * 1024 ** 3;

/** Rows of a frame. The engine hands out some thousand at a time, which may be large. */
const rowsPerFrame = 256;

/** Types whose values are texts in the first place. */
const textTypes = [DuckDBTypeId.VARCHAR, DuckDBTypeId.ENUM];

/** What is wrong with the file, and where. */
class Problem extends Error {
  readonly place: FilePlace;

  constructor(problem: string, place: FilePlace = {}) {
    super(problem);
    this.place = place;
  }
}

async function main(): Promise<void> {
  const request = JSON.parse(process.argv[2] ?? "") as ParquetRequest;
  try {
    await readFile(request);
  } catch (error) {
    const { message, place } = problemOf(error, request);
    await send({ problem: message, place });
  }
}

async function readFile({ file, spillFolder }: ParquetRequest): Promise<void> {
  // One thread: the service hashes and writes the rows meanwhile, which takes longer than reading them.
  const options = { memoryBytes, threads: 1, spillFolder, spillBytes, files: [file] };
  await using engine = await openEngine(options);
  const connection = await engine.connect();
  try {
    const names = await columnNames(connection, file);
    const result = await connection.stream(`select * from read_parquet(${quoted(file)})`);
    const types = result.columnTypes();
    if (types.length !== names.length) throw new Problem("has columns that the engine cannot read");
    types.forEach((type, at) => {
      inColumn({ column: names[at] ?? "" }, () => requireJsonForm(type));
    });
    const isText = types.map((type) => textTypes.includes(type.typeId));
    await send({ columns: names.map((name, at) => ({ name, isText: isText[at] === true })) });
    let count = 0;
    for (let chunk = await result.fetchChunk(); chunk !== null; chunk = await result.fetchChunk()) {
      if (chunk.rowCount === 0) break;
      const vectors = types.map((_, at) => chunk.getColumnVector(at));
      for (let first = 0; first < chunk.rowCount; first += rowsPerFrame) {
        const rows: (string | null)[][] = [];
        for (let at = first; at < Math.min(first + rowsPerFrame, chunk.rowCount); at++) {
          count++;
          rows.push(
            vectors.map((vector, column) => {
              const value = vector.getItem(at);
              if (value === null || isText[column]) return value as string | null;
              return inColumn({ row: count, column: names[column] ?? "" }, () =>
                jsonOfValue(value, types[column] as DuckDBType),
              );
            }),
          );
        }
        await send({ rows });
      }
    }
  } finally {
    connection.closeSync();
  }
}

/** The names of the columns as the file has them. The engine changes those that only differ in case. */
async function columnNames(connection: DuckDBConnection, file: string): Promise<string[]> {
  const reader = await connection.runAndReadAll(
    `select name, coalesce(num_children, 0)::integer from parquet_schema(${quoted(file)})`,
  );
  // The tree of the schema in depth-first order, its root first.
  const nodes = reader.getRows() as [string, number][];
  const names: string[] = [];
  const skip = (at: number): number => {
    let next = at + 1;
    for (let child = 0; child < (nodes[at]?.[1] ?? 0); child++) next = skip(next);
    return next;
  };
  for (let at = 1; at < nodes.length; at = skip(at)) names.push(nodes[at]?.[0] ?? "");
  names.forEach((name, at) => {
    if (name === "") throw new Problem(`has no name for column ${at + 1}`);
    if (names.indexOf(name) < at) throw new Problem("is the name of two columns", { column: name });
  });
  return names;
}

function inColumn<T>(place: FilePlace, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof NoJsonForm ? new Problem(error.message, place) : error;
  }
}

/** What the engine says about a file is the best there is to say, but for where this service keeps it. */
function problemOf(error: unknown, { file }: ParquetRequest): { message: string; place: FilePlace } {
  if (error instanceof Problem) return error;
  const said = error instanceof Error ? error.message : String(error);
  const [line = ""] = said
    .replaceAll(`'${file}'`, "the file")
    .replaceAll(`"${file}"`, "the file")
    .replaceAll(file, "the file")
    .split("\n");
  return { message: `cannot be read as Parquet: ${line}`, place: {} };
}

function send(frame: ParquetFrame): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(encodeFrame(frame), (error) => (error ? reject(error) : resolve()));
  });
}

await main();
process.exit(0);
