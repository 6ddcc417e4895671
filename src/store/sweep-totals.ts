import type pg from "pg";
import type { Totals } from "../intake/sweep.ts";
import { type Pool, query } from "./pool.ts";

/** How well the intake of a bucket does: what events had missed is what every sweep had to make up for. */
export interface SweepTotals {
  bucket: string;
  /** Of all sweeps ever, also of those that were not finished. */
  missed: number;
  gone: number;
  /** The last one that was finished, of any prefix; null where none was. */
  last:
    | (Pick<Totals, "listed" | "missed" | "gone"> & { prefix: string; seconds: number; finishedAt: Date })
    | null;
}

export async function sweepTotals(db: Pool): Promise<SweepTotals[]> {
  const rows = await query<pg.QueryResultRow>(db, {
    name: "sweep_totals",
    text: `select t.bucket, t.missed::float8, t.gone::float8, l.prefix, l.seconds, l.finished_at as "finishedAt",
        l.listed::float8, l.missed::float8 as "lastMissed", l.gone::float8 as "lastGone"
      from (select bucket, sum(missed) as missed, sum(gone) as gone from sweeps group by bucket) t
      left join lateral (
        select * from sweeps where bucket = t.bucket and state = 'done' order by id desc limit 1) l on true
      order by t.bucket`,
  });
  return rows.map(({ bucket, missed, gone, lastMissed, lastGone, ...last }) => ({
    bucket,
    missed,
    gone,
    last: last["finishedAt"] && { ...last, missed: lastMissed, gone: lastGone },
  }));
}
