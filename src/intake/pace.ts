import { setTimeout as sleep } from "node:timers/promises";

/**
 * Lets callers through one by one, at most `perSecond` in a second and evenly.
 *
 * @returns resolves when it is the caller's turn; rejects with the signal's reason once it is aborted.
 */
export function createPace(perSecond: number, signal: AbortSignal): () => Promise<void> {
  let next = 0;
  return async () => {
    signal.throwIfAborted();
    const now = performance.now();
    const at = Math.max(now, next);
    next = at + 1_000 / perSecond;
    // timers are no finer, and what they are late is made up for
    if (at - now >= 1) await sleep(at - now, undefined, { signal });
  };
}
