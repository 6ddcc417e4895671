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
  last: (Totals & { prefix: string; seconds: number; finishedAt: Date }) | null;
}

export async function sweepTotals(db: Pool): Promise<SweepTotals[]> {
  const rows = await query<pg.QueryResultRow>(db, {
    name: "sweep_totals",
    text: `select t.bucket, t.missed, t.gone, l.prefix, l.seconds, l.finished_at as "finishedAt", l.listed, l.known,
        l.missed as "lastMissed", l.gone as "lastGone", l.young, l.unclear
      from (select bucket, sum(missed) as missed, sum(gone) as gone from sweeps group by bucket) t
      left join lateral (
        select * from sweeps where bucket = t.bucket and state = 'done' order by id desc limit 1) l on true
      order by t.bucket`,
  });
  return rows.map((row) => ({
    bucket: row["bucket"],
    missed: Number(row["missed"]),
    gone: Number(row["gone"]),
    last: row["finishedAt"] && {
      prefix: row["prefix"],
      seconds: row["seconds"],
      finishedAt: row["finishedAt"],
      listed: Number(row["listed"]),
      known: Number(row["known"]),
      missed: Number(row["lastMissed"]),
      gone: Number(row["lastGone"]),
      young: Number(row["young"]),
      unclear: Number(row["unclear"]),
    },
  }));
}
