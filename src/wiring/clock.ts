/** Part of processes: whether the clock of this machine is that of Postgres. */

import { fresh, type GaugeSource } from "../http/gauges.ts";
import type { Scope } from "../lifecycle.ts";
import type { Logger } from "../log.ts";
import { runEvery } from "../run-every.ts";
import { clockAheadS, clockMs, wrongClock } from "../store/clock.ts";
import type { Pool } from "../store/pool.ts";

/**
 * Says every minute in the log that the clocks are apart, for as long as they are. Nobody refuses to start for it: no verdict or
 * event counts by the clock of this machine, and where that of Postgres is the wrong one, all would refuse.
 *
 * @param failed told where Postgres does not say.
 */
export function watchClock(db: Pool, log: Logger, scope: Scope, failed: (error: Error) => void): void {
  const look = async (): Promise<void> => {
    const wrong = wrongClock(await clockAheadS(db));
    if (wrong) log.error(wrong);
  };
  scope.hold("clock", runEvery(look, LOOK_MS, failed));
}

/**
 * The time of Postgres in milliseconds since 1970, which is that of all workers, give or take half of a slow look's second: it counts on
 * from the last minute's look, whatever the clock of this machine is set to. After a suspended machine wakes it is behind until the next.
 *
 * @param failed told where Postgres does not say any more.
 * @throws {UpstreamError} as query does, of the first look.
 */
export async function openSharedClock(
  db: Pool,
  scope: Scope,
  failed: (error: Error) => void,
): Promise<() => number> {
  let startMs: number | undefined;
  const look = async (): Promise<void> => {
    const asked = performance.now();
    const ms = await clockMs(db);
    const tookMs = performance.now() - asked;
    // one that was long on its way says less than the one before
    if (startMs === undefined || tookMs < SLOW_MS) startMs = ms - asked - tookMs / 2;
  };
  await look();
  scope.hold("shared clock", runEvery(look, LOOK_MS, failed));
  return () => startMs! + performance.now();
}

/** Of this machine, unlike the other numbers that Postgres tells. */
export function clockGauge(db: Pool): GaugeSource {
  return {
    name: "maitred_clock_ahead_seconds",
    help: "how far the clock of this machine is ahead of that of Postgres; negative: behind",
    read: fresh(() => clockAheadS(db)),
  };
}

const LOOK_MS = 60_000;
const SLOW_MS = 1_000;
