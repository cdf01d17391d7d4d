/** The exit codes of `itembank`. Documented in docs/cli.md and in --help. */
export const exitCodes = {
  /** Done. */
  ok: 0,
  /** Something failed, or was refused. */
  error: 1,
  /** A plan or a difference has changes. */
  changes: 2,
  /** Interrupted by Ctrl-C; other signals end with 128 plus their number. */
  interrupted: 130,
} as const;

/** The exit codes in words, for --help. */
export const exitCodesHelp = `Exit codes:
  0    done; a plan or a difference without changes
  1    an error, reported on standard error
  2    a plan or a difference with changes
  130  interrupted by Ctrl-C`;

/** A command cannot be carried out. The message says why, for people, in a line or a few. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  /** What to do about it. */
  readonly remedy: string | undefined;

  constructor(message: string, remedy?: string) {
    super(message);
    this.remedy = remedy;
  }
}

/** The program was asked to end. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
  readonly exitCode: number;

  constructor(exitCode: number) {
    super("interrupted");
    this.exitCode = exitCode;
  }
}
