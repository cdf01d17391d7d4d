import { openBrace, openBracket, quote } from "../json/json-bytes.ts";
import { invalidFile } from "./invalid-file.ts";
import { DocumentReader, type RowsIn, rowsOfDocument } from "./json-document.ts";
import { isSpace, type ObjectText, objectsOfLines } from "./json-objects.ts";

/** A JSON or JSONL file. */
interface JsonFile {
  readonly format: "json" | "jsonl";
  /** Whether the format was given, instead of inferred. */
  readonly isFormatGiven: boolean;
  /** Opens it anew, in chunks of UTF-8 that end between characters. */
  open(): AsyncIterable<Buffer>;
}

/** Yields the rows of a JSON or JSONL file, page by page. An inferred format yields to the bytes. @throws Failure INVALID_FILE */
export async function* jsonObjects(file: JsonFile): AsyncGenerator<ObjectText[]> {
  if (file.format === "jsonl" && file.isFormatGiven) yield* objectsOfLines(file.open());
  else {
    const place = await findRows(file);
    if (place === "lines") yield* objectsOfLines(file.open());
    else yield* rowsOfDocument(file.open(), place);
  }
}

/** Members of an object that make it an item, whatever else it contains. */
const itemMembers: ReadonlySet<string> = new Set(["input", "messages"]);

/** The members of a document that is an object, as far as they say where rows are. */
interface Members {
  count: number;
  objects: number;
  isItem: boolean;
  readonly arraysOfObjects: string[];
}

/** Finds the rows of a file. Reads only as far as necessary: of a document that is an object, all. @throws Failure INVALID_FILE */
async function findRows({ format, isFormatGiven, open }: JsonFile): Promise<RowsIn | "lines"> {
  const members: Members = { count: 0, objects: 0, isItem: false, arraysOfObjects: [] };
  let isMore = false;
  const reader = new DocumentReader(
    { kind: "member", name: "" },
    {
      onMember(name, first, second) {
        members.count++;
        if (itemMembers.has(name)) members.isItem = true;
        if (first === openBrace) members.objects++;
        // Two suffice to know that there are several.
        if (first === openBracket && second === openBrace && members.arraysOfObjects.length < 2)
          members.arraysOfObjects.push(name);
      },
      onMore() {
        isMore = true;
      },
    },
  );
  let first: number | undefined;
  for await (const chunk of open()) {
    if (first === undefined) {
      first = chunk.find((byte) => !isSpace(byte));
      if (first === undefined) continue;
      if (first === openBracket) return { kind: "array" };
      if (first !== openBrace)
        return isFormatGiven || (first !== quote && format === "json") ? { kind: "array" } : "lines";
    }
    reader.feed(chunk);
    if (isMore) return isFormatGiven ? { kind: "document" } : "lines";
  }
  if (first === undefined) return format === "jsonl" ? "lines" : { kind: "array" };
  reader.end();
  // A file of lines may have one.
  return format === "jsonl" ? { kind: "document" } : rowsIn(members);
}

/** @throws Failure INVALID_FILE */
function rowsIn({ count, objects, isItem, arraysOfObjects }: Members): RowsIn {
  if (isItem) return { kind: "document" };
  const [name, other] = arraysOfObjects;
  if (other !== undefined) {
    throw invalidFile(
      `contains several arrays of objects, ${JSON.stringify(name)} and ${JSON.stringify(other)} among them; it is not clear which of them has the rows`,
    );
  }
  if (name !== undefined) return { kind: "member", name };
  return count > 0 && objects === count ? { kind: "members" } : { kind: "document" };
}
