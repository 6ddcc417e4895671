import { setTimeout as sleep } from "node:timers/promises";
import { asError, UpstreamError } from "../errors.ts";
import type { Closable } from "../lifecycle.ts";

interface OutageGate extends Closable {
  /** @throws {UpstreamError} CLOSED where the work had to wait, and was not begun when it was closed. */
  run<T>(work: () => Promise<T>): Promise<T>;
}

/**
 * Holds up work that a neighbour ends: once some has failed because it is away, none begins until it answers. It is asked
 * `everyMs` milliseconds after the failure, and after each answer that is none.
 *
 * @param ask throws while the neighbour is away.
 * @param isAway whether what work threw says so.
 */
export function createOutageGate(
  ask: () => Promise<unknown>,
  isAway: (error: Error) => boolean,
  everyMs: number,
): OutageGate {
  const ending = new AbortController();
  // whoever waits is let go at once, and not by a question that nobody answers
  const closed = new Promise<never>((_, reject) => {
    ending.signal.onabort = () => reject(new UpstreamError("CLOSED", "the process is shutting down"));
  });
  let back: Promise<void> | undefined;
  async function untilItAnswers(): Promise<void> {
    let answers = false;
    while (!answers) {
      await sleep(everyMs, undefined, { signal: ending.signal });
      answers = await ask().then(
        () => true,
        () => false,
      );
    }
    back = undefined;
  }
  function wait(): Promise<void> {
    const waiting = Promise.race([closed, untilItAnswers()]);
    waiting.catch(() => {});
    return waiting;
  }
  closed.catch(() => {});
  return {
    async run(work) {
      await back;
      try {
        return await work();
      } catch (thrown) {
        if (isAway(asError(thrown))) back ??= wait();
        throw thrown;
      }
    },
    async close() {
      ending.abort();
    },
  };
}
