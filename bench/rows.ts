/** An item as a benchmark sends it. */
export interface BenchRow {
  readonly itemId: string;
  readonly input: string;
  readonly expectedOutput: string;
  readonly metadata: string;
}

const sentence = "A train leaves the station at nine and meets another one that left an hour later. ";

/**
 * Rows of about 400 bytes, the same for the same arguments: questions with an answer and a few annotations, the kind of item
 * that evaluation data sets are full of.
 *
 * @param edition Which rows are changed: those whose number it divides. 0 changes none.
 */
export function benchRows(count: number, edition = 0): BenchRow[] {
  return Array.from({ length: count }, (_, number) => {
    const changed = edition > 0 && number % edition === 0 ? " Explain." : "";
    return {
      itemId: `question-${String(number).padStart(9, "0")}`,
      input: JSON.stringify({
        question: `${sentence.repeat(3)}When do they meet, if the first goes ${number} km/h?${changed}`,
      }),
      expectedOutput: JSON.stringify({ answer: number * 7 }),
      metadata: JSON.stringify({ level: number % 5, source: "bench" }),
    };
  });
}

/** Bytes of the payloads and the id of one row, on average. */
export function meanSize(rows: readonly BenchRow[]): number {
  const size = ({ itemId, input, expectedOutput, metadata }: BenchRow) =>
    itemId.length + input.length + expectedOutput.length + metadata.length;
  return rows.reduce((sum, row) => sum + size(row), 0) / rows.length;
}
