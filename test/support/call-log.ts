import pino from "pino";
import { expect } from "vitest";
import type { Logger } from "../../src/log.ts";

/** The log of a service, which tells which calls are over: also those whose clients are gone. */
export interface CallLog {
  readonly log: Logger;
  /** Waits until the next call of this method is over: `StreamItems`. Returns its code: `ok`, `canceled`. */
  over(method: string): Promise<string>;
}

export function newCallLog(): CallLog {
  const calls: { method: string; code: string }[] = [];
  const write = (line: string) => {
    const { method, code } = JSON.parse(line);
    if (method !== undefined && code !== undefined) calls.push({ method, code });
  };
  return {
    log: pino({ level: "debug" }, { write }),
    async over(method) {
      const isMeant = (call: { method: string }) => call.method.endsWith(`/${method}`);
      const begin = calls.filter(isMeant).length;
      await expect.poll(() => calls.filter(isMeant).length, { timeout: 10_000 }).toBeGreaterThan(begin);
      return calls.filter(isMeant)[begin]?.code ?? "";
    },
  };
}
