/** How the photos of backfills came out, counted as they were judged. */
import { type Pool, query } from "./pool.ts";

export interface BackfillCount {
  before: string;
  /** "" where there was none. */
  beforeCategory: string;
  /** `kept`: the verdict before stands. */
  after: string;
  afterCategory: string;
  /** "" unless it failed. */
  code: string;
  photos: number;
}

export async function readBackfillCounts(db: Pool, id: string): Promise<BackfillCount[]> {
  return query<BackfillCount>(db, {
    name: "read_backfill_counts",
    text: `select before, before_category as "beforeCategory", after, after_category as "afterCategory", code,
        photos::float8 as photos
      from backfill_counts where backfill_id = $1 and photos > 0 order by photos desc, 1, 2, 3, 4, 5`,
    values: [id],
  });
}

/**
 * How the photos of these backfills came out, by the id of the backfill and the code, which is "" unless they failed; most first.
 * Those that got their first verdict are not `changed`.
 */
export async function readBackfillSums(
  db: Pool,
  ids: readonly string[],
): Promise<{ id: string; code: string; photos: number; changed: number }[]> {
  return query<{ id: string; code: string; photos: number; changed: number }>(db, {
    name: "read_backfill_sums",
    text: `select backfill_id as id, code, sum(photos)::float8 as photos,
        coalesce(sum(photos) filter (
          where before <> 'pending' and after <> 'kept' and code = ''
            and (before, before_category) <> (after, after_category)), 0)::float8 as changed
      from backfill_counts
      where backfill_id = any ($1::bigint[]) group by 1, 2 having sum(photos) > 0 order by 3 desc, 2`,
    values: [ids],
  });
}

export interface BackfillChange {
  photoId: string;
  bucket: string;
  key: string;
  before: string;
  beforeCategory: string | null;
  after: string;
  afterCategory: string | null;
  code: string | null;
}

/** Some of the photos that a backfill changed, drawn evenly by their ids; never the same order as they were judged in. */
export async function sampleBackfillChanges(db: Pool, id: string, limit: number): Promise<BackfillChange[]> {
  return query<BackfillChange>(db, {
    name: "sample_backfill_changes",
    text: `select c.photo_id as "photoId", p.bucket, p.key, c.before, c.before_category as "beforeCategory", c.after,
        c.after_category as "afterCategory", c.code
      from (
        select * from backfill_changes where backfill_id = $1 and after <> 'kept'
          and (code is not null or (before, before_category) is distinct from (after, after_category)) order by hashint8(photo_id) limit $2
      ) c join photos p on p.id = c.photo_id order by c.photo_id`,
    values: [id, limit],
  });
}
