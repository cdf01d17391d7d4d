import { durationMs } from "@bufbuild/protobuf/wkt";
import type { RunResult } from "../../gen/itembank/v1/result_pb.js";
import { type Run, Run_State } from "../../gen/itembank/v1/run_pb.js";

/** One score over a run. The successes of the run always equal n + labelled + failed + unscored. */
export interface ScoreSummary {
  readonly name: string;
  /** Results with a number. */
  readonly n: number;
  /** The mean of the `n` numbers. Undefined if there are none. */
  readonly mean: number | undefined;
  /** Results with a label and no number. */
  readonly labelled: number;
  /** The number of results with each label, with a number or without. */
  readonly labels: Readonly<Record<string, number>>;
  /** Results that the evaluator failed on. */
  readonly failed: number;
  /** Successes without this score. */
  readonly unscored: number;
  /** The error of the first result that the evaluator failed on. Undefined if there is none. */
  readonly firstError: string | undefined;
}

/** Failures of one kind. */
export interface FailureSummary {
  readonly code: string;
  readonly count: number;
  /** The message of one of them. */
  readonly example: string;
}

/** The summary of a run. Always, expected = succeeded + failed + missing: nothing drops out of the denominator. */
export interface ExperimentSummary {
  /** Empty for a dry run. */
  readonly runId: string;
  readonly name: string;
  readonly datasetId: string;
  readonly version: number;
  /** `COMPLETED`, `FAILED`, `RUNNING` and so on; `DRY_RUN` if nothing was written. */
  readonly state: keyof typeof Run_State | "DRY_RUN";
  /** Cells: items times repetitions. */
  readonly expected: number;
  readonly succeeded: number;
  /** Cells whose last result is an error. */
  readonly failed: number;
  /** Cells without a result. */
  readonly missing: number;
  readonly scores: readonly ScoreSummary[];
  /** The most frequent first. */
  readonly failures: readonly FailureSummary[];
  /** The latency of successes, in milliseconds. Undefined if there are none. */
  readonly latencyMs: { readonly mean: number; readonly p50: number; readonly p95: number } | undefined;
}

interface MutableScore {
  sum: number;
  n: number;
  labelled: number;
  labels: Map<string, number>;
  failed: number;
  firstError: string | undefined;
}

/** Accumulates results into a summary. */
export class SummaryBuilder {
  readonly #scores = new Map<string, MutableScore>();
  readonly #failures = new Map<string, { count: number; example: string }>();
  readonly #latencies: number[] = [];
  #succeeded = 0;
  #failed = 0;

  add({ outcome, scores, latency }: RunResult): void {
    if (outcome.case === "error") {
      this.#failed++;
      const { code, message } = outcome.value;
      const known = this.#failures.get(code);
      if (known === undefined) this.#failures.set(code, { count: 1, example: message });
      else known.count++;
      return;
    }
    this.#succeeded++;
    if (latency !== undefined) this.#latencies.push(durationMs(latency));
    for (const { name, value, label, error } of scores) {
      let score = this.#scores.get(name);
      if (score === undefined) {
        score = { sum: 0, n: 0, labelled: 0, labels: new Map(), failed: 0, firstError: undefined };
        this.#scores.set(name, score);
      }
      if (error !== "") {
        score.failed++;
        score.firstError ??= error;
        continue;
      }
      if (label !== "") score.labels.set(label, (score.labels.get(label) ?? 0) + 1);
      if (value === undefined) {
        score.labelled++;
      } else {
        score.sum += value;
        score.n++;
      }
    }
  }

  /** Returns the summary of a run with these results. */
  ofRun(run: Run): ExperimentSummary {
    return this.#build({
      runId: run.runId,
      name: run.name,
      datasetId: run.datasetId,
      version: Number(run.datasetVersion),
      state: Run_State[run.state] as keyof typeof Run_State,
      expected: Number(run.counts?.expected ?? 0n),
    });
  }

  /** Returns the summary of a dry run. */
  ofDryRun(datasetId: string, version: number, name: string, expected: number): ExperimentSummary {
    return this.#build({ runId: "", name, datasetId, version, state: "DRY_RUN", expected });
  }

  #build(
    run: Pick<ExperimentSummary, "runId" | "name" | "datasetId" | "version" | "state" | "expected">,
  ): ExperimentSummary {
    const [succeeded, failed] = [this.#succeeded, this.#failed];
    const latencies = this.#latencies.toSorted((one, other) => one - other);
    const quantile = (share: number) => latencies[Math.ceil(share * latencies.length) - 1] as number;
    return {
      ...run,
      succeeded,
      failed,
      missing: run.expected - succeeded - failed,
      scores: [...this.#scores]
        .map(([name, { sum, n, labelled, labels, failed: errors, firstError }]) => ({
          name,
          n,
          mean: n === 0 ? undefined : sum / n,
          labelled,
          labels: Object.fromEntries([...labels].sort(([, one], [, other]) => other - one)),
          failed: errors,
          unscored: succeeded - n - labelled - errors,
          firstError,
        }))
        .sort((one, other) => (one.name < other.name ? -1 : 1)),
      failures: [...this.#failures]
        .map(([code, failure]) => ({ code, ...failure }))
        .sort((one, other) => other.count - one.count || (one.code < other.code ? -1 : 1)),
      latencyMs:
        latencies.length === 0
          ? undefined
          : {
              mean: latencies.reduce((sum, latency) => sum + latency, 0) / latencies.length,
              p50: quantile(0.5),
              p95: quantile(0.95),
            },
    };
  }
}
