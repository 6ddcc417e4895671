import { type DestinationStream, type Logger, pino } from "pino";
import { asError } from "./errors.ts";

export type { Logger };

/**
 * JSON lines on stderr, so that stdout stays the command's own. Of an error only what is listed here is written:
 * clients hang their commands and settings on errors, with passwords in them.
 *
 * @param to another place than stderr.
 */
export function createLog(level: string, to: DestinationStream = pino.destination(2)): Logger {
  const serializers = { err: describe };
  const base = { pid: process.pid };
  return pino({ level, base, serializers, timestamp: pino.stdTimeFunctions.isoTime }, to);
}

/** What of an error may be written down. */
export function describe(error: unknown): object {
  const { name, message, code, stack, cause } = asError(error) as Error & { code?: unknown };
  return {
    type: name,
    message,
    ...(code !== undefined && { code }),
    stack,
    ...(cause !== undefined && { cause: describe(cause) }),
  };
}
