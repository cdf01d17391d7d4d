import { type Chance, newChance } from "./chance.ts";
import { leapYears, monthsToDays, type Question, type Template, topics } from "./questions.ts";

/** One line of a file: an item of the dataset. */
export interface ItemRow {
  readonly item_id: string;
  readonly input: { readonly question: string };
  readonly expected_output: number | string;
  readonly metadata: { readonly topic: string };
  readonly splits: readonly string[];
}

/** Questions about leap years that edition 2 adds. */
const addedCount = 12;

/** Every 15th item is part of the split `smoke`, for a quick look at whether a solver works at all. */
const smokeInterval = 15;

interface NamedQuestion extends Question {
  readonly itemId: string;
  readonly topic: string;
  readonly template: Template;
  readonly smoke: boolean;
}

/** Returns the files of the dataset by name: the same content at any time, on any machine. */
export function editions(): Readonly<Record<"edition-1" | "review" | "edition-2", readonly ItemRow[]>> {
  const chance = newChance(20_260_101);
  const asked = new Set<string>();
  const original = Object.entries(topics).flatMap(([topic, templates]) => {
    const questions = templates.flatMap(([template, count]) =>
      Array.from({ length: count }, () => ({ template, ...ask(template, chance, asked) })),
    );
    return questions.map((question, index) => name(question, topic, index));
  });
  const firstNumber = original.filter(({ topic }) => topic === "dates").length;
  const added = Array.from({ length: addedCount }, (_, index) =>
    name({ template: leapYears, ...ask(leapYears, chance, asked) }, "dates", firstNumber + index),
  );
  const reviewed = [...original, ...added];
  return {
    "edition-1": original.map((question) =>
      row({
        ...question,
        answer: question.firstAnswer ?? question.answer,
        difficulty: question.firstDifficulty ?? question.difficulty,
      }),
    ),
    review: reviewed.filter(({ topic }) => topic === "dates").map(row),
    "edition-2": reviewed.filter(({ template }) => template !== monthsToDays).map(row),
  };
}

/** Draws a question that differs from all earlier ones. */
function ask(template: Template, chance: Chance, asked: Set<string>): Question {
  for (;;) {
    const question = template(chance);
    if (asked.has(question.question)) continue;
    asked.add(question.question);
    return question;
  }
}

function name<Q extends Question & { template: Template }>(
  question: Q,
  topic: string,
  index: number,
): NamedQuestion {
  const itemId = `${topic}-${String(index + 1).padStart(3, "0")}`;
  return { ...question, itemId, topic, smoke: index % smokeInterval === 0 };
}

function row({ itemId, question, answer, topic, difficulty, smoke }: NamedQuestion): ItemRow {
  return {
    item_id: itemId,
    input: { question },
    expected_output: answer,
    metadata: { topic },
    splits: smoke ? [difficulty, "smoke"] : [difficulty],
  };
}

/** The text of a file: one row per line. */
export function toJsonLines(rows: readonly ItemRow[]): string {
  return rows.map((one) => `${JSON.stringify(one)}\n`).join("");
}
