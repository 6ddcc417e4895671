import type { Page } from "../backfill/pages.ts";
import type { PhotoJob, PhotoRef } from "../photo.ts";
import { ALIVE } from "./models.ts";
import { isRefused, type Pool, type Queryable, query } from "./pool.ts";

/**
 * Commits that a page was read, and makes known what is new of it; see feed_page.
 *
 * @returns the photos to queue; undefined where the backfill was stopped, or another feeder was faster.
 */
export async function feedBackfill(
  db: Pool,
  id: string,
  from: unknown,
  { ids, objects = [], cursor, end, unreadable }: Page,
): Promise<PhotoJob[] | undefined> {
  const json = (value: unknown): string | null => (value === null ? null : JSON.stringify(value));
  return unlessStopped(db, {
    name: "feed_page",
    text: `select ${JOB} from feed_page($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
    values: [
      id,
      json(from),
      json(cursor),
      end,
      unreadable,
      ids,
      objects.map(({ store }) => store),
      objects.map(({ bucket }) => bucket),
      objects.map(({ key }) => key),
      objects.map(({ version }) => version),
      objects.map(({ known }) => known.listing ?? null),
      objects.map(({ known }) => known.uploader ?? null),
      objects.map(({ known }) => known.claimed ?? null),
    ],
  });
}

/** The cursor of the last page that was committed; null where there is none. */
export async function readCursor(db: Pool, id: string): Promise<unknown> {
  const rows = await query<{ cursor: unknown }>(db, {
    name: "read_backfill_cursor",
    text: "select cursor from backfills where id = $1",
    values: [id],
  });
  return rows[0]?.cursor ?? null;
}

/**
 * Feeds a page of what is to be tried again; see feed_retries.
 *
 * @returns the photos to queue, which may be none; undefined where the backfill was stopped.
 */
export async function feedRetries(db: Pool, id: string, limit: number): Promise<PhotoJob[] | undefined> {
  return unlessStopped(db, {
    name: "feed_retries",
    text: `select ${JOB} from feed_retries($1, $2)`,
    values: [id, limit],
  });
}

/**
 * Photos that backfills which run, or were cancelled, fed at least `olderThanS` seconds ago and that are not judged yet, in pages; none of a
 * run whose model no worker has, which would be judged in vain again and again. `template` is that of the renditions of the backfill; null
 * where one of those that wait for the photo reads it itself.
 */
export async function* waitingPhotos(
  db: Queryable,
  olderThanS: number,
): AsyncGenerator<(PhotoJob & { template: string | null })[]> {
  let after = "0";
  for (;;) {
    const rows = await query<JobRow & { template: string | null }>(db, {
      name: "waiting_backfill_photos",
      // photos are read once a page is chosen along the key: for each page all that wait would be looked up
      text: `select ${JOB.replaceAll(/\b(\w+)\b/g, "p.$1")}, w.template
        from (
          select distinct on (w.photo_id) w.photo_id, b.rendition as template
          from backfill_photos w join backfills b on b.id = w.backfill_id
          where ${FED_AGAIN} and w.fed_at <= now() - make_interval(secs => $1) and w.photo_id > $2
          order by w.photo_id, b.rendition nulls first limit $3) w
        cross join lateral (select * from photos where id = w.photo_id offset 0) p
        order by p.id`,
      values: [olderThanS, after, PAGE],
    });
    if (rows.length === 0) return;
    yield rows.map((row) => ({ ...asJob(row), template: row.template }));
    after = rows.at(-1)!.id;
  }
}

/** How many photos `waitingPhotos` has. */
export async function countWaiting(db: Pool, olderThanS: number): Promise<number> {
  const rows = await query<{ photos: number }>(db, {
    name: "count_waiting_backfill_photos",
    text: `select count(distinct w.photo_id)::float8 as photos
        from backfill_photos w join backfills b on b.id = w.backfill_id
        where ${FED_AGAIN} and w.fed_at <= now() - make_interval(secs => $1)`,
    values: [olderThanS],
  });
  return rows[0]!.photos;
}

/** Says that a feeder runs, whether it feeds nothing because an upload has waited for too long, and whether its lane is paused. */
export async function noteFeeding(db: Pool, standsBack: boolean, lanePaused: boolean): Promise<void> {
  await query(db, {
    name: "note_feeding",
    text: `insert into feeding (heard_at, stands_back, lane_paused) values (now(), $1, $2)
      on conflict (single) do update
      set heard_at = excluded.heard_at, stands_back = excluded.stands_back, lane_paused = excluded.lane_paused`,
    values: [standsBack, lanePaused],
  });
}

/** Ends those of which nothing is left to do; see end_backfills. @returns their ids. */
export async function endBackfills(db: Pool): Promise<string[]> {
  const rows = await query<{ id: string }>(db, {
    name: "end_backfills",
    text: "select end_backfills as id from end_backfills()",
  });
  return rows.map(({ id }) => id);
}

type JobRow = Pick<PhotoJob, "id" | keyof PhotoRef> & Record<string, unknown>;
const JOB = "id, store, bucket, key, version";
/** Of a backfill `b`. */
const FED_AGAIN = `(b.state = 'cancelled' or b.state = 'running' and coalesce(
  (select bool_or(settles('model:' || m.model, b.model)) from model_workers m where ${ALIVE}), true))`;

async function unlessStopped(
  db: Pool,
  statement: Parameters<typeof query>[1],
): Promise<PhotoJob[] | undefined> {
  try {
    return (await query<JobRow>(db, statement)).map(asJob);
  } catch (thrown) {
    if (isRefused(thrown, "MD412")) return undefined;
    throw thrown;
  }
}

function asJob({ id, store, bucket, key, version }: JobRow): PhotoJob {
  return { id, store, bucket, key, version, known: {} };
}

const PAGE = 1_000;
