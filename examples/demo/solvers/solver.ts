/** What a solver answers: a number, or a text such as `07:35`, `Friday` or `12.40`. */
export type Answer = number | string;

/** A program that reads a question and answers it. */
export interface Solver {
  /** Names it as the target of a run. */
  readonly id: string;
  /** What it does, in one sentence. */
  readonly description: string;
  /**
   * Answers a question, always in the same way.
   *
   * @throws NotUnderstoodError if it cannot make anything of the question.
   */
  solve(question: string): Answer;
}

/** The solver cannot read the question. The result of such an item is an error, not a wrong answer. */
export class NotUnderstoodError extends Error {
  override readonly name = "NotUnderstoodError";
}
