import { addDays, clockTime, minutesOf, weekdays } from "../../reckoning/calendar.ts";
import { amount } from "../../reckoning/questions.ts";
import { type Answer, NotUnderstoodError, type Solver } from "./solver.ts";

/**
 * Guesses the operation from single words, and takes the first numbers it sees. Ignores number words, thousands separators,
 * conversions to larger units and midnight, and takes every month to have 30 days.
 */
export const keywords: Solver = {
  id: "keywords",
  description: "guesses the operation from single words",
  solve(question) {
    return date(question) ?? time(question) ?? calculate(question);
  },
};

function date(question: string): Answer | undefined {
  const [from, to] = question.match(/\d{4}-\d{2}-\d{2}/g) ?? [];
  if (from !== undefined && to !== undefined) return daysOfThirtyDayMonths(to) - daysOfThirtyDayMonths(from);
  const days = Number(/(\d+) days/.exec(question)?.[1]);
  if (from !== undefined) return addDays(from, days);
  const start = weekdays.findIndex((name) => question.includes(name));
  return start < 0 ? undefined : weekdays[(start + days) % 7];
}

function daysOfThirtyDayMonths(text: string): number {
  const [year, month, day] = text.split("-").map(Number);
  return ((year ?? 0) * 12 + (month ?? 0)) * 30 + (day ?? 0);
}

function time(question: string): Answer | undefined {
  const start = /\d{2}:\d{2}/.exec(question)?.[0];
  if (start === undefined) return undefined;
  const minutes = Number(/(\d+) minutes/.exec(question)?.[1]);
  const end = minutesOf(start) + minutes;
  // Past midnight this yields a time that no clock shows.
  return end < 1440 ? clockTime(end) : `${Math.floor(end / 60)}:${String(end % 60).padStart(2, "0")}`;
}

function calculate(question: string): Answer {
  const [first, second, third] = (question.match(/\d+(\.\d+)?/g) ?? []).map(Number);
  if (first === undefined) throw new NotUnderstoodError("there is no number in digits");
  const factor = factors[/How many (\w+) are/.exec(question)?.[1] ?? ""];
  if (factor !== undefined) return first * factor;
  if (second === undefined) throw new NotUnderstoodError("there is only one number in digits");
  if (/change/.test(question)) return amount(Math.round(((third ?? 0) - first * second) * 100));
  if (/percent/.test(question)) return amount(Math.round(first * (100 - second - (third ?? 0))));
  if (/more/.test(question)) return first + second;
  if (/left/.test(question)) return first - second;
  return first * second;
}

/** The factor that converts to each unit from the one a question is likely to use. */
const factors: Readonly<Record<string, number>> = {
  metres: 1000,
  centimetres: 100,
  grams: 1000,
  millilitres: 1000,
  minutes: 60,
  seconds: 60,
  hours: 24,
  days: 7,
};
