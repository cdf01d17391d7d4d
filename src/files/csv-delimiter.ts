import { CsvReader } from "./csv.ts";
import type { CsvLayout } from "./csv-layout.ts";
import { invalidFile } from "./invalid-file.ts";

/** The delimiters that are tried. */
const candidates = [",", "\t", ";", "|"] as const;

/** How refusals name them. */
const candidateNames: Readonly<Record<(typeof candidates)[number], string>> = {
  ",": "comma",
  "\t": "tab",
  ";": "semicolon",
  "|": "bar",
};

/** Records that have to agree. With fewer, text with commas may pass for columns; more say nothing new. */
const agreeingRecords = 100;

/**
 * Returns the delimiter by which the first records of a file agree on a number of columns above one. If there is none, it
 * is the one that the first record has, so that the record at fault can be named, or a comma, which makes one column.
 *
 * @param sample the beginning of the file.
 * @param isWhole whether that is all of it.
 * @throws Failure INVALID_FILE if there are several
 */
export function findDelimiter(sample: string, isWhole: boolean, layout: CsvLayout): string {
  const tried = candidates
    .filter((delimiter) => delimiter !== layout.quote)
    .map((delimiter) => ({ delimiter, ...columnCounts(sample, isWhole, { ...layout, delimiter }) }));
  const splitting = tried.filter(({ counts: [first = 0] }) => first > 1);
  const agreeing = splitting.filter(
    ({ counts, isReadable }) => isReadable && counts.every((count) => count === counts[0]),
  );
  const [found, ...others] = agreeing.length > 0 ? agreeing : splitting;
  if (others.length > 0) {
    const names = (agreeing.length > 0 ? agreeing : splitting).map(
      ({ delimiter, counts: [count] }) => `${candidateNames[delimiter]} (${count} columns)`,
    );
    throw invalidFile(`may be delimited by ${names.join(" or ")}; specify the delimiter`);
  }
  return found?.delimiter ?? ",";
}

/** Returns how many columns the first records have, and whether all of them can be read. */
function columnCounts(sample: string, isWhole: boolean, layout: CsvLayout & { readonly delimiter: string }) {
  const reader = new CsvReader(layout);
  reader.feed(sample);
  if (isWhole) reader.end();
  const counts: number[] = [];
  try {
    for (let record = reader.next(); record !== undefined; record = reader.next()) {
      counts.push(record.fields.length);
      if (counts.length === agreeingRecords) break;
    }
  } catch {
    // Another delimiter may fit. If none does, reading reports the problem.
    return { counts, isReadable: false };
  }
  return { counts, isReadable: true };
}
