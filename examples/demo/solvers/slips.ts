import { createHash } from "node:crypto";
import { addDays, clockTime, minutesOf, weekdays } from "../../reckoning/calendar.ts";
import type { Answer } from "./solver.ts";

/** The share of slips, so that the repetitions of an item differ as those of a language model do. */
const slipShare = 0.06;

/**
 * Returns the answer in one repetition: mostly unchanged, now and then a little off. This depends only on the arguments, so
 * a run yields the same results on every machine.
 */
export function slip(answer: Answer, solverId: string, itemId: string, repetition: number): Answer {
  const hash = createHash("sha256").update(`${solverId}/${itemId}/${repetition}`).digest();
  return hash.readUInt32BE() / 2 ** 32 < slipShare ? neighbour(answer) : answer;
}

/** Returns a wrong answer of the same kind. */
export function neighbour(answer: Answer): Answer {
  if (typeof answer === "number") return answer + 1;
  const weekday = weekdays.indexOf(answer);
  if (weekday >= 0) return weekdays[(weekday + 1) % 7] ?? "";
  if (/^\d{4}-/.test(answer)) return addDays(answer, 1);
  if (answer.includes(":")) return clockTime(minutesOf(answer) + 10);
  return (Number(answer) + 0.1).toFixed(2);
}
