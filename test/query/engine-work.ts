import { readFileSync } from "node:fs";
import { expect } from "vitest";
import type { QueryServiceUnderTest } from "./query-service.ts";

/** The CPU time that the engines of a service have taken, in hundredths of a second, by process. */
function cpuTimes({ service }: QueryServiceUnderTest): Map<number, number> {
  return new Map(service.resources.engines.pids().map((pid) => [pid, cpuTime(pid)]));
}

function cpuTime(pid: number): number {
  try {
    // After the name, which stands in parentheses: field 3 of proc(5) and so on.
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    return Number(fields[11]) + Number(fields[12]);
  } catch {
    // The process has ended.
    return 0;
  }
}

/** Hundredths of a second that a process takes for a statement once it works on it, and for nothing else. */
const work = 5;

/** Has both engines of a service of two ready. Returns a function that waits until so many of them work on statements. */
export async function twoEngines(service: QueryServiceUnderTest): Promise<(count: number) => Promise<void>> {
  await expect
    .poll(
      async () => {
        await Promise.all([service.rows("select 1"), service.rows("select 2")]);
        return cpuTimes(service).size;
      },
      { timeout: 20_000 },
    )
    .toBe(2);
  const before = cpuTimes(service);
  return async (count) => {
    const working = () =>
      [...cpuTimes(service)].filter(([pid, time]) => time - (before.get(pid) ?? time) >= work);
    await expect.poll(() => working().length, { timeout: 20_000 }).toBe(count);
  };
}
