import pino, { type Logger } from "pino";

export type { Logger };

/** How much the log tells. */
export const logLevels = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

/** A log of JSON lines on standard error, so that standard output stays free for what the user asked for. */
export function newLog(level: LogLevel): Logger {
  return pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ fd: 2, sync: true }),
  );
}
