import type { PhotoRef } from "../photo.ts";
import { type Pool, query } from "./pool.ts";

/** Whose verdicts a backfill leaves as they are; see feed_backfill. */
export interface Deciding {
  /** `model:NAME`. */
  model: string;
  again: boolean;
}

/** Which of these photos a backfill would skip because they are decided: where in the list they are, from 0. */
export async function decidedPhotos(
  db: Pool,
  ids: readonly string[],
  { model, again }: Deciding,
): Promise<Set<number>> {
  const rows = await query<{ at: number }>(db, {
    name: "decided_photos",
    text: `select (i.n - 1)::int as at from unnest($3::bigint[]) with ordinality i (id, n)
      join photos p on p.id = i.id where ${DECIDED}`,
    values: [model, again, ids],
  });
  return new Set(rows.map(({ at }) => at));
}

/** The same of objects; those that nobody knows are not decided. */
export async function decidedObjects(
  db: Pool,
  objects: readonly PhotoRef[],
  { model, again }: Deciding,
): Promise<Set<number>> {
  const rows = await query<{ at: number }>(db, {
    name: "decided_objects",
    text: `select (i.n - 1)::int as at from unnest($3::text[], $4::text[], $5::text[]) with ordinality i (store, bucket, key, n)
      join photos p on (p.store, p.bucket, p.key) = (i.store, i.bucket, i.key) where ${DECIDED}`,
    values: [
      model,
      again,
      objects.map(({ store }) => store),
      objects.map(({ bucket }) => bucket),
      objects.map(({ key }) => key),
    ],
  });
  return new Set(rows.map(({ at }) => at));
}

const DECIDED = `p.superseded_at is null and (p.decided_by like 'moderator:%'
  or not $2::boolean and p.state not in ('pending', 'failed') and p.decided_by = $1)`;
