/** What counts say and how sure they are: pure functions over numbers, for whoever measures a model. */

/** 95 % of such intervals hold the true value. */
export interface Interval {
  low: number;
  high: number;
}

/** `hits` of `of`, its share 0..1 and an interval of it; the share of nothing is null, and could be anything. */
export interface Proportion extends Interval {
  hits: number;
  of: number;
  value: number | null;
}

/** Wilson's score interval, which holds near 0 and 1 and for few photos too. Takes each hit as independent. */
export function wilson(hits: number, of: number): Proportion {
  if (of === 0) return { hits, of, value: null, low: 0, high: 1 };
  const share = hits / of;
  const scale = 1 + Z ** 2 / of;
  const centre = (share + Z ** 2 / (2 * of)) / scale;
  const half = (Z / scale) * Math.sqrt((share * (1 - share)) / of + Z ** 2 / (4 * of ** 2));
  return {
    hits,
    of,
    value: share,
    low: hits === 0 ? 0 : Math.max(0, centre - half),
    high: hits === of ? 1 : Math.min(1, centre + half),
  };
}

/** A score 0..1 beside what is true of it. */
export interface Scored {
  score: number;
  positive: boolean;
}

export interface CurvePoint {
  /** Whatever scores at least this is called positive. */
  threshold: number;
  /** Of what is called positive, the share that is. */
  precision: number;
  /** Of what is positive, the share that is called so. */
  recall: number;
}

/** One point for each distinct score, from the highest down. Empty where nothing is positive. */
export function precisionRecallCurve(photos: readonly Scored[]): CurvePoint[] {
  const order = descending(photos);
  const positives = photos.filter(({ positive }) => positive).length;
  if (positives === 0) return [];
  const points: CurvePoint[] = [];
  let right = 0;
  for (const [place, index] of order.entries()) {
    const { score, positive } = photos[index]!;
    if (positive) right++;
    // photos of equal score stand on the same side of every threshold
    const next = order[place + 1];
    if (next === undefined || photos[next]!.score !== score) {
      points.push({ threshold: score, precision: right / (place + 1), recall: right / positives });
    }
  }
  return points;
}

/**
 * The area under the precision-recall curve by steps, as scikit-learn computes it; null where nothing is positive. Sorted once,
 * however many resampled sets `bootstrap` asks it of.
 */
export function averagePrecisionFigure(photos: readonly Scored[]): Figure {
  const order = Int32Array.from(descending(photos));
  const positive = Uint8Array.from(order, (index) => (photos[index]!.positive ? 1 : 0));
  // the last of those that score equal, which stand on the same side of every threshold
  const last = Uint8Array.from(order, (index, place) => {
    const next = order[place + 1];
    return next !== undefined && photos[next]!.score === photos[index]!.score ? 0 : 1;
  });
  return (weights) => {
    let [called, right, before, area] = [0, 0, 0, 0];
    for (let place = 0; place < order.length; place++) {
      const weight = weights[order[place]!]!;
      called += weight;
      right += weight * positive[place]!;
      if (last[place] === 0 || called === 0) continue;
      area += (right / called) * (right - before);
      before = right;
    }
    return right === 0 ? null : area / right;
  };
}

/**
 * McNemar's exact test: how likely two models that are equally good differ at least so much by chance, two-sided. Photos of one
 * source are alike and may differ all together, so that it is whole sources whose differences fall either way (a sign-flip
 * test); where each photo is a source of its own this is the test as it is in books.
 *
 * @param differences of each source: photos that only the second has right, less those that only the first has.
 */
export function mcnemar(differences: readonly number[]): number {
  const sizes = differences.map(Math.abs).filter((size) => size > 0);
  const most = sizes.reduce((sum, size) => sum + size, 0);
  const seen = Math.abs(differences.reduce((sum, difference) => sum + difference, 0));
  // how likely what falls to one side adds up to each number
  const chance = new Float64Array(most + 1);
  chance[0] = 1;
  let reached = 0;
  for (const size of sizes) {
    reached += size;
    for (let sum = reached; sum >= 0; sum--) {
      chance[sum] = (chance[sum]! + (sum >= size ? chance[sum - size]! : 0)) / 2;
    }
  }
  let p = 0;
  for (const [sum, share] of chance.entries()) if (Math.abs(most - 2 * sum) >= seen) p += share;
  return Math.min(1, p);
}

/** Below so many sources (or photos) no difference, however one-sided, is beyond chance: 2 / 2 ** 6 is the first p below 0.05. */
export const FEWEST_TO_DIFFER = 6;

/**
 * The share of photos of which something is true, with the wider of two intervals: Wilson's, which knows that nothing
 * seen in few photos is not nothing, and that of whole sources drawn again, which knows that their photos are alike.
 *
 * @param weights how many photos each stands for; all the same by default. `hits` and `of` are counts all the same.
 */
export function clusteredProportion(
  hits: readonly boolean[],
  clusters: readonly string[],
  weights: readonly number[] = hits.map(() => 1),
): Proportion {
  const counts = { hits: hits.filter(Boolean).length, of: hits.length };
  if (hits.length === 0) return wilson(0, 0);
  const figure: Figure = (drawn) => {
    let [hit, all] = [0, 0];
    for (const [index, times] of drawn.entries()) {
      all += times * weights[index]!;
      if (hits[index]) hit += times * weights[index]!;
    }
    return all === 0 ? null : hit / all;
  };
  const value = figure(new Float64Array(hits.length).fill(1))!;
  const photos = effectiveSampleSize(weights);
  const { low, high } = wilson(value * photos, photos);
  const { share } = bootstrap(clusters, { share: figure });
  return { ...counts, value, low: Math.min(low, share.low), high: Math.max(high, share.high) };
}

/** As how many photos of equal weight these count (Kish): fewer than they are, where a few stand for most. */
export function effectiveSampleSize(weights: readonly number[]): number {
  const [sum, squares] = [0, 1].map((power) => weights.reduce((all, each) => all + each * each ** power, 0));
  return squares === 0 ? 0 : sum! ** 2 / squares!;
}

/** A figure of a resampled set: weights[i] says how often photo i is in it. null where it has no value. */
export type Figure = (weights: Float64Array) => number | null;

/**
 * Intervals by resampling whole clusters, because photos of one source are alike: a second set would have other
 * sources, not other photos of the same. All figures are taken of the same resampled sets. The same photos have the
 * same intervals.
 *
 * @param clusters for each photo, the source that it is drawn with; all different where each stands for itself.
 * @returns by name; a figure that had no value in most sets could be anything: 0 to 1.
 */
export function bootstrap<Name extends string>(
  clusters: readonly string[],
  figures: Record<Name, Figure>,
): Record<Name, Interval> {
  const numbers = new Map<string, number>();
  for (const cluster of clusters) if (!numbers.has(cluster)) numbers.set(cluster, numbers.size);
  const clusterOf = Int32Array.from(clusters, (cluster) => numbers.get(cluster)!);
  const next = random(1);
  const drawn = new Float64Array(numbers.size);
  const weights = new Float64Array(clusters.length);
  const names = Object.keys(figures) as Name[];
  const seen = names.map((): number[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    drawn.fill(0);
    for (let pick = 0; pick < drawn.length; pick++) drawn[Math.floor(next() * drawn.length)]!++;
    for (const [index, cluster] of clusterOf.entries()) weights[index] = drawn[cluster]!;
    for (const [place, name] of names.entries()) {
      const value = figures[name](weights);
      if (value !== null && Number.isFinite(value)) seen[place]!.push(value);
    }
  }
  const intervals = names.map((name, place) => [name, middle(seen[place]!)]);
  return Object.fromEntries(intervals) as Record<Name, Interval>;
}

/** Numbers 0..1, the same for the same seed: mulberry32. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function middle(values: number[]): Interval {
  if (values.length < ROUNDS / 2) return { low: 0, high: 1 };
  values.sort((a, b) => a - b);
  const at = (share: number): number => values[Math.round(share * (values.length - 1))]!;
  return { low: at(0.025), high: at(0.975) };
}

/** Places of the photos, from the highest score down. */
export function descending(photos: readonly Scored[]): number[] {
  return photos.map((_, index) => index).sort((a, b) => photos[b]!.score - photos[a]!.score);
}

/** Of the normal distribution, for 95 %. */
const Z = 1.959963984540054;
/** Sets that are drawn for an interval. */
const ROUNDS = 1_000;
