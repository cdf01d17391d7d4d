import { invalidField } from "./error.ts";

/** Returns the enum value of an option's word. @throws ItembankError INVALID_FIELD for any other word, which JavaScript allows */
export function enumValue<Word extends string, Value>(
  field: string,
  word: Word,
  values: Readonly<Record<Word, Value>>,
): Value {
  if (!Object.hasOwn(values, word)) {
    throw invalidField(field, `must be ${Object.keys(values).join(" or ")}, not ${word}`);
  }
  return values[word];
}
