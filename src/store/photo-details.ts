import type { PhotoRecord } from "../http/route.ts";
import { type Pool, query } from "./pool.ts";

export async function readPhoto(db: Pool, id: string): Promise<PhotoRecord | undefined> {
  const text = `${SELECT} where p.id = $1`;
  return (await query<PhotoRecord>(db, { name: "read_photo", text, values: [id] }))[0];
}

/**
 * The current photo of an object, or where there is none the newest that was: rather one that was there for a while than one
 * that was replaced as it was made known.
 *
 * @param bucket an absolute path for a photo of a folder: no bucket's name begins with a slash.
 */
export async function readPhotoOf(db: Pool, bucket: string, key: string): Promise<PhotoRecord | undefined> {
  const text = `${SELECT} where p.store = $1 and p.bucket = $2 and p.key = $3
    order by (p.superseded_at is null) desc, (p.superseded_at > p.registered_at) desc, p.id desc limit 1`;
  const store = bucket.startsWith("/") ? "folder" : "s3";
  return (await query<PhotoRecord>(db, { name: "read_photo_of", text, values: [store, bucket, key] }))[0];
}

const SELECT = `select p.id, p.store, p.bucket, p.key, p.version, p.superseded_at is null as current, p.state, p.listing,
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
