/** The answer of a solver: a number, or a text such as `07:35`, `Friday` or `12.40`. */
export type Answer = number | string;

/** A program that reads a question and answers it. */
export interface Solver {
  /** Its target id in runs. */
  readonly id: string;
  /** A description in one sentence. */
  readonly description: string;
  /**
   * Answers a question; the same question always gets the same answer.
   *
   * @throws NotUnderstoodError if it cannot read the question.
   */
  solve(question: string): Answer;
}

/** The solver cannot read the question. The result of such an item is an error, not a wrong answer. */
export class NotUnderstoodError extends Error {
  override readonly name = "NotUnderstoodError";
}
