import { createRequire } from "node:module";
import { type DuckDBConnection, DuckDBInstance } from "@duckdb/node-api";

// The driver decodes texts with a decoder that takes a U+FEFF at their beginning for a byte order mark and drops it. That
// is no part of its interface, so package.json pins the version.
const accessors = createRequire(import.meta.url)("@duckdb/node-api/lib/vectors/dataAccessors.js") as {
  textDecoder: { decode(bytes: Uint8Array): string };
};
accessors.textDecoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** What an engine may use. */
export interface EngineOptions {
  /** Bytes of memory. Beyond them it spills to `spillFolder` where it can, and fails where it cannot. */
  readonly memoryBytes: number;
  readonly threads: number;
  /** A folder of its own for what does not fit into memory. */
  readonly spillFolder: string;
  /** Bytes that it may spill. */
  readonly spillBytes: number;
  /** Further settings of DuckDB. */
  readonly settings?: Readonly<Record<string, string>>;
  /** The files that statements may read, by absolute path, and no others. Nothing keeps statements from writing to them. */
  readonly files: readonly string[];
}

/** A DuckDB within this process, in memory, apart from all others. */
export interface Engine extends AsyncDisposable {
  /** The connection that all settings hold for; some of them hold for no other. It is closed with the engine. */
  readonly connection: DuckDBConnection;
  /** Another connection. Whoever takes it closes it. */
  connect(): Promise<DuckDBConnection>;
}

/**
 * Opens an engine that is locked down: statements reach no file but those named, no network, no extension and no setting,
 * whatever they say. Opening takes some milliseconds, so that each task can have one of its own.
 */
export async function openEngine(options: EngineOptions): Promise<Engine> {
  const instance = await DuckDBInstance.create(":memory:", {
    memory_limit: `${options.memoryBytes}B`,
    threads: String(options.threads),
    temp_directory: options.spillFolder,
    max_temp_directory_size: `${options.spillBytes}B`,
    autoinstall_known_extensions: "false",
    autoload_known_extensions: "false",
    allow_community_extensions: "false",
  });
  try {
    const connection = await instance.connect();
    for (const [name, value] of Object.entries(options.settings ?? {})) {
      await connection.run(`set ${name} = ${quoted(value)}`);
    }
    // In this order: what may be read can only be said while everything may, and the last one makes it final.
    await connection.run(`set allowed_paths = [${options.files.map(quoted).join(", ")}]`);
    await connection.run("set enable_external_access = false");
    await connection.run("set lock_configuration = true");
    return {
      connection,
      connect: () => instance.connect(),
      [Symbol.asyncDispose]: async () => {
        connection.closeSync();
        instance.closeSync();
      },
    };
  } catch (error) {
    instance.closeSync();
    throw error;
  }
}

/** A text as a literal of SQL. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
