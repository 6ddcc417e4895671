import { fstatSync } from "node:fs";
import { type DestinationStream, type Logger, pino } from "pino";
import { asError } from "./errors.ts";

export type { Logger };

/**
 * JSON lines on stderr, so that stdout stays the command's own. Of an error only what is listed here is written:
 * clients hang their commands and settings on errors, with passwords in them.
 *
 * @param to another place than stderr.
 */
export function createLog(level: string, to: DestinationStream = openStderr()): Logger {
  const serializers = { err: describe };
  const base = { pid: process.pid };
  return pino({ level, base, serializers, timestamp: pino.stdTimeFunctions.isoTime }, to);
}

/** Where a line cannot be written, as on a full disk, it waits for room, and work goes on. */
function openStderr(): DestinationStream {
  const found = fstatSync(2);
  // one that is read slowly must hold up nothing
  if (found.isFIFO() || found.isSocket()) return pino.destination(2);
  const to = pino.destination({ dest: 2, sync: true, maxLength: KEPT_BYTES });
  to.on("error", () => {});
  // it would try for ever; whatever can be written has been
  to.flushSync = () => {};
  return to;
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

const KEPT_BYTES = 1_000_000;
