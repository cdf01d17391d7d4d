import { setTimeout as sleep } from "node:timers/promises";

/** How often a value is read, and how many times in a row it has to be the same: a busy machine may rest for tenths of a second. */
const readMilliseconds = 20;
const sameReads = 50;

/** Waits until a value changes no more, and returns it. */
export async function settled(read: () => number): Promise<number> {
  let value = read();
  for (let same = 0; same < sameReads; ) {
    await sleep(readMilliseconds);
    const next = read();
    same = next === value ? same + 1 : 0;
    value = next;
  }
  return value;
}
