import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newTestDatabase, type TestDatabase } from "../../../../test/support/database.ts";
import { startTestService, type TestService } from "../../../../test/support/service.ts";
import {
  createItembankClient,
  type ItembankClient,
  type ReadItem,
  type Subject,
  type WorkOptions,
} from "../../src/node.ts";

let database: TestDatabase;
let service: TestService;
let itembank: ItembankClient;

beforeAll(async () => {
  database = await newTestDatabase();
  service = await startTestService({ database });
  itembank = createItembankClient({ url: service.url });
});

afterAll(async () => {
  itembank.close();
  await service.close();
  await database.drop();
});

interface Chat {
  readonly messages: { role: string; content: string }[];
}
interface Answer {
  sum: number;
}
type Question = ReadItem<Chat, Answer>;
type Options<Output> = WorkOptions<Chat, Output, Answer>;

const stored = [{ role: "user", content: "2+2?" }];

/** The scores and the output of a cell, as they are recorded. */
interface Recorded {
  readonly output: unknown;
  readonly scores: readonly { readonly value?: number | undefined; readonly label?: string | undefined }[];
}

/** Runs a task and evaluators on one item, three times. */
async function experiment<Output>(way: string, options: Options<Output>): Promise<Recorded[]> {
  const name = `${way} ${crypto.randomUUID()}`;
  const question = { itemId: "sum", input: { messages: stored }, expectedOutput: { sum: 4 }, splits: ["a"] };
  await itembank.upsertDataset({ name, items: [question] });
  const recorded: Recorded[] = [];
  if (way === "workRun") {
    const { run } = await itembank.runs.createRun({
      dataset: { by: { case: "name", value: name } },
      run: { repetitions: 3 },
    });
    const runId = run?.runId ?? "";
    await itembank.workRun({ runId, ...options });
    for await (const { outcome, scores } of itembank.streamResults({ runId })) {
      recorded.push({ output: outcome.value, scores });
    }
    return recorded;
  }
  await itembank.runExperiment({
    dataset: name,
    repetitions: 3,
    ...(way === "a dry run" && { dryRun: 1 }),
    onResult: ({ result }) =>
      recorded.push({ output: result.outcome?.value, scores: (result.scores ?? []) as Recorded["scores"] }),
    ...options,
  });
  return recorded;
}

describe.each(["runExperiment", "workRun", "a dry run"])("in %s", (way) => {
  test("every attempt sees the item as it is stored", async () => {
    const seen: number[] = [];
    const recorded = await experiment(way, {
      retries: 1,
      task({ input, splits }: Question, { attempt }) {
        seen.push(input.messages.length + splits.length);
        input.messages.push({ role: "assistant", content: "4" });
        (splits as string[]).push("b");
        if (attempt === 1) throw new Error("after changing its item");
        return "4";
      },
    });
    expect(recorded.map(({ output }) => output)).toEqual(['"4"', '"4"', '"4"']);
    expect(seen).toEqual([2, 2, 2, 2, 2, 2]);
  });

  test("a task that writes the expected output does not score", async () => {
    const recorded = await experiment(way, {
      task({ expectedOutput }: Question) {
        if (expectedOutput) expectedOutput.sum = 5;
        return 5;
      },
      evaluators: { correct: ({ output, expectedOutput }) => output === expectedOutput?.sum },
    });
    expect(recorded.map(({ scores }) => scores.map(({ value }) => value))).toEqual([[0], [0], [0]]);
  });

  test("every evaluator sees the item and the output as they were", async () => {
    const spoil = ({ input, output, expectedOutput, item }: Subject<Chat, { steps: number[] }, Answer>) => {
      const label = JSON.stringify([input, output, expectedOutput, item.input]);
      output.steps.length = 0;
      input.messages.length = 0;
      if (expectedOutput) expectedOutput.sum = 0;
      Object.assign(item.input, { other: 1 });
      return label;
    };
    const recorded = await experiment(way, {
      task: () => ({ steps: [1, 2] }),
      evaluators: { one: spoil, two: spoil, three: spoil },
    });
    const whole = JSON.stringify([{ messages: stored }, { steps: [1, 2] }, { sum: 4 }, { messages: stored }]);
    const scores = [whole, whole, whole];
    expect(
      recorded.map(({ output, scores }) => ({ output, scores: scores.map(({ label }) => label) })),
    ).toEqual(Array.from({ length: 3 }, () => ({ output: '{"steps":[1,2]}', scores })));
  });
});
