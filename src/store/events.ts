import type pg from "pg";
import { UpstreamError } from "../errors.ts";
import type { PhotoEvent } from "../intake/event.ts";
import type { EventOutcome, Lane, PhotoJob, PhotoRef } from "../photo.ts";
import { type Pool, type Queryable, query } from "./pool.ts";

/** What is stored of an event, also where nobody knows when it was said; see record_events. */
export type StoredEvent = Omit<PhotoEvent, "receivedAt"> & Partial<Pick<PhotoEvent, "receivedAt">>;

/**
 * Acts on events, in the order given, in one transaction; the same events again change nothing.
 *
 * @param pad the side on which the shorter of two orders is filled up with zeros.
 * @param erase whether a removal also deletes what it withdraws; see record_events.
 * @throws {UpstreamError} DATABASE_UNAVAILABLE: nothing of it was committed, or nobody knows; DATABASE_TIMEOUT: nothing was,
 *   as Postgres did not finish in the time that a statement has.
 */
export async function recordEvents(
  db: Queryable,
  events: readonly StoredEvent[],
  pad: "left" | "right",
  erase = false,
): Promise<EventOutcome[]> {
  return query<EventOutcome & pg.QueryResultRow>(db, {
    name: "record_events",
    text: `select photo_id as "photoId", outcome, queue from record_events($1, $2, $3)`,
    values: [
      JSON.stringify(
        events.map(({ kind, store, bucket, key, version, order, known, receivedAt }) => ({
          kind,
          store,
          bucket,
          key,
          version,
          ord: order,
          told: receivedAt,
          ...known,
        })),
      ),
      pad,
      erase,
    ],
  }).catch((thrown: unknown) => {
    if (!isCancelled(thrown)) throw thrown;
    throw new UpstreamError("DATABASE_TIMEOUT", thrown.message, { cause: thrown });
  });
}

function isCancelled(thrown: unknown): thrown is UpstreamError {
  return thrown instanceof UpstreamError && CANCELLED.has((thrown.cause as { code?: unknown })?.code);
}

export async function markQueued(db: Pool, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  await query(db, { name: "mark_queued", text: "select mark_queued($1)", values: [ids] });
}

/** Photos that have been waiting for a queue for at least `olderThanS` seconds, the first of them first. */
export async function unqueuedPhotos(
  db: Pool,
  olderThanS: number,
  limit: number,
): Promise<(PhotoJob & { lane: Lane })[]> {
  const rows = await query<PhotoRef & { id: string; lane: Lane }>(db, {
    name: "unqueued_photos",
    text: `select p.id, p.store, p.bucket, p.key, p.version, p.lane
      from unqueued u join photos p on p.id = u.photo_id
      where u.since <= now() - make_interval(secs => $1) order by p.id limit $2`,
    values: [olderThanS, limit],
  });
  return rows.map((row) => ({ ...row, known: {} }));
}

/** How many photos wait for a queue, and how long the first of them has, in seconds; 0 when none does. */
export async function unqueuedState(db: Pool): Promise<{ photos: number; oldestS: number }> {
  const rows = await query<{ photos: number; oldestS: number }>(db, {
    name: "unqueued_state",
    text: `select count(*)::int as photos, coalesce(extract(epoch from now() - min(since)), 0)::float8 as "oldestS"
      from unqueued`,
  });
  return rows[0]!;
}

/** SQLSTATEs: by `statement_timeout`, and by `transaction_timeout`. */
const CANCELLED: ReadonlySet<unknown> = new Set(["57014", "25P04"]);
