import { type Pool, query } from "./pool.ts";

/**
 * How many seconds the clock of this machine is ahead of that of Postgres, negative where it is behind: so many at least, however
 * long the question and its answer took.
 */
export async function clockAheadS(db: Pool): Promise<number> {
  const asked = Date.now();
  const ms = await clockMs(db);
  return (Math.max(0, asked - ms) + Math.min(0, Date.now() - ms)) / 1_000;
}

/** Milliseconds since 1970, whole as those of this machine. */
export async function clockMs(db: Pool): Promise<number> {
  const rows = await query<{ ms: number }>(db, {
    name: "clock",
    text: "select floor(extract(epoch from clock_timestamp()) * 1000)::float8 as ms",
  });
  return rows[0]!.ms;
}

/** What is wrong where the clocks are further apart than those that NTP sets; undefined where nothing is. */
export function wrongClock(aheadS: number): string | undefined {
  if (Math.abs(aheadS) <= MOST_S) return undefined;
  const apart = `${Math.round(Math.abs(aheadS))} s ${aheadS > 0 ? "ahead of" : "behind"}`;
  return `the clock of this machine is ${apart} that of Postgres: let NTP set both`;
}

const MOST_S = 5;
