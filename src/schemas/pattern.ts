import { RE2JS, RE2JSException } from "re2js";
import { spend } from "./steps.ts";

/** Characters of a pattern. Repetitions let each stand for a thousand instructions, and compiling takes time for all of them. */
const maxPatternLength = 1_000;

/** Instructions of all patterns of a schema: about a tenth of a second of compiling, and a megabyte. */
const maxInstructions = 50_000;

/** Instructions that are run on one character within a step, in the worst case. */
const instructionsPerStep = 8;

/** Why a text is not a pattern that can be used. */
export class PatternProblem extends Error {
  override readonly name = "PatternProblem";
}

/** A pattern as the validator wants it. */
export interface Pattern {
  test(text: string): boolean;
}

/** Compiles the patterns of one schema, each once. */
export class Patterns {
  readonly #compiled = new Map<string, Pattern>();
  #instructions = 0;

  /**
   * Compiles a regular expression of RE2, which runs in time proportional to the text. The ways in which ECMAScript spells
   * the same things (`\\u00e9`, `\\cA`) are understood, too.
   *
   * @throws PatternProblem if it is none or too large.
   */
  compile(source: string): Pattern {
    const known = this.#compiled.get(source);
    if (known !== undefined) return known;
    if (source.length > maxPatternLength)
      throw new PatternProblem(`has more than ${maxPatternLength} characters`);
    if (/\\u[dD][89a-fA-F]/.test(source)) {
      throw new PatternProblem("spells a surrogate; characters beyond U+FFFF are spelled as \\u{1F600}");
    }
    const regExp = compile(source);
    const instructions = regExp.programSize();
    this.#instructions += instructions;
    if (this.#instructions > maxInstructions) {
      throw new PatternProblem(
        `makes the patterns of the schema take more than ${maxInstructions} instructions`,
      );
    }
    const pattern = {
      test(text: string): boolean {
        spend(1 + Math.ceil((text.length * instructions) / instructionsPerStep));
        return regExp.test(text);
      },
    };
    this.#compiled.set(source, pattern);
    return pattern;
  }
}

function compile(source: string): RE2JS {
  try {
    return RE2JS.compile(RE2JS.translateRegExp(source));
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error;
    throw new PatternProblem(
      `is not an RE2 expression: ${error.message.replace(/^error parsing regexp: /, "")}`,
    );
  }
}
