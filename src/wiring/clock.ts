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
 * The time of Postgres in milliseconds since 1970, which is that of all workers, give or take the way of an answer: it counts on from
 * the last minute's look, whatever the clock of this machine says or is set to.
 *
 * @param failed told where Postgres does not say any more.
 */
export async function openSharedClock(
  db: Pool,
  scope: Scope,
  failed: (error: Error) => void,
): Promise<() => number> {
  let startMs = 0;
  const look = async (): Promise<void> => {
    startMs = (await clockMs(db)) - performance.now();
  };
  await look();
  scope.hold("shared clock", runEvery(look, LOOK_MS, failed));
  return () => startMs + performance.now();
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
