import { type Run, Run_State, type RunCounts } from "../../../clients/typescript/src/contract.ts";
import { grouped } from "../../quantities.ts";
import { type PrintedColumn, table } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { oneLine } from "./text.ts";
import { timeInWords } from "./time.ts";

/** `918 cells = 874 succeeded + 36 failed + 8 missing` */
export function cellsInWords({ expected, succeeded, failed, missing }: RunCounts): string {
  return `${grouped(expected)} cells = ${grouped(succeeded)} succeeded + ${grouped(failed)} failed + ${grouped(missing)} missing`;
}

/** Returns the name of a run for people: its target, else its name, else its id. */
export function runName({ targetId, name, runId }: Pick<Run, "targetId" | "name" | "runId">): string {
  return oneLine(targetId || name || runId);
}

type ColumnText = (terminal: Terminal, run: Run) => string;

/** The columns of tables of runs. Failed and missing cells stand out. */
const columns = {
  run: [{ title: "run", align: "left" }, (_, { runId }) => runId],
  target: [{ title: "target", align: "left", shrinks: true }, (_, run) => runName(run)],
  labels: [{ title: "labels", align: "left", shrinks: true }, (_, { labels }) => labels.join(", ")],
  state: [{ title: "state", align: "left" }, ({ colors }, { state }) => painted(colors, state)],
  version: [{ title: "version" }, (_, { datasetVersion }) => grouped(datasetVersion)],
  cells: [{ title: "cells" }, (_, { counts }) => grouped(counts?.expected ?? 0n)],
  succeeded: [{ title: "succeeded" }, (_, { counts }) => grouped(counts?.succeeded ?? 0n)],
  failed: [{ title: "failed" }, ({ colors }, { counts }) => troubling(colors, counts?.failed)],
  missing: [{ title: "missing" }, ({ colors }, { counts }) => troubling(colors, counts?.missing)],
  created: [
    { title: "created (UTC)", align: "left" },
    (_, { createTime }) => timeInWords(createTime).slice(0, 16),
  ],
} as const satisfies Readonly<Record<string, readonly [PrintedColumn, ColumnText]>>;

function painted(colors: Terminal["colors"], state: Run_State): string {
  const word = (Run_State[state] ?? "").toLowerCase();
  if (state === Run_State.COMPLETED) return colors.green(word);
  if (state === Run_State.FAILED) return colors.red(word);
  return state === Run_State.RUNNING ? colors.cyan(word) : word;
}

function troubling(colors: Terminal["colors"], count: bigint | undefined): string {
  return count ? colors.yellow(grouped(count)) : "0";
}

function drawn(terminal: Terminal, runs: readonly Run[], names: readonly (keyof typeof columns)[]): string {
  const hasLabels = runs.some(({ labels }) => labels.length > 0);
  const chosen = names
    .filter((name) => name !== "labels" || hasLabels)
    .map((name): readonly [PrintedColumn, ColumnText] => columns[name]);
  return table(
    terminal,
    chosen.map(([column]) => column),
    runs.map((run) => chosen.map(([, text]) => text(terminal, run))),
  );
}

/** Below this many columns, the table of runs leaves out the columns that matter least. */
const roomy = 114;

/** Draws a list of runs. */
export function runsTable(terminal: Terminal, runs: readonly Run[]): string {
  const names = ["run", "target", "labels", "state", "succeeded", "failed", "missing"] as const;
  return drawn(terminal, runs, terminal.width < roomy ? names : [...names, "version", "created"]);
}

/** Draws the sides of a comparison. */
export function sidesTable(terminal: Terminal, runs: readonly Run[]): string {
  return drawn(terminal, runs, [
    "target",
    "labels",
    "state",
    "version",
    "cells",
    "succeeded",
    "failed",
    "missing",
  ]);
}
