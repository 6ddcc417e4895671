import type { PhotoNow } from "../deliver/object-tags.ts";
import type { PhotoRecord } from "../http/route.ts";
import type { Lane, PhotoJob, PhotoMetadata, PhotoRef, PhotoState } from "../photo.ts";
import { type Pool, query } from "./pool.ts";

interface Registered extends PhotoJob {
  /** withdrawn: it stands in for an object of which nothing but a sweep tells which version it is. */
  state: PhotoState | "withdrawn";
}

/**
 * Makes photos known, in the order given, and says that no queue holds those without a verdict; see take_in. Calling it
 * again changes nothing else but to fill in what was not known. The version of a photo that an event made known stays its own.
 *
 * @param looked the time of Postgres before the store was asked for them, so that what was withdrawn or replaced since stays so.
 */
export async function registerPhotos(
  db: Pool,
  photos: readonly (PhotoRef & { known: PhotoMetadata })[],
  lane: Lane,
  looked?: string,
): Promise<Registered[]> {
  const rows = await query<{ id: string; state: PhotoState | "withdrawn"; version: string }>(db, {
    name: "take_in",
    text: "select id, state, version from take_in($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    values: [
      photos.map((photo) => photo.store),
      photos.map((photo) => photo.bucket),
      photos.map((photo) => photo.key),
      photos.map((photo) => photo.version),
      photos.map((photo) => photo.known.listing ?? null),
      photos.map((photo) => photo.known.uploader ?? null),
      photos.map((photo) => photo.known.claimed ?? null),
      lane,
      looked ?? null,
    ],
  });
  return photos.map((photo, index) => ({ ...photo, ...rows[index]! }));
}

/** The time of Postgres, which `registerPhotos` and `recordOutcomes` compare with that of its rows. */
export async function databaseTime(db: Pool): Promise<string> {
  const rows = await query<{ now: string }>(db, {
    name: "database_time",
    text: "select clock_timestamp()::text as now",
  });
  return rows[0]!.now;
}

/** Keys of a folder that have a current photo, behind `after`, in their order; of `keys` alone where they are given. */
export async function currentKeys(
  db: Pool,
  folder: string,
  { after = "", limit, keys }: { after?: string; limit?: number; keys?: readonly string[] },
): Promise<string[]> {
  const rows = await query<{ key: string }>(db, {
    name: "current_keys",
    text: `select distinct key from photos
      where store = 'folder' and bucket = $1 and superseded_at is null and key > $2 and ($4::text[] is null or key = any ($4))
      order by key limit $3`,
    values: [folder, after, limit ?? null, keys ?? null],
  });
  return rows.map(({ key }) => key);
}

/** Of these photos, those that were last judged or looked at no later than the time that stands in their place, where one does. */
export async function decidedBefore(
  db: Pool,
  ids: readonly string[],
  times: readonly (Date | null)[],
): Promise<string[]> {
  const rows = await query<{ id: string }>(db, {
    name: "decided_before",
    text: `select p.id from unnest($1::bigint[], $2::timestamptz[]) i (id, at) join photos p on p.id = i.id
      where greatest(p.decided_at, p.looked_at) <= i.at`,
    values: [ids, times],
  });
  return rows.map(({ id }) => id);
}

/** Which photos to queue once more. `code` narrows failed ones; `olderThanS` spares those just registered. */
interface Replay {
  state: "failed" | "pending";
  code?: string;
  olderThanS: number;
  /** Only photos with a larger id. */
  after?: string;
}

/** Current photos that match, oldest first, in pages of at most `pageSize`. Flat memory however many match. */
export async function* photosToReplay(
  db: Pool,
  replay: Replay,
  pageSize = 1_000,
): AsyncGenerator<(PhotoJob & { lane: Lane })[]> {
  let after = replay.after ?? "0";
  for (;;) {
    const rows = await query<PhotoRef & { id: string; lane: Lane }>(db, {
      name: `photos_to_replay_${replay.state}`,
      // written out, because the indexes are of these states alone
      text: `select id, store, bucket, key, version, lane from photos
        where state = '${replay.state}' and ($1::text is null or failure = $1) and superseded_at is null
          and registered_at <= now() - make_interval(secs => $2) and id > $3
        order by id limit $4`,
      values: [replay.code ?? null, replay.olderThanS, after, pageSize],
    });
    if (rows.length === 0) return;
    yield rows.map((row) => ({ ...row, known: {} }));
    after = rows.at(-1)!.id;
  }
}

/** Where a page of `pendingUploads` ended. */
export interface PendingCursor {
  /** As Postgres writes it: of what comes together a Date, which has milliseconds, would tell the page before again. */
  at: string;
  id: string;
}

/** Uploads that have had no verdict for so long, those that have waited longest first, behind `after`; at most `limit`. */
export async function pendingUploads(
  db: Pool,
  olderThanS: number,
  after: PendingCursor | undefined,
  limit: number,
): Promise<(PhotoJob & { registeredAt: string })[]> {
  const rows = await query<PhotoRef & { id: string; registeredAt: string }>(db, {
    name: "pending_uploads",
    // the order of the index photos_pending_lane, and nothing that is not in it
    text: `select id, store, bucket, key, version, registered_at::text as "registeredAt" from photos
      where state = 'pending' and lane = 'live' and superseded_at is null
        and registered_at <= now() - make_interval(secs => $1) and (registered_at, id) > ($2::timestamptz, $3::bigint)
      order by registered_at, id limit $4`,
    values: [olderThanS, after?.at ?? "-infinity", after?.id ?? "0", limit],
  });
  return rows.map((row) => ({ ...row, known: {} }));
}

/** How long ago the oldest upload without a verdict was made known, in seconds; 0 where there is none. */
export async function oldestPendingS(db: Pool): Promise<number> {
  const rows = await query<{ seconds: number }>(db, {
    name: "oldest_pending",
    // one that was uploaded again is not as old as it is known; of these the first are enough
    text: `with pending as not materialized (
        select registered_at, revived_at from photos where state = 'pending' and lane = 'live' and superseded_at is null)
      select coalesce(extract(epoch from now() - min(since)), 0)::float8 as seconds from (
        (select registered_at as since from pending where revived_at is null order by registered_at limit 1)
        union all
        select greatest(registered_at, revived_at) from (select * from pending order by registered_at limit 100) first) p`,
  });
  return rows[0]!.seconds;
}

export interface PhotoRow extends PhotoRef {
  id: string;
  state: PhotoState;
  category: string | null;
  categoryScore: number | null;
  human: number | null;
  reason: string | null;
  failure: string | null;
}

/** The photos with these ids and the score of their best category, in the order of their keys. */
export async function readPhotos(db: Pool, ids: readonly string[]): Promise<PhotoRow[]> {
  return query<PhotoRow>(db, {
    name: "read_photos",
    text: `select p.id, p.store, p.bucket, p.key, p.version, p.state, p.category, p.human, p.reason,
          p.failure, (v.scores ->> p.category)::real as "categoryScore"
        from photos p
        left join lateral (select scores from verdicts where photo_id = p.id order by id desc limit 1) v on true
        where p.id = any ($1::bigint[]) order by p.key`,
    values: [ids],
  });
}

/** The photo of one version of one object, as it is now. */
export async function readPhotoState(
  db: Pool,
  { store, bucket, key, version }: PhotoRef,
): Promise<PhotoNow | undefined> {
  const rows = await query<PhotoNow>(db, {
    name: "read_photo_state",
    text: `select state, category, superseded_at is null as current from photos
      where (store, bucket, key, version) = ($1, $2, $3, $4)`,
    values: [store, bucket, key, version],
  });
  return rows[0];
}

export async function readPhoto(db: Pool, id: string): Promise<PhotoRecord | undefined> {
  const text = `${PHOTO_RECORD} where p.id = $1`;
  return (await query<PhotoRecord>(db, { name: "read_photo", text, values: [id] }))[0];
}

/**
 * The current photo of an object, or where there is none the newest that was: rather one that was there for a while than one
 * that was replaced as it was made known.
 *
 * @param bucket an absolute path for a photo of a folder: no bucket's name begins with a slash.
 */
export async function readPhotoOf(db: Pool, bucket: string, key: string): Promise<PhotoRecord | undefined> {
  const text = `${PHOTO_RECORD} where p.store = $1 and p.bucket = $2 and p.key = $3
    order by (p.superseded_at is null) desc, (p.superseded_at > p.registered_at) desc, p.id desc limit 1`;
  const store = bucket.startsWith("/") ? "folder" : "s3";
  return (await query<PhotoRecord>(db, { name: "read_photo_of", text, values: [store, bucket, key] }))[0];
}

const PHOTO_RECORD = `select p.id, p.store, p.bucket, p.key, p.version, p.superseded_at is null as current, p.state, p.listing,
    p.uploader, p.claimed, p.category, p.human, p.rule, p.reason, p.failure, p.decided_by as by,
    case when p.state in ('shown', 'hidden', 'review') then p.state end as verdict,
    to_json(p.registered_at) as "registeredAt", to_json(p.decided_at) as "decidedAt",
    coalesce((
      select json_agg(json_build_object('category', category, 'score', score, 'threshold', threshold, 'by', model)
        order by score desc, category)
      from tags where photo_id = p.id), '[]') as tags,
    coalesce((
      select json_agg(json_build_object('verdict', verdict, 'rule', rule, 'reason', reason, 'category', category,
        'by', decided_by, 'at', decided_at) order by id)
      from (select * from verdicts where photo_id = p.id order by id desc limit 100) newest), '[]') as history
  from photos p`;
