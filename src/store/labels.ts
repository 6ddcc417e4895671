import type { LabelledPhoto, Place } from "../label.ts";
import { digestPrefix, hasCopies } from "./indexes.ts";
import { type Pool, query } from "./pool.ts";

interface LabelFilter {
  /** Only what was said since then. */
  since: Date;
  /** Only of current photos, and that a model judged on that day, of UTC, or later: as verdicts are counted. */
  judgedSince?: Date;
  /** Photos that were audited since a model judged them, those that were not, or both. */
  audit?: boolean;
}

/**
 * Photos that a moderator has judged, the last judged first, in pages. Where moderators differ the latest counts;
 * where the latest said nothing on the category, or on humans, the latest who did. An audit stays one when the photo is
 * reviewed again, after an appeal for instance: it was drawn at random all the same.
 */
export async function* reviewedPhotos(
  db: Pool,
  { since, judgedSince, audit }: LabelFilter,
  pageSize = 500,
): AsyncGenerator<LabelledPhoto[]> {
  let before = LAST_ID;
  for (;;) {
    const rows: (LabelledPhoto & { verdictId: string })[] = await query(db, {
      name: "reviewed_photos",
      text: `select r.verdict_id as "verdictId", ${PHOTO},
          case when a.drawn then 'audit' else 'moderator' end as origin, v.decided_by as by, v.decided_at as at,
          (select category from reviews o where photo_id = p.id and category is not null and ${ofToday("o.at")} order by verdict_id desc limit 1),
          (select human from reviews o where photo_id = p.id and human is not null and ${ofToday("o.at")} order by verdict_id desc limit 1),
          ${modelSaid("and id < r.verdict_id")} as model
        from reviews r join verdicts v on v.id = r.verdict_id join photos p on p.id = r.photo_id
          cross join lateral (
            select coalesce(bool_or(audit), false) as drawn from reviews
            where photo_id = p.id and verdict_id > coalesce((
              select max(id) from verdicts where photo_id = p.id and scores is not null and id < r.verdict_id), 0)) a
        where r.verdict_id < $1 and v.decided_at >= $2 and ${ofToday("r.at")}
          and ($3::boolean is null or a.drawn = $3)
          and ($4::timestamptz is null or p.superseded_at is null and (
            select (decided_at at time zone 'UTC')::date >= ($4 at time zone 'UTC')::date
            from verdicts where photo_id = p.id and scores is not null and id < r.verdict_id order by id desc limit 1))
          and not exists (select from reviews l where l.photo_id = r.photo_id and l.verdict_id > r.verdict_id)
        order by r.verdict_id desc limit $5`,
      values: [before, since, audit ?? null, judgedSince ?? null, pageSize],
    });
    if (rows.length === 0) return;
    yield rows.map(({ verdictId: _, ...photo }) => photo);
    before = rows.at(-1)!.verdictId;
  }
}

/**
 * Of photos by their ids, where the first photo lies that had the same bytes, if that is another one: of those that a model
 * judged, and of those that took scores over from these.
 *
 * @returns undefined while an index of these is missing, as each look would read all verdicts.
 */
export async function firstOfSameBytes(
  db: Pool,
  ids: readonly string[],
): Promise<Map<string, Place> | undefined> {
  if (!(await hasCopies(db))) return undefined;
  const rows = await query<Place & { id: string }>(db, {
    name: "first_of_same_bytes",
    // "offset 0": by a look into the index, and not along the ids, whatever the planner knows of the table
    text: `select p.id, f.listing, f.bucket, f.key
      from unnest($1::bigint[]) as p (id)
        cross join lateral (select bytes_of(p.id) as digest offset 0) b
        cross join lateral (
          select least(min(j.photo_id), min(c.photo_id)) as id
          from (select distinct photo_id from (
              select photo_id from verdicts
              where ${digestPrefix("digest")} = ${digestPrefix("b.digest")} and digest = b.digest offset 0) v) j
            left join lateral (
              select photo_id from verdicts where batch = 'same-' || j.photo_id and batch like 'same-%' offset 0) c on true) first
        join photos f on f.id = first.id
      where f.id < p.id`,
    values: [ids],
  });
  return new Map(rows.map(({ id, ...place }) => [id, place]));
}

/** Of photos by their ids, those that are there and of which no moderator says anything. */
export async function photosWithoutReview(db: Pool, ids: readonly string[]): Promise<string[]> {
  const rows = await query<{ id: string }>(db, {
    name: "photos_without_review",
    text: `select id from photos p where id = any ($1::bigint[])
      and not exists (select from reviews r where r.photo_id = p.id and ${ofToday("r.at")})`,
    values: [ids.filter((id) => /^\d{1,18}$/.test(id))],
  });
  return rows.map(({ id }) => id);
}

/**
 * Current photos whose uploader marked a category and that no moderator has judged, the newest first. What an
 * uploader says is weak, and says nothing on humans. A page reads a bounded stretch of the table, and may be empty.
 */
export async function* claimedPhotos(
  db: Pool,
  { since }: LabelFilter,
  pageSize = 2_000,
): AsyncGenerator<LabelledPhoto[]> {
  // ids are given a moment before registration is committed, so a stretch may hold slightly older ones than the next
  const slackMs = 24 * 3_600_000;
  let before = LAST_ID;
  for (;;) {
    const [stretch]: { first: string | null; newest: Date }[] = await query(db, {
      name: "stretch_of_photos",
      text: `select min(id) as first, max(registered_at) as newest from (
          select id, registered_at from photos where id < $1 order by id desc limit $2) s`,
      values: [before, pageSize],
    });
    if (!stretch?.first || stretch.newest.valueOf() < since.valueOf() - slackMs) return;
    yield await query<LabelledPhoto>(db, {
      name: "claimed_photos",
      text: `select ${PHOTO}, 'claim' as origin, p.claimed as category, null::boolean as human,
          'uploader:' || coalesce(p.uploader, 'unknown') as by, p.registered_at as at, ${modelSaid("")} as model
        from photos p
        where p.id >= $1 and p.id < $2 and p.registered_at >= $3
          and p.claimed is not null and p.superseded_at is null and p.state <> 'failed'
          and not exists (select from reviews r where r.photo_id = p.id and ${ofToday("r.at")})
        order by p.id desc`,
      values: [stretch.first, before, since],
    });
    before = stretch.first;
  }
}

/** Above every id: a page that begins there is a range of the index, as any other is. */
const LAST_ID = "9223372036854775807";

const PHOTO = `p.id, p.store, p.bucket, p.key, p.version, p.listing,
  case when p.version = '' then p.revived_at end as "revivedAt"`;

/** Whether what was said then is of the bytes that photo `p` has now: see forget_bytes. */
function ofToday(at: string): string {
  return `(p.version <> '' or p.revived_at is null or ${at} >= p.revived_at)`;
}

/**
 * The last verdict of a model on photo `p`, as it is now, as JSON; null where none was given, or it failed. One that stands
 * again says why before.
 */
function modelSaid(and: string): string {
  return `(select json_build_object('by', decided_by, 'verdict', verdict, 'rule', rule, 'scores', scores, 'human', human)
    from verdicts where photo_id = p.id and scores is not null and rule <> 'undo' and ${ofToday("decided_at")} ${and} order by id desc limit 1)`;
}
