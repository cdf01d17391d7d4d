import {
  addDays,
  clockTime,
  daysBetween,
  daysBetweenWithoutLeapDays,
  minutesOf,
  weekdays,
} from "./calendar.ts";
import type { Chance } from "./chance.ts";

export type Difficulty = "easy" | "hard";

/** A question with its answer, without an id yet. */
export interface Question {
  readonly question: string;
  readonly answer: number | string;
  readonly difficulty: Difficulty;
  /** The answer of edition 1, where it is wrong. */
  readonly firstAnswer?: number | string;
  /** The difficulty according to edition 1, where it is wrong. */
  readonly firstDifficulty?: Difficulty;
}

/** Makes questions of one kind. */
export type Template = (chance: Chance) => Question;

/** Numbers that questions spell out. */
const words = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];

/** Cents as an amount: `12.40`. */
export const amount = (cents: number): string => (cents / 100).toFixed(2);

const conversions = [
  ["kilometres", "metres", 1000],
  ["metres", "centimetres", 100],
  ["kilograms", "grams", 1000],
  ["litres", "millilitres", 1000],
  ["hours", "minutes", 60],
  ["minutes", "seconds", 60],
  ["days", "hours", 24],
  ["weeks", "days", 7],
] as const;

const capitalized = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
const word = (number: number) => words[number - 2] ?? String(number);
const grouped = (number: number) => number.toLocaleString("en-US");

const toSmallerUnit: Template = (chance) => {
  const [from, to, factor] = chance.pick(conversions);
  const count = chance.between(2, 48);
  return { question: `How many ${to} are ${count} ${from}?`, answer: count * factor, difficulty: "easy" };
};

const toLargerUnit: Template = (chance) => {
  const [to, from, factor] = chance.pick(conversions);
  const count = chance.between(3, 60);
  return {
    question: `How many ${to} are ${grouped(count * factor)} ${from}?`,
    answer: count,
    difficulty: "hard",
  };
};

const pieces: Template = (chance) => {
  const centimetres = chance.pick([20, 25, 30, 40, 50]);
  const count = chance.between(4, 12);
  return {
    question: `A board is ${(centimetres * count) / 100} metres long. How many pieces of ${centimetres} centimetres can be cut from it?`,
    answer: count,
    difficulty: "hard",
  };
};

/** Months differ in length, so this question has no answer. Edition 2 drops such questions. */
export const monthsToDays: Template = (chance) => {
  const months = chance.between(2, 11);
  return { question: `How many days are ${months} months?`, answer: months * 30, difficulty: "easy" };
};

const film: Template = (chance) => {
  const start = chance.between(18 * 12, 23 * 12) * 5;
  const length = chance.between(9, 30) * 5;
  const passesMidnight = start + length >= 1440;
  return {
    question: `A film starts at ${clockTime(start)} and lasts ${length} minutes. When does it end?`,
    answer: clockTime(start + length),
    difficulty: passesMidnight ? "hard" : "easy",
    firstDifficulty: "easy",
  };
};

const nightTrain: Template = (chance) => {
  const start = chance.between(20 * 12, 23 * 12 + 11) * 5;
  const hours = chance.between(3, 9);
  const minutes = chance.between(1, 11) * 5;
  return {
    question: `A night train leaves at ${clockTime(start)} and takes ${hours} hours and ${minutes} minutes. When does it arrive?`,
    answer: clockTime(start + hours * 60 + minutes),
    difficulty: "hard",
  };
};

const timeBefore: Template = (chance) => {
  const time = clockTime(chance.between(0, 287) * 5);
  const minutes = chance.between(3, 16) * 5;
  return {
    question: `What time is it ${minutes} minutes before ${time}?`,
    answer: clockTime(minutesOf(time) - minutes),
    difficulty: "hard",
  };
};

const weekday: Template = (chance) => {
  const start = chance.between(0, 6);
  const days = chance.between(2, 40);
  return {
    question: `Which day of the week is ${days} days after ${weekdays[start]}?`,
    answer: weekdays[(start + days) % 7] ?? "",
    difficulty: "easy",
  };
};

const dateAfter: Template = (chance) => {
  const date = addDays("2021-01-01", chance.between(0, 2500));
  const days = chance.between(20, 120);
  return {
    question: `Which date is ${days} days after ${date}?`,
    answer: addDays(date, days),
    difficulty: "hard",
  };
};

function daysFromTo(from: string, to: string): Question {
  return {
    question: `How many days are there from ${from} to ${to}?`,
    answer: daysBetween(from, to),
    firstAnswer: daysBetweenWithoutLeapDays(from, to),
    difficulty: "hard",
  };
}

const dateSpan: Template = (chance) => {
  const from = addDays("2019-01-01", chance.between(0, 3300));
  return daysFromTo(from, addDays(from, chance.between(60, 300)));
};

/** Around the end of February, in the years that people get wrong. Only edition 2 has these. */
export const leapYears: Template = (chance) => {
  const year = chance.pick([1900, 1996, 2000, 2023, 2024, 2100]);
  return daysFromTo(`${year}-02-${chance.between(10, 27)}`, `${year}-03-0${chance.between(1, 9)}`);
};

const change: Template = (chance) => {
  const thing = chance.pick(["pens", "rolls", "stamps", "postcards", "lemons"]);
  const count = chance.between(2, 7);
  const cents = chance.between(4, 28) * 5;
  return {
    question: `A customer buys ${count} ${thing} at ${amount(cents)} each and pays with 10.00. How much change is due?`,
    answer: amount(1000 - count * cents),
    difficulty: "easy",
  };
};

const reductions: Template = (chance) => {
  const price = chance.between(5, 60) * 4;
  const first = chance.between(1, 6) * 5;
  const second = chance.between(1, 6) * 5;
  return {
    question: `A coat costs ${price}.00. It is reduced by ${first} percent and then by another ${second} percent. What does it cost now?`,
    answer: amount((price * (100 - first) * (100 - second)) / 100),
    difficulty: "hard",
  };
};

const sharedBill: Template = (chance) => {
  const count = chance.between(2, 12);
  const cents = chance.between(15, 90) * 10;
  return {
    question: `${capitalized(word(count))} friends share a bill of ${amount(count * cents)} equally. What does each of them pay?`,
    answer: amount(cents),
    difficulty: "hard",
  };
};

const gain: Template = (chance) => {
  const [had, got] = [chance.between(8, 90), chance.between(3, 60)];
  const thing = chance.pick(["hens", "sheep", "ducks", "goats"]);
  return {
    question: `A farm has ${had} ${thing} and buys ${got} more. How many ${thing} does it have now?`,
    answer: had + got,
    difficulty: "easy",
  };
};

const loss: Template = (chance) => {
  const had = chance.between(40, 400);
  const gone = chance.between(5, 39);
  return {
    question: `A library has ${had} maps and lends out ${gone}. How many maps are left?`,
    answer: had - gone,
    difficulty: "easy",
  };
};

const trays: Template = (chance) => {
  const [count, size] = [chance.between(4, 12), chance.between(8, 24)];
  const sold = chance.between(3, count * size - 1);
  return {
    question: `A baker makes ${count} trays of ${size} rolls and sells ${sold} rolls. How many rolls are left?`,
    answer: count * size - sold,
    difficulty: "hard",
  };
};

const boxes: Template = (chance) => {
  const [count, size] = [chance.between(2, 12), chance.between(2, 12)];
  const thing = chance.pick(["apples", "candles", "marbles", "bulbs"]);
  return {
    question: `There are ${word(count)} boxes of ${word(size)} ${thing} each. How many ${thing} are there?`,
    answer: count * size,
    difficulty: "hard",
  };
};

/** The kinds of questions by topic, with the number of each in edition 1. */
export const topics: Readonly<Record<string, readonly (readonly [Template, count: number])[]>> = {
  units: [
    [toSmallerUnit, 27],
    [toLargerUnit, 15],
    [pieces, 12],
    [monthsToDays, 6],
  ],
  clock: [
    [film, 27],
    [nightTrain, 21],
    [timeBefore, 12],
  ],
  dates: [
    [weekday, 20],
    [dateAfter, 16],
    [dateSpan, 24],
  ],
  money: [
    [change, 30],
    [reductions, 16],
    [sharedBill, 14],
  ],
  stories: [
    [gain, 16],
    [loss, 14],
    [trays, 16],
    [boxes, 14],
  ],
};
