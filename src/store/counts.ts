import type { Audited } from "../evaluate/agreement.ts";
import type { ScoreCount } from "../evaluate/drift.ts";
import type { Counts, Days } from "../http/desk/dashboard-deps.ts";
import { type Pool, query } from "./pool.ts";

/** What dashboards read: the views that docs/tables.md describes. Days are of UTC. */

/**
 * Current photos by the hour or day of their verdict, of one decider or of all; and by who decided, whoever was asked for.
 * Both of one look at the view, which is what takes the time.
 */
export async function countsOver(
  db: Pool,
  { from, to }: Days,
  step: "hour" | "day",
  model: string | undefined,
): Promise<Counts> {
  const [view, at, low, high] =
    step === "hour"
      ? [
          "hourly_counts",
          "to_json(hour)",
          "$1::timestamp at time zone 'UTC'",
          "($2::timestamp + interval '1 day') at time zone 'UTC'",
        ]
      : ["daily_counts", "day || 'T00:00:00Z'", "$1::date", "$2::date + 1"];
  const rows = await query<Counted>(db, {
    name: `counts_over_${step}`,
    text: `select ${at} as at, verdict, category, "forHuman", model, sum(photos) as "ofAll",
        sum(photos) filter (where $3::text is null or model = $3) as photos
      from (
        select ${step}, verdict, category, coalesce(model, '') as model, photos::float8 as photos,
          verdict = 'hidden' and rule = 'human' as "forHuman"
        from ${view} where ${step} >= ${low} and ${step} < ${high}
      ) c
      group by grouping sets ((${step}, verdict, category, "forHuman"), (model, verdict))
      order by ${step}, model, verdict`,
    values: [from, to, model ?? null],
  });
  const { counts, models }: Counts = { counts: [], models: [] };
  for (const { at, verdict, category, forHuman, model, photos, ofAll } of rows) {
    if (at === null) models.push({ model, verdict, photos: ofAll });
    else if (photos !== null) counts.push({ at, verdict, category, forHuman, photos });
  }
  return { counts, models };
}

/** A count by time, or where that is null by who decided. */
interface Counted extends Omit<Counts["counts"][number], "at" | "photos"> {
  at: string | null;
  model: string;
  /** Of the decider that was asked for. */
  photos: number | null;
  ofAll: number;
}

/** Current photos of some listings, of all time. */
export async function countsByListing(
  db: Pool,
  listings: readonly string[],
): Promise<{ listing: string; verdict: string; category: string | null; photos: number }[]> {
  return query<{ listing: string; verdict: string; category: string | null; photos: number }>(db, {
    name: "counts_by_listing",
    text: `select listing, verdict, category, photos::float8 as photos from listing_counts where listing = any ($1)
      order by 1, 2, 3`,
    values: [listings],
  });
}

/** Current photos that failed, by code, most first. */
export async function failureCounts(db: Pool): Promise<{ code: string; photos: number }[]> {
  return query<{ code: string; photos: number }>(db, {
    name: "failure_counts",
    text: `select code, sum(photos)::float8 as photos from daily_counts where verdict = 'failed' and code is not null
      group by 1 having sum(photos) > 0 order by 2 desc, 1`,
  });
}

/** Reviews of photos that were drawn at random to measure a model. */
export async function auditCounts(db: Pool, { from, to }: Days): Promise<Audited[]> {
  return query<Audited>(db, {
    name: "audit_counts",
    text: `select model, model_verdict as "saidVerdict", coalesce(model_rule = 'human', false) as "saidHuman",
        model_category as "saidCategory", human, category, verdict, sum(reviews)::float8 as reviews
      from review_counts where audit and model is not null and day >= $1::date and day <= $2::date
      group by 1, 2, 3, 4, 5, 6, 7`,
    values: [from, to],
  });
}

/** How scores that one model gave to uploads are distributed, day by day. */
export async function scoreCounts(db: Pool, { from, to }: Days, model: string): Promise<ScoreCount[]> {
  return query<ScoreCount>(db, {
    name: "score_counts",
    text: `select day::text as day, score, bucket::int as bucket, photos::float8 as photos from score_counts
      where model = $3 and day >= $1::date and day <= $2::date order by 1, 2, 3`,
    values: [from, to, model],
  });
}

/** Models that gave scores in these days, the one with most first. */
export async function scoredModels(db: Pool, { from, to }: Days): Promise<string[]> {
  const rows = await query<{ model: string }>(db, {
    name: "scored_models",
    text: `select model from score_counts where score = 'human' and day >= $1::date and day <= $2::date
      group by 1 order by sum(photos) desc, 1`,
    values: [from, to],
  });
  return rows.map(({ model }) => model);
}

/**
 * Current photos that were shown, hidden or sent to review by someone, such as `model:NAME`, since a day; by verdict, without
 * those that are held because a moderator hid the same bytes.
 */
export async function countDecided(db: Pool, by: string, since: Date): Promise<Map<string, number>> {
  const rows = await query<{ verdict: string; photos: number }>(db, {
    name: "count_decided",
    text: `select verdict, sum(photos)::float8 as photos from daily_counts
      where model = $1 and day >= ($2::timestamptz at time zone 'UTC')::date
        and verdict in ('shown', 'hidden', 'review') and rule <> 'hidden-copy' group by 1`,
    values: [by, since],
  });
  return new Map(rows.map(({ verdict, photos }) => [verdict, photos]));
}
