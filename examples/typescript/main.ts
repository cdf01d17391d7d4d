/**
 * One dataset through two versions, with experiments on both: upsert, run, evolve, send the changes, run again, compare.
 *
 *     npm start                                                          # the service, in another terminal
 *     node --conditions=@itembank/source examples/typescript/main.ts
 *
 * The rows are the dataset in `examples/reckoning`. Two small programs answer the questions, in place of a model. In a
 * project of your own, `npm install @itembank/client` replaces the condition.
 */
import {
  createItembankClient,
  type ExperimentResult,
  formatSummary,
  type ItembankClient,
  ItembankError,
  type ReadItem,
} from "@itembank/client";
import { Verdict } from "@itembank/client/contract";
import { keywords } from "../demo/solvers/keywords.ts";
import { reader } from "../demo/solvers/reader.ts";
import { NotUnderstoodError, type Solver } from "../demo/solvers/solver.ts";
import { type Row, readRows } from "./rows.ts";

const name = process.env.EXAMPLE_DATASET ?? "reckoning-typescript";

/** An upsert that makes the dataset equal to an edition: items without a row in it are deleted. */
function edition(number: 1 | 2) {
  return {
    name,
    // A generator: the file is read as it is sent.
    items: readRows(`edition-${number}.jsonl`),
    mode: "mirror" as const,
    // A truncated file must not empty the dataset.
    guards: { maxDeleteRatio: 0.1 },
    note: `edition ${number}`,
  };
}

/** Has a solver answer every question of a version, twice. */
function experiment(
  itembank: ItembankClient,
  solver: Solver,
  version: number,
  carryFromRunId?: string,
): Promise<ExperimentResult> {
  return itembank.runExperiment({
    dataset: name,
    version,
    target: { type: "program", id: solver.id },
    repetitions: 2,
    concurrency: 8,
    timeoutMs: 5_000,
    // A question that the solver does not understand now, it will not understand a second later.
    shouldRetry: (error) => !(error instanceof NotUnderstoodError),
    task: ({ input }: ReadItem<Row["input"], Row["expected_output"]>) => solver.solve(input.question),
    evaluators: {
      correct: ({ output, expectedOutput }) => output === expectedOutput,
      form: ({ output, expectedOutput }) =>
        typeof output === typeof expectedOutput ? "same type" : "other type",
    },
    ...(carryFromRunId && { carryFromRunId }),
  });
}

async function main(itembank: ItembankClient): Promise<void> {
  heading("1. The first edition");
  const first = await itembank.upsertDataset(edition(1));
  console.log(`version ${first.version}, ${first.itemCount} items, digest ${first.digest.slice(0, 12)}…`);

  heading("2. An experiment on it");
  const before = await experiment(itembank, keywords, first.version);
  console.log(formatSummary(before.summary));

  heading("3. The second edition");
  const plan = await itembank.upsertDataset({ ...edition(2), plan: true });
  const { created, updated, deleted, unchanged } = plan.counts;
  console.log(`plan: ${created} created, ${updated} updated, ${deleted} deleted, ${unchanged} unchanged`);
  await plan.discard();
  let sent = 0;
  const onProgress = ({ bodiesSent }: { bodiesSent: number }) => {
    sent = bodiesSent;
  };
  const second = await itembank.upsertDataset({ ...edition(2), onProgress });
  console.log(
    `version ${second.version}: of ${second.counts.received} rows, ${sent} were sent with their bodies`,
  );
  const again = await itembank.upsertDataset(edition(2));
  console.log(`once more: ${again.noOp ? "nothing to do, no version made" : `version ${again.version}`}`);

  heading("4. Experiments on the new version");
  // Unchanged questions are not asked again.
  const carried = await experiment(itembank, keywords, second.version, before.runId);
  console.log(formatSummary(carried.summary));
  const after = await experiment(itembank, reader, second.version);
  console.log(formatSummary(after.summary));

  heading("5. Which one is better?");
  const { summary } = await itembank.compareRuns({
    base: carried.runId,
    candidate: after.runId,
    scores: [{ name: "correct", failureValue: 0 }],
  });
  for (const score of summary.scores) {
    const [low, high] = [score.confidenceLow ?? Number.NaN, score.confidenceHigh ?? Number.NaN];
    console.log(
      `${reader.id} is ${Verdict[score.verdict]} than ${keywords.id} in "${score.name}": ` +
        `${score.meanDifference?.toFixed(3)} (95 %: ${low.toFixed(3)} to ${high.toFixed(3)}), ` +
        `${score.wins} wins, ${score.losses} losses, ${score.ties} ties`,
    );
  }

  heading("6. The history");
  for (let version = 1; version <= second.version; version++) {
    const { version: made } = await itembank.datasets.getVersion({
      dataset: { by: { case: "name", value: name } },
      at: { by: { case: "version", value: BigInt(version) } },
    });
    const counts = made?.counts;
    console.log(
      `version ${version}  ${made?.itemCount} items  +${counts?.created} ~${counts?.updated} -${counts?.deleted}  ${made?.note}`,
    );
  }
}

function heading(text: string): void {
  console.log(`\n${text}`);
}

const itembank = createItembankClient({ url: process.env.EXAMPLE_URL ?? "http://127.0.0.1:50051" });
try {
  await main(itembank);
} catch (error) {
  if (!(error instanceof ItembankError)) throw error;
  console.error(`${error.reason ?? "no answer"}: ${error.message}`);
  process.exitCode = 1;
} finally {
  itembank.close();
}
