import pino, { type Logger } from "pino";

export type { Logger };

/** The levels of the log, from the most verbose. */
export const logLevels = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

/** Makes a log of JSON lines on standard error, so that standard output stays free for results. */
export function newLog(level: LogLevel): Logger {
  return pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ fd: 2, sync: true }),
  );
}
