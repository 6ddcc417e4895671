import type { Found, Search } from "../http/desk/deps.ts";
import { type Pool, query } from "./pool.ts";

/**
 * Ids of photos, the newest first. A page looks at a bounded stretch of what an index narrows it to, so that no filter makes
 * it slow; it may then hold fewer than `limit`, or none, and yet not be the last.
 */
export async function searchPhotos(db: Pool, filter: Search): Promise<Found> {
  const values: unknown[] = [];
  const given = (condition: (place: string) => string, value: unknown): string[] => {
    if (value === undefined) return [];
    values.push(value);
    return [condition(`$${values.length}`)];
  };
  const ofKey = (bucket: string | undefined, key: string): string[] => {
    const places = `$${values.push(bucket ?? null)}, $${values.push(key)}`;
    return [`id = any(array(select photos_by_key(${places})))`];
  };
  const { current = "yes" } = filter;
  // of rules the codes of failures alone are in capitals
  const failure = filter.rule && /^[A-Z]/.test(filter.rule) ? filter.rule : undefined;
  const indexed = [
    ...given((v) => `id < ${v}`, filter.after),
    ...given((v) => `listing = ${v}`, filter.listing),
    // an hour of slack, for registrations that take long
    ...given((v) => `id >= photo_id_at(${v}::timestamptz - interval '1 hour')`, filter.from),
    ...given((v) => `id < photo_id_at(${v}::timestamptz + interval '1 hour')`, filter.to),
    ...(filter.key === undefined ? [] : ofKey(filter.bucket, filter.key)),
    // written out, because the indexes are of these states alone
    ...(filter.state === "review" && current === "yes" && filter.key === undefined
      ? ["state = 'review' and superseded_at is null"]
      : []),
    ...(filter.state === "failed" || failure ? ["state = 'failed'"] : []),
    ...given((v) => `failure = ${v}`, failure),
    // of whom so many were not sure at any time, as the table alone tells; since when is read of each
    ...given(
      (v) => `id in (select photo_id from review_passes where undone_at is null
        group by photo_id having count(distinct who) >= ${v})`,
      filter.unsure,
    ),
  ];
  const narrow = values.length;
  const others = [
    ...given((v) => `state = ${v}`, filter.state),
    ...(current === "yes" && filter.key === undefined ? ["superseded_at is null"] : []),
    ...(current === "yes" ? given((v) => `(superseded_at is null or key = ${v})`, filter.key) : []),
    ...(current === "no" ? ["superseded_at is not null"] : []),
    ...given((v) => `bucket = ${v}`, filter.bucket),
    ...given((v) => `category = ${v}`, filter.category),
    ...given((v) => `decided_by in (${v}, 'model:' || ${v}, 'moderator:' || ${v})`, filter.by),
    ...given((v) => `rule = ${v}`, failure ? undefined : filter.rule),
    ...given((v) => `human >= ${v}`, filter.humanFrom),
    ...given((v) => `human <= ${v}`, filter.humanTo),
    ...given(
      (v) => `(select count(distinct who) from standing_passes() p where p.photo_id = s.id) >= ${v}`,
      filter.unsure,
    ),
    ...given((v) => `registered_at >= ${v}`, filter.from),
    ...given((v) => `registered_at < ${v}`, filter.to),
  ];
  const scored = filter.scoreFrom !== undefined || filter.scoreTo !== undefined;
  if (scored) {
    const places = `$${values.push(filter.scoreFrom ?? 0)} and $${values.push(filter.scoreTo ?? 1)}`;
    others.push(`exists (
      select from (
        select v.scores from verdicts v where v.photo_id = s.id and v.scores is not null order by v.id desc limit 1) latest
      where (scores ->> s.category)::real between ${places})`);
  }
  const looked = scored || filter.unsure !== undefined ? SCORED_STRETCH : STRETCH;
  const stretch = `from photos where ${["true", ...indexed].join(" and ")} order by id desc`;
  const rows = await query<{ id: string }>(db, {
    text: `select id from (select * ${stretch} limit ${looked}) s
      where ${["true", ...others].join(" and ")} order by id desc limit $${values.push(filter.limit)}`,
    values,
  });
  const ids = rows.map(({ id }) => id);
  if (ids.length === filter.limit) return { ids, next: ids.at(-1)!, capped: false };
  const [last] = await query<{ id: string }>(db, {
    text: `select id ${stretch} offset ${looked - 1} limit 1`,
    values: values.slice(0, narrow),
  });
  if (last || filter.key === undefined) return { ids, next: last?.id ?? null, capped: false };
  const full = await query(db, {
    text: `select from photos where id = any(array(select photos_by_key($1, $2)))
      group by store, bucket having count(*) >= ${MOST_KEYS} limit 1`,
    values: [filter.bucket ?? null, filter.key],
  });
  return { ids, next: null, capped: full.length > 0 };
}

/** Photos of a bucket that photos_by_key gives at most. */
const MOST_KEYS = 5_000;
/** Photos that one page looks at: some tens of milliseconds. */
const STRETCH = 20_000;
/** The same where the scores of each are read out of its history, or who was not sure of it. */
const SCORED_STRETCH = 5_000;
