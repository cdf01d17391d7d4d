/** What a run of `itembank` ends with. Documented in docs/cli.md and in --help. */
export const exitCodes = {
  /** All went well. */
  ok: 0,
  /** Something failed, or was refused. */
  error: 1,
  /** A plan or a difference has changes. */
  changes: 2,
  /** Interrupted, by Ctrl-C; other signals end with 128 and their number. */
  interrupted: 130,
} as const;

/** The exit codes in words, for --help. */
export const exitCodesHelp = `Exit codes:
  0    done; a plan or a difference without changes
  1    an error, which standard error tells
  2    a plan or a difference with changes
  130  interrupted by Ctrl-C`;

/** What was asked for cannot be done, and why: for people, in one line or a few. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  /** What to do about it. */
  readonly remedy: string | undefined;

  constructor(message: string, remedy?: string) {
    super(message);
    this.remedy = remedy;
  }
}

/** Somebody wants the program to end. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
  readonly exitCode: number;

  constructor(exitCode: number) {
    super("interrupted");
    this.exitCode = exitCode;
  }
}
