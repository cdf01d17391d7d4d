import { plural } from "../quantities.ts";
import { invalidFile } from "./invalid-file.ts";

/** One record of a CSV file. */
export interface CsvRecord {
  readonly fields: string[];
  /** The line in which it begins, from 1. */
  readonly line: number;
}

/**
 * Maximum length of a record in characters: much more than an item may have. Without a bound, a missing quote would
 * take all memory.
 */
const maxRecordLength = 4 * 1024 * 1024;

const quote = 0x22;
const lineFeed = 0x0a;
const carriageReturn = 0x0d;

/** Delimiters to try if the header has no comma; the first of them that it contains is used. */
const otherDelimiters = ["\t", ";", "|"];

/**
 * Reads CSV as RFC 4180 describes it. Commas separate fields; if the header has none outside of quotes, the first tab,
 * semicolon or bar that it has. Lines end with CR LF, LF or CR; empty lines are skipped. A quote must begin a field or
 * be doubled within quotes.
 *
 * Call `feed` with text chunk by chunk, then `end`: each returns the records that are complete.
 *
 * @throws Failure INVALID_FILE
 */
export class CsvReader {
  #text = "";
  #delimiter = "";
  #line = 1;
  /** Records so far: the first is the header. */
  #count = 0;

  /** Takes more text. Returns the records that it completes. */
  feed(text: string): CsvRecord[] {
    this.#text += text;
    return this.#take(false);
  }

  /** Returns the record that no line break ends. */
  end(): CsvRecord[] {
    return this.#take(true);
  }

  #take(isEnd: boolean): CsvRecord[] {
    if (this.#delimiter === "") {
      const delimiter = delimiterOf(this.#text, isEnd);
      if (delimiter === undefined) {
        this.#requireShort(0);
        return [];
      }
      this.#delimiter = delimiter;
    }
    const records: CsvRecord[] = [];
    let at = 0;
    for (;;) {
      const line = this.#line;
      const fields: string[] = [];
      const end = this.#record(at, fields, isEnd);
      if (end < 0) break;
      at = end;
      if (fields.length > 0) {
        records.push({ fields, line });
        this.#count++;
      }
    }
    this.#text = this.#text.slice(at);
    this.#requireShort(0);
    return records;
  }

  /**
   * Reads the record at a position. Returns the position after its line break; -1 if it is not complete. Leaves `fields`
   * empty for an empty line. Counts lines only if it is complete.
   */
  #record(start: number, fields: string[], isEnd: boolean): number {
    const text = this.#text;
    const delimiter = this.#delimiter.charCodeAt(0);
    let lines = 0;
    let at = start;
    if (at === text.length) return -1;
    for (;;) {
      let end: number;
      if (text.charCodeAt(at) === quote) {
        let from = at + 1;
        let isDoubled = false;
        for (;;) {
          end = text.indexOf('"', from);
          if (end < 0 || (end + 1 === text.length && !isEnd)) {
            if (isEnd) throw this.#problem("has an unclosed quote", fields.length);
            return -1;
          }
          if (text.charCodeAt(end + 1) !== quote) break;
          isDoubled = true;
          from = end + 2;
        }
        const field = text.slice(at + 1, end);
        fields.push(isDoubled ? field.replaceAll('""', '"') : field);
        lines += countBreaks(field);
        end++;
      } else {
        end = at;
        for (; end < text.length; end++) {
          const code = text.charCodeAt(end);
          if (code === delimiter || code === lineFeed || code === carriageReturn) break;
          if (code === quote) throw this.#problem("has a quote within an unquoted field", fields.length);
        }
        fields.push(text.slice(at, end));
      }
      if (end === text.length) {
        if (!isEnd) return -1;
        this.#line += lines;
        return end;
      }
      const code = text.charCodeAt(end);
      if (code === delimiter) {
        at = end + 1;
        // A blank field follows a delimiter at the very end.
        if (at === text.length && isEnd) {
          fields.push("");
          this.#line += lines;
          return at;
        }
        if (at === text.length) return -1;
        continue;
      }
      if (code !== lineFeed && code !== carriageReturn) {
        throw this.#problem("has characters after a closing quote", fields.length - 1);
      }
      if (code === carriageReturn) {
        if (end + 1 === text.length && !isEnd) return -1;
        if (text.charCodeAt(end + 1) === lineFeed) end++;
      }
      this.#line += lines + 1;
      if (fields.length === 1 && fields[0] === "" && end - start <= 1) fields.length = 0;
      return end + 1;
    }
  }

  #requireShort(from: number): void {
    if (this.#text.length - from <= maxRecordLength) return;
    throw this.#problem(`has more than ${plural(maxRecordLength, "character")}; is a quote missing?`);
  }

  /** The number of the field stands in for the name of its column, which is not known here. */
  #problem(problem: string, field?: number) {
    const position = { line: this.#line, ...(this.#count === 0 ? {} : { row: this.#count }) };
    return invalidFile(field === undefined ? problem : `${problem}, in field ${field + 1}`, position);
  }
}

/** Returns the delimiter of the header; undefined if it is not complete. */
function delimiterOf(text: string, isEnd: boolean): string | undefined {
  let start = 0;
  while (text[start] === "\n" || text[start] === "\r") start++;
  let isQuoted = false;
  const seen = new Set<string>();
  for (let at = start; at < text.length; at++) {
    const character = text[at] as string;
    if (character === '"') isQuoted = !isQuoted;
    else if (isQuoted) continue;
    else if (character === ",") return ",";
    else if (character === "\n" || character === "\r")
      return otherDelimiters.find((one) => seen.has(one)) ?? ",";
    else if (otherDelimiters.includes(character)) seen.add(character);
  }
  return isEnd ? (otherDelimiters.find((one) => seen.has(one)) ?? ",") : undefined;
}

/** Line breaks within quotes: CR LF counts once. */
function countBreaks(field: string): number {
  return field.match(/\r\n|\n|\r/g)?.length ?? 0;
}
