import { asError } from "./errors.ts";
import type { Closable } from "./lifecycle.ts";

/**
 * Works at once, and then every `everyMs` milliseconds, never twice at a time: what falls due while it works is left out.
 * `close` waits for the work at hand.
 *
 * @param failed told what `work` throws, after which it works again when it is due.
 */
export function runEvery(
  work: () => Promise<unknown>,
  everyMs: number,
  failed: (error: Error) => void,
): Closable {
  let working: Promise<unknown> | undefined;
  const begin = (): void => {
    working ??= work()
      .catch((thrown: unknown) => failed(asError(thrown)))
      .finally(() => {
        working = undefined;
      });
  };
  begin();
  const timer = setInterval(begin, everyMs);
  return {
    async close() {
      clearInterval(timer);
      await working;
    },
  };
}
