import { addDays, clockTime, daysBetween, minutesOf, weekdays } from "../../reckoning/calendar.ts";
import { amount } from "../../reckoning/questions.ts";
import { type Answer, NotUnderstoodError, type Solver } from "./solver.ts";

/** Reads whole sentences, one pattern for each kind it knows. */
export const reader: Solver = {
  id: "reader",
  description: "reads whole sentences, pattern by pattern",
  solve(question) {
    for (const [pattern, answer] of patterns) {
      const groups = pattern.exec(question)?.slice(1);
      if (groups !== undefined) return answer(...groups);
    }
    throw new NotUnderstoodError("no pattern fits the question");
  },
};

/** Each unit in terms of the smallest unit of its kind. */
const sizes: Readonly<Record<string, number>> = {
  kilometres: 100_000,
  metres: 100,
  centimetres: 1,
  kilograms: 1000,
  grams: 1,
  litres: 1000,
  millilitres: 1,
  weeks: 604_800,
  days: 86_400,
  hours: 3600,
  minutes: 60,
  seconds: 1,
};

const numberWords = [
  "two",
  "three",
  "four",
  "five",
  "six",
  "seven",
  "eight",
  "nine",
  "ten",
  "eleven",
  "twelve",
];

/** Reads a number in digits, with or without thousands separators, or in words. */
function read(text: string): number {
  const place = numberWords.indexOf(text.toLowerCase());
  return place < 0 ? Number(text.replaceAll(",", "")) : place + 2;
}

const cents = (text: string) => Math.round(read(text) * 100);
const size = (unit: string) => sizes[unit] ?? Number.NaN;

/** Kinds of questions, and how to answer them from the groups of the pattern. */
const patterns: readonly (readonly [RegExp, (...groups: string[]) => Answer])[] = [
  [
    /^How many (\w+) are ([\d,]+) (?!months)(\w+)\?/,
    (to = "", count = "", from = "") => (read(count) * size(from)) / size(to),
  ],
  [
    /^A board is ([\d.]+) metres long\. How many pieces of (\d+)/,
    (long = "", piece = "") => Math.round((read(long) * 100) / read(piece)),
  ],
  [
    /starts at (\S+) and lasts (\d+) minutes/,
    (start = "", length = "") => clockTime(minutesOf(start) + read(length)),
  ],
  [
    /leaves at (\S+) and takes (\d+) hours and (\d+) minutes/,
    (start = "", hours = "", minutes = "") => clockTime(minutesOf(start) + read(hours) * 60 + read(minutes)),
  ],
  [
    /is (\d+) days after ([A-Z]\w+)\?/,
    (days = "", day = "") => weekdays[(weekdays.indexOf(day) + read(days)) % 7] ?? "",
  ],
  [/is (\d+) days after (\S+)\?/, (days = "", start = "") => addDays(start, read(days))],
  [/from (\S+) to (\S+)\?/, (from = "", to = "") => daysBetween(from, to)],
  [
    /buys (\d+) \w+ at (\S+) each and pays with (\S+)\. /,
    (count = "", price = "", paid = "") => amount(cents(paid) - read(count) * cents(price)),
  ],
  [
    /costs (\S+)\. It is reduced by (\d+) percent and then by another (\d+)/,
    (price = "", first = "", second = "") =>
      amount((cents(price) * (100 - read(first)) * (100 - read(second))) / 10_000),
  ],
  [
    /^(\w+) friends share a bill of (\S+) equally/,
    (count = "", bill = "") => amount(cents(bill) / read(count)),
  ],
  [/has (\d+) \w+ and buys (\d+) more/, (had = "", got = "") => read(had) + read(got)],
  [/has (\d+) maps and lends out (\d+)/, (had = "", gone = "") => read(had) - read(gone)],
  [
    /makes (\d+) trays of (\d+) rolls and sells (\d+)/,
    (trays = "", each = "", sold = "") => read(trays) * read(each) - read(sold),
  ],
  [/^There are (\w+) boxes of (\w+) /, (boxes = "", each = "") => read(boxes) * read(each)],
];
