import { type Logger, pino } from "pino";

export type { Logger };

/** JSON lines on stderr, so that stdout stays the command's own. Credentials never reach it: URLs are not logged. */
export function createLog(level: string): Logger {
  return pino(
    { level, base: { pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination(2),
  );
}
