import type { Client } from "@connectrpc/connect";
import { DatasetService } from "../../gen/itembank/v1/dataset_service_pb.js";
import type { Item } from "../../gen/itembank/v1/item_pb.js";
import { ItemService } from "../../gen/itembank/v1/item_service_pb.js";
import type { Run } from "../../gen/itembank/v1/run_pb.js";
import { RunService } from "../../gen/itembank/v1/run_service_pb.js";
import { UpsertMode } from "../../gen/itembank/v1/upsert_pb.js";
import { UpsertService } from "../../gen/itembank/v1/upsert_service_pb.js";
import { countsInWords, outcomeInWords } from "../../src/cli/printing/counts.ts";
import type { Terminal } from "../../src/cli/printing/terminal.ts";
import { versionsTable } from "../../src/cli/printing/versions-table.ts";
import { grouped } from "../../src/quantities.ts";
import { compare, compareByTopic, examplesOf } from "./comparison.ts";
import { type Experiment, findFinishedRun, listAnswers, runExperiment } from "./experiment.ts";
import { findSample, isSame, listVersions, readCorrection, readVersion } from "./history.ts";
import { streamIn } from "./import.ts";
import { answersInWords, plain } from "./printing/answers.ts";
import {
  cellTable,
  coverageInWords,
  differenceReport,
  groupTable,
  verdictInWords,
} from "./printing/comparison-report.ts";
import { startProgress } from "./printing/progress.ts";
import { type OutgoingItem, readSample, sampleName } from "./sample.ts";
import type { Service } from "./service.ts";
import { keywords } from "./solvers/keywords.ts";
import { reader } from "./solvers/reader.ts";

/** The baseline run, and the run to judge. The last cells of the latter are left out, to show that missing cells count. */
const base: Experiment = { solver: keywords, label: "baseline", repetitions: 3, leftOut: 0 };
const candidate: Experiment = { solver: reader, label: "candidate", repetitions: 3, leftOut: 8 };

/** Demonstrates the service, from the import of the sample to the comparison of two runs. */
export async function tour(service: Service, terminal: Terminal): Promise<void> {
  await importSample(service, terminal);
  const version = await showVersions(service, terminal);
  const items = await readVersion(service.client(ItemService), version);
  const runs = service.client(RunService);
  terminal.heading(`3  Two experiments on version ${version}`);
  const baseRun = await runOrReuse(runs, base, version, items, terminal);
  const candidateRun = await runOrReuse(runs, candidate, version, items, terminal);
  await showComparison(runs, baseRun, candidateRun, items, terminal);
  showNext(candidateRun, terminal);
}

/** Brings the sample to its second edition: in three steps if it is new, otherwise in one that may change nothing. */
async function importSample(service: Service, terminal: Terminal): Promise<void> {
  const sample = await findSample(service.client(DatasetService));
  const upserts = service.client(UpsertService);
  const send = async (title: string, items: readonly OutgoingItem[], mode: UpsertMode, note: string) => {
    const progress = startProgress(terminal, { label: title.padEnd(26), total: items.length, unit: "rows" });
    const options = { mode, note, createIfMissing: true };
    const receipt = await streamIn(upserts, items, options, progress.update).finally(progress.stop);
    const counts = receipt.counts ? countsInWords(receipt.counts) : "";
    terminal.print(`${terminal.colors.bold(outcomeInWords(receipt))}, ${counts}`);
  };

  const secondEdition = await readSample("edition-2");
  if (sample === undefined) {
    terminal.heading("1  A dataset streams in, and changes");
    await send("first edition, merge", await readSample("edition-1"), UpsertMode.MERGE, "first edition");
    await send("review of dates, merge", await readSample("review"), UpsertMode.MERGE, "dates reviewed");
    await send("second edition, mirror", secondEdition, UpsertMode.MIRROR, "second edition");
  } else {
    terminal.heading(
      `1  ${sampleName} already exists: version ${sample.latestVersion}, ${grouped(sample.itemCount)} items`,
    );
    await send("second edition, mirror", secondEdition, UpsertMode.MIRROR, "second edition again");
  }
}

/** Lists the versions, verifies that old ones read back unchanged, and returns the latest. */
async function showVersions(service: Service, terminal: Terminal): Promise<bigint> {
  terminal.heading("2  Its versions and their changes");
  const versions = await listVersions(service.client(DatasetService));
  const latest = versions.at(-1)?.version ?? 0n;
  terminal.print(versionsTable(terminal, versions));
  terminal.print();

  const items = service.client(ItemService);
  const [original, review] = [await readSample("edition-1"), await readSample("review")];
  const correction = await readCorrection(items, original, review, { before: 1n, after: latest });
  if (correction !== undefined) {
    const { itemId, question, before, after } = correction;
    terminal.print(`${itemId}: ${question}`);
    terminal.print(
      `version ${before.version} expects ${before.answer}, version ${after.version} expects ${after.answer}\n`,
    );
  }
  const first = await readVersion(items, 1n);
  const verdict = isSame(first, original) ? "equal to the file byte for byte" : "different from the file";
  terminal.print(`version 1 read back: ${grouped(first.length)} items, ${verdict}`);
  return latest;
}

/** Returns the finished run of an earlier start if there is one, and runs the experiment otherwise. */
async function runOrReuse(
  runs: Client<typeof RunService>,
  experiment: Experiment,
  version: bigint,
  items: readonly Item[],
  terminal: Terminal,
): Promise<Run> {
  const { solver, label, repetitions, leftOut } = experiment;
  const finished = await findFinishedRun(runs, version, label);
  if (finished !== undefined) {
    terminal.print(`${solver.id.padEnd(8)} reuses ${finished.runId} by its label ${label}`);
    return finished;
  }
  const progress = startProgress(terminal, {
    label: solver.id.padEnd(8),
    total: items.length * repetitions,
    unit: "results",
  });
  const run = await runExperiment(runs, experiment, version, items, (results, errors) =>
    progress.update(results, `${grouped(errors)} errors`),
  ).finally(progress.stop);
  if (leftOut > 0)
    terminal.print(`${" ".repeat(8)} skipped its last ${leftOut} cells, to show that gaps count`);
  return run;
}

async function showComparison(
  runs: Client<typeof RunService>,
  baseRun: Run,
  candidateRun: Run,
  items: readonly Item[],
  terminal: Terminal,
): Promise<void> {
  terminal.heading("4  Compared, item by item");
  const { summary, correct, rows } = await compare(runs, baseRun.runId, candidateRun.runId);
  terminal.print(
    cellTable(terminal, [
      { name: "base", run: baseRun, mean: correct.baseMean ?? 0 },
      { name: "candidate", run: candidateRun, mean: correct.candidateMean ?? 0 },
    ]),
  );
  terminal.print(`\n${coverageInWords(summary, correct)}`);
  terminal.print("Failed and missing cells count as wrong.\n");
  terminal.print(differenceReport(terminal, correct));
  terminal.print(terminal.colors.bold(verdictInWords(correct, baseRun.targetId, candidateRun.targetId)));
  terminal.print(`\n${groupTable(terminal, compareByTopic(rows, items))}`);
  terminal.print("\nSome items that they answer differently, repetition by repetition:");
  const byId = new Map(items.map((item) => [item.itemId, item]));
  for (const { itemId } of examplesOf(rows)) {
    const item = byId.get(itemId);
    const { question } = JSON.parse(item?.inputJson ?? "{}");
    terminal.print(`\n${terminal.colors.cyan(itemId)} ${question}`);
    terminal.print(`  ${"expected".padEnd(10)}${plain(item?.expectedOutputJson ?? "null")}`);
    for (const run of [baseRun, candidateRun]) {
      const answers = answersInWords(terminal, await listAnswers(runs, run.runId, itemId), run.repetitions);
      terminal.print(`  ${run.targetId.padEnd(10)}${answers}`);
    }
  }
}

/** Suggests next steps, with the names of the data just made. */
function showNext(run: Run, terminal: Terminal): void {
  const call = (method: string, request: string) =>
    `npx buf curl --http2-prior-knowledge --protocol grpc \\\n  -d '${request}' \\\n  http://127.0.0.1:50051/itembank.v1.${method}\n`;
  terminal.heading("5  What to try next");
  terminal.print("npm run demo   again: it finds its data and makes no new version");
  terminal.print("npm test       runs all tests of the service");
  terminal.print("npm start      runs the service on the same data, for calls such as these:\n");
  terminal.print(call("DatasetService/ListVersions", `{"dataset":{"name":"${sampleName}"}}`));
  terminal.print(
    call("ItemService/ListItems", `{"dataset":{"name":"${sampleName}"},"at":{"version":1},"pageSize":3}`),
  );
  terminal.print(
    call("RunService/ListResults", `{"runId":"${run.runId}","outcome":"OUTCOME_FILTER_FAILED"}`),
  );
}
