/** The columns that probably are the parts of an item, by what they are called. */
export interface SuggestedColumns {
  readonly itemId: string | undefined;
  /** Undefined if it is not clear from the names. */
  readonly input: string | undefined;
  readonly expectedOutput: string | undefined;
  readonly metadata: string | undefined;
  readonly splits: string | undefined;
  /** Whether there are other columns. */
  readonly hasRest: boolean;
}

/** What columns with the right answers are called. In an input, they would show those to the model. */
const answers = [
  "expected_output",
  "answer",
  "answers",
  "completion",
  "expected",
  "ideal",
  "label",
  "labels",
  "output",
  "outputs",
  "reference",
  "response",
  "solution",
  "target",
];
const inputs = ["input", "inputs", "question", "prompt", "messages", "query", "instruction", "problem"];

/** Returns the first column that is called like an answer. */
export function answerColumn(names: readonly string[]): string | undefined {
  return names.find((name) => answers.includes(name.toLowerCase()));
}

/** Suggests a mapping for columns in a layout that people know, such as question and answer; undefined for any other. */
export function suggestColumns(names: readonly string[]): SuggestedColumns | undefined {
  const find = (known: readonly string[]) =>
    known.flatMap((one) => names.find((name) => name.toLowerCase() === one) ?? []).at(0);
  const input = find(inputs);
  const expectedOutput = find(answers);
  if (input === undefined && expectedOutput === undefined) return undefined;
  const found = {
    itemId: find(["item_id", "id"]),
    input,
    expectedOutput,
    metadata: find(["metadata"]),
    splits: find(["splits", "split"]),
  };
  const used = new Set(Object.values(found));
  return { ...found, hasRest: names.some((name) => !used.has(name)) };
}
