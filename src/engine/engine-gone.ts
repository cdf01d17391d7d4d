/** The process of an engine ended before it answered. */
export class EngineGone extends Error {
  override readonly name = "EngineGone";
  /** Whether it ended as processes do when they are refused memory. */
  readonly outOfMemory: boolean;

  constructor(code: number | null, signal: string | null) {
    super(`the process of the engine ended with ${signal ?? code}`);
    this.outOfMemory = signal === "SIGABRT" || signal === "SIGTRAP" || signal === "SIGKILL" || code === 134;
  }
}
