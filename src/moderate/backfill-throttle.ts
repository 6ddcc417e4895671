import type { Lane } from "../photo.ts";

/** Runs work when there is room for it. */
export type BackfillThrottle = <T>(lane: Lane, work: () => Promise<T>) => Promise<T>;

/**
 * Leaves the cores to uploads. An upload goes in at once. While uploads come, one core is left free for the next of them and
 * for the thread that all photos go through: as many photos of the backfill go in as there are other cores, less one for each
 * upload that is inside. What is inside already is soon over, but what went in behind an upload would run beside it and slow
 * it down. `quietMs` after the last upload all go in.
 * Its callers bound how many wait.
 *
 * @param cores that decoding and inference share.
 * @param now milliseconds of a clock that only goes forward.
 */
export function createBackfillThrottle(cores: number, quietMs: number, now: () => number): BackfillThrottle {
  const waiting: (() => void)[] = [];
  const inside: Record<Lane, number> = { live: 0, backfill: 0 };
  let uploadAt = Number.NEGATIVE_INFINITY;

  function limit(): number {
    if (inside.live > 0) return cores - 1 - inside.live;
    return now() - uploadAt < quietMs ? Math.max(1, cores - 1) : Number.POSITIVE_INFINITY;
  }

  /** Whoever waits goes in when somebody leaves: while none is inside the limit is never 0, so none is forgotten. */
  function admit(): void {
    while (waiting.length > 0 && inside.backfill < limit()) {
      inside.backfill++;
      waiting.shift()!();
    }
  }

  return async (lane, work) => {
    if (lane === "live" || inside.backfill < limit()) inside[lane]++;
    else await new Promise<void>((enter) => waiting.push(enter));
    if (lane === "live") uploadAt = now();
    try {
      return await work();
    } finally {
      inside[lane]--;
      admit();
    }
  };
}
