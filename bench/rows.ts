/** An item sent by a benchmark. */
export interface BenchRow {
  readonly itemId: string;
  readonly input: string;
  readonly expectedOutput: string;
  readonly metadata: string;
}

const sentence = "A train leaves the station at nine and meets another one that left an hour later. ";

/** Rows that are generated on request, as if read from a file: none of them stays in memory. */
export interface BenchRows {
  readonly count: number;
  at(position: number): BenchRow;
}

/**
 * Returns rows of about 400 bytes, the same for the same arguments: questions with an answer and a few annotations, typical
 * items of evaluation datasets.
 */
export function benchRows(count: number): BenchRows {
  return { count, at: (position) => rowOf(position, "") };
}

/** Returns the same rows, with one percent of them changed. */
export function changedRows(count: number): BenchRows {
  return { count, at: (position) => rowOf(position, position % 100 === 0 ? " Explain." : "") };
}

/** Returns the changed rows, with one percent of the others left out. */
export function fewerRows(count: number): BenchRows {
  const blocks = Math.floor(count / 100);
  // Of each hundred, the second is left out.
  const numberAt = (position: number) => {
    const place = position % 99;
    return Math.floor(position / 99) * 100 + (place === 0 ? 0 : place + 1);
  };
  return {
    count: count - blocks,
    at: (position) => {
      const number = numberAt(position);
      return rowOf(number, number % 100 === 0 ? " Explain." : "");
    },
  };
}

function rowOf(number: number, change: string): BenchRow {
  return {
    itemId: `question-${String(number).padStart(9, "0")}`,
    input: JSON.stringify({
      question: `${sentence.repeat(3)}When do they meet, if the first goes ${number} km/h?${change}`,
    }),
    expectedOutput: JSON.stringify({ answer: number * 7 }),
    metadata: JSON.stringify({ level: number % 5, source: "bench" }),
  };
}

/** Returns the bytes of the payloads and the id of a row in the middle. */
export function sizeOf(rows: BenchRows): number {
  const { itemId, input, expectedOutput, metadata } = rows.at(Math.floor(rows.count / 2));
  return itemId.length + input.length + expectedOutput.length + metadata.length;
}

/** Schemas that all rows satisfy, typical for such questions. */
export const schemas = {
  inputSchemaJson: JSON.stringify({
    type: "object",
    properties: { question: { type: "string", minLength: 1, maxLength: 10_000 } },
    required: ["question"],
    additionalProperties: false,
  }),
  expectedOutputSchemaJson: JSON.stringify({
    type: "object",
    properties: { answer: { type: "integer" } },
    required: ["answer"],
  }),
};
