/**
 * Bounds the work of checking one value. Schemas come from callers, and a few lines of one can ask for more work than any
 * machine has: references that fan out, patterns, elements that are all compared. So everything that checks spends steps, of
 * some ten nanoseconds each, and the value is refused when they are used up.
 */

/**
 * Steps for any value. Enough for schemas of hundreds of alternatives on small items; a thousand small items that use them
 * all up take some ten seconds, in short turns.
 */
const stepsAtLeast = 1_000_000;

/**
 * Steps more for each byte. Less would refuse large items with unions of many objects, more would let one item of 1 MiB keep
 * the server from everything else for over a second.
 */
const stepsPerByte = 20;

/** Thrown when the steps for a value are used up. */
export class StepsSpent extends Error {
  override readonly name = "StepsSpent";
}

const spent = new StepsSpent("out of steps");
let left = 0;

/** Begins with a value of so many bytes. Checking is synchronous, so there is one count. */
export function allowSteps(bytes: number): void {
  left = stepsAtLeast + stepsPerByte * bytes;
}

/** Takes steps. @throws StepsSpent when there are none left. */
export function spend(steps: number): void {
  left -= steps;
  if (left < 0) throw spent;
}
