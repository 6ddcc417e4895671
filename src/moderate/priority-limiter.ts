import type { Lane } from "../photo.ts";

/** Shadow work goes in when nothing of either lane waits. */
export type Priority = Lane | "shadow";

/** Runs work when there is room for it. */
export type PriorityLimiter = <T>(of: Priority, work: () => Promise<T>) => Promise<T>;

/**
 * Lets `width` pieces of work run at once. What waits goes in when one ends: live first, then
 * backfill, then shadow, and of each the oldest.
 * Its callers bound how many wait.
 */
export function createPriorityLimiter(width: number): PriorityLimiter {
  const waiting: Record<Priority, (() => void)[]> = { live: [], backfill: [], shadow: [] };
  let inside = 0;

  function leave(): void {
    const next = waiting.live.shift() ?? waiting.backfill.shift() ?? waiting.shadow.shift();
    if (next) next();
    else inside--;
  }

  return async (of, work) => {
    if (inside < width) inside++;
    else await new Promise<void>((enter) => waiting[of].push(enter));
    try {
      return await work();
    } finally {
      leave();
    }
  };
}
