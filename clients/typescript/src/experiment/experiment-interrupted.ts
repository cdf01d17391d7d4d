/** An experiment was stopped after its run had been created, by its signal or by the error in `cause`. */
export class ExperimentInterruptedError extends Error {
  override readonly name = "ExperimentInterruptedError";
  /** The run. `runExperiment` with this `runId` resumes it, unless the run has ended. */
  readonly runId: string;

  constructor(runId: string, cause: unknown) {
    super(`run ${runId} was interrupted: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
    this.runId = runId;
  }
}
