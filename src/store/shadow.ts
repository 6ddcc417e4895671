import type { Decision, Scores, Verdict } from "../photo.ts";
import { ALIVE } from "./models.ts";
import { type Pool, query } from "./pool.ts";

interface Said {
  model: string;
  scores: Scores;
  decision: Decision;
}

/** Stores what the shadow said; see record_shadow_scores. */
export async function recordShadowScores(
  db: Pool,
  rows: readonly { photoId: string; shadow: Said; beside: Said }[],
): Promise<void> {
  const items = rows.map(({ photoId, shadow, beside }) => ({
    photo_id: photoId,
    model: shadow.model,
    verdict: shadow.decision.verdict,
    category: shadow.decision.category,
    human: shadow.scores.human,
    scores: shadow.scores.categories,
    beside: beside.model,
    beside_verdict: beside.decision.verdict,
    beside_category: beside.decision.category,
    beside_human: beside.scores.human,
    beside_scores: beside.scores.categories,
  }));
  await query(db, {
    name: "record_shadow_scores",
    text: "select record_shadow_scores($1)",
    values: [JSON.stringify(items)],
  });
}

export interface Pair {
  beside: string;
  shadow: string;
  photos: number;
}

interface DifferingPhoto {
  photoId: string;
  bucket: string;
  key: string;
  verdict: Verdict;
  besideVerdict: Verdict;
  category: string;
  besideCategory: string;
  human: number;
  besideHuman: number;
  /** The largest of the differences of its scores. */
  difference: number;
}

export interface ShadowComparison {
  shadow: string;
  /** The model that gave the verdicts. */
  beside: string;
  photos: number;
  /** Photos that the workers which run have dropped since they began, as too many waited: those of `photos` are then no random sample. */
  dropped: number;
  verdicts: Pair[];
  categories: Pair[];
  /** Mean absolute difference of each score, 0 to 1: `human`, and each category by its name. */
  differences: { score: string; mean: number }[];
  /** The photos that differ most, first; none that differs in nothing that is shown. */
  most: DifferingPhoto[];
}

/**
 * Where a shadow differed from the model that it judged beside last, over all photos that both judged; undefined
 * where it judged none.
 *
 * @param shadow the id of a model; undefined: whichever judged last.
 * @param most how many of the photos that differ most.
 */
export async function compareShadow(
  db: Pool,
  shadow: string | undefined,
  most: number,
): Promise<ShadowComparison | undefined> {
  const [models] = await query<{ shadow: string; beside: string }>(db, {
    name: "compared_models",
    text: `select model as shadow, beside from shadow_scores where ($1::text is null or model = $1) and beside <> model
        order by judged_at desc limit 1`,
    values: [shadow ?? null],
  });
  if (!models) return undefined;
  const values = [models.shadow, models.beside];
  const pairs = (column: "verdict" | "category"): Promise<Pair[]> =>
    query<Pair>(db, {
      name: `compare_${column}`,
      text: `select beside_${column} as beside, ${column} as shadow, count(*)::int as photos
          from shadow_scores where model = $1 and beside = $2 group by 1, 2 order by 1, 2`,
      values,
    });
  const verdicts = await pairs("verdict");
  const [told] = await query<{ dropped: number }>(db, {
    name: "shadow_dropped",
    text: `select coalesce(sum((m.figures #>> '{shadowed,dropped}')::float8), 0) as dropped from model_workers m where ${ALIVE}`,
  });
  return {
    ...models,
    photos: verdicts.reduce((sum, pair) => sum + pair.photos, 0),
    dropped: told!.dropped,
    verdicts,
    categories: await pairs("category"),
    differences: await query(db, {
      name: "compare_scores",
      text: `select 'human' as score, avg(abs(human - beside_human)) as mean
          from shadow_scores where model = $1 and beside = $2
          union all (select name, avg(${DIFFERENCE}) from shadow_scores, ${NAMES}
            where model = $1 and beside = $2 group by name order by name)`,
      values,
    }),
    most: await query<DifferingPhoto>(db, {
      name: "compare_photos",
      // of all rows only what is asked for is looked up among photos
      text: `select m.photo_id as "photoId", p.bucket, p.key, m.verdict, m.beside_verdict as "besideVerdict", m.category,
          m.beside_category as "besideCategory", m.human, m.beside_human as "besideHuman", difference
        from (
          select * from (
            select *, greatest(abs(human - beside_human), (select max(${DIFFERENCE}) from ${NAMES})) as difference
            from shadow_scores where model = $1 and beside = $2) compared
          where difference >= 0.0005 or verdict <> beside_verdict or category <> beside_category
          order by difference desc, photo_id limit $3) m
        join photos p on p.id = m.photo_id
        order by difference desc, m.photo_id`,
      values: [...values, most],
    }),
  };
}

/** Of one score of one row; a category that only one of the models knows counts as 0 in the other. */
const DIFFERENCE = "abs(coalesce((scores ->> name)::real, 0) - coalesce((beside_scores ->> name)::real, 0))";
const NAMES = "jsonb_object_keys(scores || beside_scores) as name";
