import { setImmediate } from "node:timers/promises";

/**
 * For a walk over very many bytes, which calls it again and again: it lets others have the thread whenever the walk has held it for
 * a while. A photo may be 60 MB, and fetches, the queue and the answers to health checks share the thread.
 */
export function createPause(): () => Promise<void> | undefined {
  let until = performance.now() + HELD_MS;
  return () => {
    if (performance.now() < until) return undefined;
    return setImmediate().then(() => {
      until = performance.now() + HELD_MS;
    });
  };
}

const HELD_MS = 10;
