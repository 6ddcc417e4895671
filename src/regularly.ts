import type { Closable } from "./lifecycle.ts";

/**
 * Works at once, and then every `everyMs` milliseconds, never twice at a time: what falls due while it works is left out.
 * `close` waits for the work at hand.
 *
 * @param work does not throw.
 */
export function regularly(work: () => Promise<void>, everyMs: number): Closable {
  let working: Promise<void> | undefined;
  const begin = (): void => {
    working ??= work().finally(() => {
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
