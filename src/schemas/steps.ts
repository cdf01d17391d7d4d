/**
 * Bounds the work of checking one value. Schemas come from callers, and a few lines of one can ask for more work than
 * any machine can do: references that fan out, patterns, comparisons of all elements. So everything that checks spends
 * steps of some ten nanoseconds each, and the value is refused when they run out.
 */

/**
 * Steps for any value. Enough for schemas of hundreds of alternatives on small items; a thousand small items that use
 * up all of them take some ten seconds, in short turns.
 */
const stepsAtLeast = 1_000_000;

/**
 * Additional steps for each byte. Fewer would refuse large items with unions of many objects; more would let one item
 * of 1 MiB block the server for over a second.
 */
const stepsPerByte = 20;

/** Thrown when a value has run out of steps. */
export class StepsSpent extends Error {
  override readonly name = "StepsSpent";
}

const spent = new StepsSpent("out of steps");
let left = 0;

/** Starts a value of this many bytes. Checking is synchronous, so there is one counter. */
export function allowSteps(bytes: number): void {
  left = stepsAtLeast + stepsPerByte * bytes;
}

/** Spends steps. @throws StepsSpent when none are left. */
export function spend(steps: number): void {
  left -= steps;
  if (left < 0) throw spent;
}
