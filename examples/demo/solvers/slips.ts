import { createHash } from "node:crypto";
import { addDays, clockTime, minutesOf, weekdays } from "../../reckoning/calendar.ts";
import type { Answer } from "./solver.ts";

/** How often a solver slips, so that the repetitions of an item differ as those of a language model do. */
const slipShare = 0.06;

/**
 * The answer as it comes out in one repetition: mostly as it is, now and then a little off. Whether and when depends on the
 * arguments alone, so a run gives the same results on every machine.
 */
export function slip(answer: Answer, solverId: string, itemId: string, repetition: number): Answer {
  const hash = createHash("sha256").update(`${solverId}/${itemId}/${repetition}`).digest();
  return hash.readUInt32BE() / 2 ** 32 < slipShare ? neighbour(answer) : answer;
}

/** Something of the same kind, just wrong. */
export function neighbour(answer: Answer): Answer {
  if (typeof answer === "number") return answer + 1;
  const weekday = weekdays.indexOf(answer);
  if (weekday >= 0) return weekdays[(weekday + 1) % 7] ?? "";
  if (/^\d{4}-/.test(answer)) return addDays(answer, 1);
  if (answer.includes(":")) return clockTime(minutesOf(answer) + 10);
  return (Number(answer) + 0.1).toFixed(2);
}
