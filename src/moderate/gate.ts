import type { Lane } from "../photo.ts";

/** Runs work when there is room for it. */
export type Gate = <T>(lane: Lane, work: () => Promise<T>) => Promise<T>;

/**
 * Lets `width` pieces of work run at once. What waits goes in when one ends: live first, then the oldest.
 * Its callers bound how many wait.
 */
export function createGate(width: number): Gate {
  const waiting: Record<Lane, (() => void)[]> = { live: [], backfill: [] };
  let inside = 0;

  function leave(): void {
    const next = (waiting.live.length > 0 ? waiting.live : waiting.backfill).shift();
    if (next) next();
    else inside--;
  }

  return async (lane, work) => {
    if (inside < width) inside++;
    else await new Promise<void>((enter) => waiting[lane].push(enter));
    try {
      return await work();
    } finally {
      leave();
    }
  };
}
