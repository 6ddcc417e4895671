/** Chooses the thresholds of a policy by what they do to labelled photos: pure, and by the real decision. */
import type { Policy } from "../decide/policy.ts";
import type { Decision, Scores } from "../photo.ts";
import { clusterOf, isIn, type Judged } from "./effect.ts";
import type { Label } from "./labelled.ts";

type Decide = (scores: Scores, policy: Policy) => Decision;

/** A labelled photo and what the model says of it; what follows from that is what is chosen. */
export interface Sample {
  label: Label;
  scores: Scores;
  /** As in `Judged`, where it is known whether a human is there, and where the category is known. */
  weight?: number;
  categoryWeight?: number;
  stratum?: string;
}

export interface Target {
  /** `shown`: at most this share of photos with a human is shown. `held`: of human-free food and ambience, held back. */
  limit: "shown" | "held";
  share: number;
  /** Where a tag's category is right at least this often; null: thresholds of categories stay. */
  tagPrecision: number | null;
  /** Where what is hidden has a human at least this often; null: human.hide stays where review allows. */
  hidePrecision: number | null;
}

/**
 * The policy with the thresholds that meet the target at the least cost: for `shown`, the highest human.review, which
 * holds least back; for `held`, the lowest, which shows fewest humans. human.hide rises with review where it must; for
 * `shown`, review never rises above human.hide, because a target that few photos support must not let humans through.
 * Thresholds of categories that are verified never rise.
 *
 * @returns undefined where no human.review meets the target.
 */
export function chooseThresholds(
  samples: readonly Sample[],
  base: Policy,
  target: Target,
  decide: Decide,
): Policy | undefined {
  const precise = byPrecision(samples, base, target);
  const categories = Object.fromEntries(
    Object.entries(base.categories).map(([name, threshold]) => {
      const right = precise.categories[name] ?? threshold;
      // above its threshold it is verified: a higher one would show what nobody has verified
      return [name, base.verify.includes(name) ? Math.min(right, threshold) : right];
    }),
  );
  const hide = precise.hide ?? base.human.hide;
  const withReview = (review: number): Policy => ({
    ...base,
    categories,
    human: { review, hide: Math.max(review, hide) },
  });
  const counted = samples.filter(({ label }) =>
    isIn(target.limit === "shown" ? "humans" : "foodAndAmbience", label),
  );
  const share = (review: number): number => {
    const policy = withReview(review);
    const shown = sum(counted.filter(({ scores }) => decide(scores, policy).verdict === "shown"));
    return (target.limit === "shown" ? shown : sum(counted) - shown) / sum(counted);
  };
  const review =
    target.limit === "shown"
      ? highest(counted, hide, (at) => share(at) <= target.share)
      : lowest(counted, (at) => share(at) <= target.share);
  return review === undefined ? undefined : withReview(review);
}

/** The thresholds that are to be right so often and that no score is: they stay as they are. */
export function unattained(samples: readonly Sample[], base: Policy, target: Target): string[] {
  const { categories, hide } = byPrecision(samples, base, target);
  const names = target.tagPrecision === null ? [] : Object.keys(base.categories);
  const missed = names.filter((name) => categories[name] === undefined).map((name) => `categories.${name}`);
  return [...missed, ...(target.hidePrecision !== null && hide === undefined ? ["human.hide"] : [])];
}

function byPrecision(
  samples: readonly Sample[],
  base: Policy,
  { tagPrecision, hidePrecision }: Target,
): { categories: Record<string, number | undefined>; hide: number | undefined } {
  const ofCategory = samples.filter(({ label }) => label.category !== null);
  const ofHuman = samples.filter(({ label }) => label.human !== null && !label.hands);
  const lowest = (
    known: readonly Sample[],
    precision: number | null,
    point: (sample: Sample) => Point,
  ): number | undefined =>
    precision === null ? undefined : lowestWithPrecision(known.map(point), precision);
  return {
    categories: Object.fromEntries(
      Object.keys(base.categories).map((name) => [
        name,
        lowest(ofCategory, tagPrecision, ({ label, scores, categoryWeight: weight = 1 }) => ({
          score: scores.categories[name] ?? 0,
          positive: label.category === name,
          weight,
        })),
      ]),
    ),
    hide: lowest(ofHuman, hidePrecision, ({ label, scores, weight = 1 }) => ({
      score: scores.human,
      positive: label.human === true,
      weight,
    })),
  };
}

function sum(samples: readonly Sample[]): number {
  return samples.reduce((all, { weight = 1 }) => all + weight, 0);
}

/** Of the samples by the policy's decision. */
export function applyPolicy(samples: readonly Sample[], policy: Policy, decide: Decide): Judged[] {
  return samples.map((sample) => ({ ...sample, decision: decide(sample.scores, policy) }));
}

/**
 * What the choice is worth on photos that it was not made on: the sources are dealt into folds, and each fold is judged
 * by thresholds that the others chose. Without it a choice looks better than it is.
 *
 * @returns undefined where there are too few sources, or some folds allow no choice.
 */
export function crossValidate(
  samples: readonly Sample[],
  base: Policy,
  target: Target,
  decide: Decide,
): Judged[] | undefined {
  const sources = new Map<string, number>();
  for (const { label } of samples) {
    const source = clusterOf(label);
    if (!sources.has(source)) sources.set(source, sources.size % FOLDS);
  }
  if (sources.size < 2 * FOLDS) return undefined;
  const judged: Judged[][] = [];
  for (let fold = 0; fold < FOLDS; fold++) {
    const inside = ({ label }: Sample): boolean => sources.get(clusterOf(label)) === fold;
    const policy = chooseThresholds(
      samples.filter((sample) => !inside(sample)),
      base,
      target,
      decide,
    );
    if (!policy) return undefined;
    judged.push(applyPolicy(samples.filter(inside), policy, decide));
  }
  return judged.flat();
}

/** The highest threshold up to `most` that is fine. As it rises, more is shown, so that what is fine comes first. */
function highest(
  samples: readonly Sample[],
  most: number,
  fine: (at: number) => boolean,
): number | undefined {
  if (fine(most)) return most;
  const scores = distinct(samples, most);
  let [from, to] = [0, scores.length];
  // below `from` all are fine, from `to` on none is
  while (from < to) {
    const middle = (from + to) >> 1;
    if (fine(scores[middle]!)) from = middle + 1;
    else to = middle;
  }
  return from === 0 ? (fine(0) ? 0 : undefined) : rounded(scores[from - 1]!, Math.floor);
}

/** The lowest threshold that is fine. As it rises, less is held back, so that what is fine comes last. */
function lowest(samples: readonly Sample[], fine: (at: number) => boolean): number | undefined {
  if (!fine(1)) return undefined;
  // just above a score it is no longer held back; of 0 no factor says where that is, and the next stays held back
  const scores = distinct(samples, 1).map((score, index, all) =>
    score === 0 ? Math.min(1e-6, all[index + 1] ?? 1) : Math.min(1, rounded(score * (1 + 1e-6), Math.ceil)),
  );
  let [from, to] = [0, scores.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (fine(scores[middle]!)) to = middle;
    else from = middle + 1;
  }
  return fine(0) ? 0 : (scores[from] ?? 1);
}

interface Point {
  score: number;
  positive: boolean;
  weight: number;
}

/** The lowest threshold from which on at least this share is positive, over all that score as much; undefined: none. */
function lowestWithPrecision(points: readonly Point[], precision: number): number | undefined {
  const order = points.toSorted((a, b) => b.score - a.score);
  let found: { score: number; below: number } | undefined;
  let [right, all] = [0, 0];
  for (const [index, { score, positive, weight }] of order.entries()) {
    all += weight;
    if (positive) right += weight;
    const below = order[index + 1]?.score ?? Number.NEGATIVE_INFINITY;
    if (below !== score && right / all >= precision) found = { score, below };
  }
  if (!found) return undefined;
  const readable = rounded(found.score, Math.floor);
  return readable > found.below ? readable : found.score;
}

function distinct(samples: readonly Sample[], most: number): number[] {
  const scores = samples.map(({ scores: { human } }) => human).filter((human) => human >= 0 && human <= most);
  return [...new Set(scores)].sort((a, b) => a - b);
}

/** To four digits that count, so that a policy can be read. */
function rounded(value: number, to: (value: number) => number): number {
  if (value === 0) return 0;
  const scale = 10 ** (3 - Math.floor(Math.log10(value)));
  return Number((to(value * scale) / scale).toPrecision(4));
}

const FOLDS = 5;
