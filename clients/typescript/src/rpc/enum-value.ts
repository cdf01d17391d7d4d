import { invalidField } from "./error.ts";

/** The value of an enum for a word of an option. @throws ItembankError INVALID_FIELD for any other word, which JavaScript allows. */
export function enumValue<Word extends string, Value>(
  field: string,
  word: Word,
  values: Readonly<Record<Word, Value>>,
): Value {
  if (!Object.hasOwn(values, word)) {
    throw invalidField(field, `is ${word}, not ${Object.keys(values).join(" or ")}`);
  }
  return values[word];
}
