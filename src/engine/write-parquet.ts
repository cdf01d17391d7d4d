import { type DuckDBConnection, DuckDBTableFunction, VARCHAR } from "@duckdb/node-api";
import { type Engine, openEngine, quoted } from "../db/duckdb.ts";
import { parseJson } from "../json/json-value.ts";
import { CopyReader } from "./copy-reader.ts";
import { exportLayoutKey } from "./export-layout.ts";
import { type MemberColumn, MemberColumns } from "./member-columns.ts";
import type { EngineAnswer, WriteRequest } from "./protocol.ts";
import { refusalOf } from "./refusal.ts";

/**
 * Bytes of rows per batch, exceeded by at most one row. The engine otherwise takes rows by the thousand, which for rows
 * of a megabyte would be gigabytes.
 */
const blockBytes = 1024 * 1024;

/** Bytes of a row group. Later readers get at most this much at a time; smaller groups would compress worse. */
const groupBytes = 16 * 1024 * 1024;

const fileOptions = `format parquet, compression zstd, use_tmp_file false, row_group_size_bytes ${groupBytes}`;

/** Writes the rows on standard input, which follow a request, to a Parquet file. Memory does not grow with their number. */
export async function writeParquet(): Promise<EngineAnswer> {
  const reader = new CopyReader(0);
  const head = reader.takeBytes(5);
  const request: WriteRequest = JSON.parse(reader.takeBytes(head.readUInt32LE(1)).toString());
  try {
    await using engine = await openEngine({
      ...request.bounds,
      threads: 1,
      settings: {
        errors_as_json: "true",
        // Row groups are bounded by bytes only where order is given up; with one thread it stays all the same.
        preserve_insertion_order: "false",
        // Otherwise a few large rows would be held back until there are two thousand.
        enable_caching_operators: "false",
        enable_external_file_cache: "false",
      },
      spillFolder: "",
      spillBytes: 0,
      files: [request.path, request.scratchPath],
    });
    return { kind: "written", rowCount: await write(engine, reader, request) };
  } catch (error) {
    return { kind: "refused", refusal: refusalOf(error, "", request.bounds.memoryBytes) };
  }
}

async function write({ connection }: Engine, reader: CopyReader, request: WriteRequest): Promise<number> {
  const rows = registerRows(connection, reader);
  const { path, scratchPath, membersOf } = request;
  // Rows arrive as arrays of texts, many in one array. The engine unpacks them, many times as fast as handing over value
  // by value.
  const unpacked = `(select unnest(from_json(block, '[["VARCHAR"]]')) as texts from sent_blocks())`;
  const columns = request.columns.map(
    ({ name, expression }, at) => `${expression.replaceAll("VALUE", `texts[${at + 1}]`)} as "${name}"`,
  );
  const source = `select ${columns.join(", ")} from ${unpacked}`;
  if (membersOf === undefined) {
    const mark =
      request.layout === undefined
        ? ""
        : `, kv_metadata {${quoted(exportLayoutKey)}: ${quoted(request.layout)}}`;
    await connection.run(`copy (${source}) to ${quoted(path)} (${fileOptions}${mark})`);
    return rows.count;
  }
  await connection.run(`copy (${source}) to ${quoted(scratchPath)} (${fileOptions})`);
  const members = await findMembers(connection, scratchPath, request);
  await connection.run(
    `copy (select * ${membersOfValue(membersOf, members)} from read_parquet(${quoted(scratchPath)}))
     to ${quoted(path)} (${fileOptions})`,
  );
  return rows.count;
}

/** Makes `sent_blocks()`, a table of the rows as they come in. It can be read once. */
function registerRows(connection: DuckDBConnection, reader: CopyReader): { count: number } {
  const rows = { count: 0 };
  connection.registerTableFunction(
    DuckDBTableFunction.create({
      name: "sent_blocks",
      bindFunction: (info) => info.addResultColumn("block", VARCHAR),
      initFunction: (info) => info.setMaxThreads(1),
      mainFunction: (_, chunk) => {
        const block = reader.readBlock(blockBytes);
        chunk.rowCount = block === undefined ? 0 : 1;
        if (block === undefined) return;
        chunk.setColumnValues(0, [block.json]);
        rows.count += block.rowCount;
      },
    }),
  );
  return rows;
}

/** Returns the members that the values of a column have; none unless all values that are not null are objects. */
async function findMembers(
  connection: DuckDBConnection,
  path: string,
  { membersOf, columns }: WriteRequest,
): Promise<MemberColumn[]> {
  // An object without members has no structure.
  const shapes = `
    select case when shape = '"JSON"' and json_keys(value) = [] then '{}' else shape end as shape, place
    from (select value, place,
                 -- Integers of this many digits may exceed 64 bits. All integers that are accepted are doubles.
                 case when regexp_matches(value, '(^|[:\\[,\\s])-?\\d{19}')
                      then regexp_replace(json_structure(value)::varchar, '(^|[:\\[])"(U?BIGINT|HUGEINT)"', '\\1"DOUBLE"', 'g')
                      else json_structure(value)::varchar end as shape
          from (select "${membersOf}" as value, file_row_number as place
                from read_parquet(${quoted(path)}, file_row_number = true)))`;
  const members = new MemberColumns();
  const addAll = async (statement: string) => {
    for await (const chunk of await connection.stream(statement)) {
      for (const shape of chunk.getColumnValues(0)) if (shape !== null) members.add(parseJson(String(shape)));
    }
  };
  try {
    // Most rows have the same structure as another; the order of members is that of the rows.
    await addAll(`select shape from (${shapes}) group by shape order by min(place)`);
  } catch {
    // Too many different ones to have all at once. Adding some of them again changes nothing.
    await addAll(`select shape from (${shapes})`);
  }
  return members.columns(columns.map(({ name }) => name));
}

/** Returns the part of a select list that turns members into columns. */
function membersOfValue(column: string, members: readonly MemberColumn[]): string {
  if (members.length === 0) return "";
  const structure = JSON.stringify(
    Object.fromEntries(members.map(({ name, structure }) => [name, structure])),
  );
  return `, unnest(json_transform("${column}", ${quoted(structure)}))`;
}
