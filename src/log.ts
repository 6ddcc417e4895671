import { fstatSync, writeSync } from "node:fs";
import { isatty } from "node:tty";
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

function openStderr(): DestinationStream {
  const found = fstatSync(2);
  // one that is read slowly must hold up nothing
  if (found.isFIFO() || found.isSocket() || isatty(2)) return pino.destination(2);
  return waitingForRoom((bytes) => writeSync(2, bytes));
}

/**
 * Where a line cannot be written, as on a full disk, it waits for room, and work goes on. Of what does not fit into `KEPT_BYTES`
 * the log says later how many lines it was.
 *
 * @param write writes as much as there is room for, and returns how much, or throws.
 */
export function waitingForRoom(write: (bytes: Buffer) => number): DestinationStream {
  let waiting: Buffer = Buffer.alloc(0);
  let dropped = 0;
  const flush = (): void => {
    try {
      while (waiting.length > 0) waiting = waiting.subarray(write(waiting));
    } catch {
      // the next line tries again
    }
  };
  return {
    write(line) {
      flush();
      if (waiting.length > KEPT_BYTES) {
        dropped += 1;
        return;
      }
      const lost = dropped > 0 ? `{"level":50,"msg":"${dropped} lines could not be written here"}\n` : "";
      dropped = 0;
      waiting = Buffer.concat([waiting, Buffer.from(lost + line)]);
      flush();
    },
  };
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
