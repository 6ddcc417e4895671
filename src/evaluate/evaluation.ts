/** How good a model is on labelled photos, as figures with intervals: pure, for pages and machines to show. */
import type { Scores } from "../photo.ts";
import { mistakesBySource, type SourceMistakes } from "./by-source.ts";
import { clusterOf, type Effect, type Group, type Judged, outcomesByGroup } from "./effect.ts";
import type { Label } from "./labelled.ts";
import { type Mistakes, mistakesOf } from "./mistakes.ts";
import { type Reliability, reliabilityOf } from "./reliability.ts";
import {
  averagePrecisionFigure,
  bootstrap,
  type CurvePoint,
  type Figure,
  type Interval,
  precisionRecallCurve,
  wilson,
} from "./statistics.ts";

/** A figure 0..1, null where it has no value, and its interval over whole sources drawn again. */
export interface Estimate extends Interval {
  value: number | null;
}

interface CategoryFigures {
  category: string;
  photos: number;
  precision: Estimate;
  recall: Estimate;
  f1: Estimate;
  averagePrecision: number | null;
  curve: CurvePoint[];
}

export interface Evaluation {
  photos: number;
  sources: number;
  /** Of photos whose category somebody said. */
  category: {
    photos: number;
    names: readonly string[];
    /** Photos by their category (row) and by what the model said (column), in the order of `names`. */
    confusion: number[][];
    accuracy: Estimate;
    macroF1: Estimate;
    each: CategoryFigures[];
    /** Of the most probable category. */
    reliability: Reliability;
  };
  /** Of photos of which somebody said whether a human is visible; hands alone are neither. */
  human: {
    photos: number;
    humans: number;
    averagePrecision: Estimate;
    curve: CurvePoint[];
    reliability: Reliability;
  };
  effect: Record<Group, Effect>;
  mistakes: Mistakes;
  mistakesBySource: SourceMistakes[];
}

/** @param worst how many mistakes of each kind to name. */
export function evaluate(
  judged: readonly Judged[],
  categories: readonly string[],
  worst: number,
): Evaluation {
  return {
    photos: judged.length,
    sources: new Set(judged.map(({ label }) => clusterOf(label))).size,
    category: ofCategory(
      judged.filter(({ label }) => label.category !== null),
      categories,
    ),
    human: ofHuman(judged.filter(({ label }) => label.human !== null && !label.hands)),
    effect: outcomesByGroup(judged),
    mistakes: mistakesOf(judged, worst),
    mistakesBySource: mistakesBySource(judged),
  };
}

function ofCategory(judged: readonly Judged[], names: readonly string[]): Evaluation["category"] {
  const truth = judged.map(({ label }) => names.indexOf(label.category!));
  const guess = judged.map(({ decision }) => names.indexOf(decision.category));
  const confusion = names.map(() => names.map(() => 0));
  for (const [index, row] of truth.entries()) confusion[row]![guess[index]!]!++;

  // of photos that weigh as much as they were drawn
  const counted = (weights: Float64Array, k: number): [right: number, said: number, is: number] => {
    let [right, said, is] = [0, 0, 0];
    for (let index = 0; index < truth.length; index++) {
      const weight = weights[index]!;
      if (truth[index] === k) is += weight;
      if (guess[index] !== k) continue;
      said += weight;
      if (truth[index] === k) right += weight;
    }
    return [right, said, is];
  };
  const f1 = (weights: Float64Array, k: number): number | null => {
    const [right, said, is] = counted(weights, k);
    return is === 0 ? null : (2 * right) / (said + is);
  };
  const figures: Record<string, Figure> = {
    accuracy(weights) {
      let [right, all] = [0, 0];
      for (let index = 0; index < truth.length; index++) {
        all += weights[index]!;
        if (truth[index] === guess[index]) right += weights[index]!;
      }
      return all === 0 ? null : right / all;
    },
    macroF1(weights) {
      const each = names.map((_, k) => f1(weights, k)).filter((value) => value !== null);
      return each.length === 0 ? null : each.reduce((sum, value) => sum + value, 0) / each.length;
    },
  };
  for (const [k, name] of names.entries()) {
    figures[`${name} precision`] = (weights) => {
      const [right, said] = counted(weights, k);
      return said === 0 ? null : right / said;
    };
    figures[`${name} recall`] = (weights) => {
      const [right, , is] = counted(weights, k);
      return is === 0 ? null : right / is;
    };
    figures[`${name} f1`] = (weights) => f1(weights, k);
  }
  const estimates = estimate(judged, figures);
  const sum = (counts: readonly number[]): number => counts.reduce((all, count) => all + count, 0);
  const isOf = confusion.map(sum);
  const saidOf = names.map((_, k) => sum(confusion.map((row) => row[k]!)));
  return {
    photos: judged.length,
    names,
    confusion,
    accuracy: widened(estimates["accuracy"]!, judged.length),
    macroF1: ifCertain(estimates["macroF1"]!, judged.length),
    each: names.map((name, k) => {
      const scored = judged.map(({ scores }, index) => ({
        score: scores.categories[name] ?? 0,
        positive: truth[index] === k,
      }));
      return {
        category: name,
        photos: isOf[k]!,
        precision: widened(estimates[`${name} precision`]!, saidOf[k]!),
        recall: widened(estimates[`${name} recall`]!, isOf[k]!),
        f1: widened(estimates[`${name} f1`]!, isOf[k]!),
        averagePrecision: averagePrecisionFigure(scored)(new Float64Array(scored.length).fill(1)),
        curve: thinned(precisionRecallCurve(scored)),
      };
    }),
    reliability: reliabilityOf(
      judged.map(({ scores, decision }, index) => ({
        score: scores.categories[decision.category]!,
        positive: truth[index] === guess[index],
      })),
    ),
  };
}

function ofHuman(judged: readonly Judged[]): Evaluation["human"] {
  const scored = judged.map(({ label, scores }) => ({ score: scores.human, positive: label.human === true }));
  const { human } = estimate(judged, { human: averagePrecisionFigure(scored) });
  const humans = scored.filter(({ positive }) => positive).length;
  return {
    photos: judged.length,
    humans,
    averagePrecision: ifCertain(human!, humans),
    curve: thinned(precisionRecallCurve(scored)),
    reliability: reliabilityOf(scored),
  };
}

function estimate(judged: readonly Judged[], figures: Record<string, Figure>): Record<string, Estimate> {
  const intervals = bootstrap(
    judged.map(({ label }) => clusterOf(label)),
    figures,
  );
  const whole = new Float64Array(judged.length).fill(1);
  return Object.fromEntries(
    Object.entries(figures).map(([name, figure]) => [name, { value: figure(whole), ...intervals[name]! }]),
  );
}

/** At least as wide as Wilson's interval of so many photos: where none is wrong, no resampling finds one that is. */
function widened(estimate: Estimate, photos: number): Estimate {
  if (estimate.value === null) return estimate;
  const { low, high } = wilson(estimate.value * photos, photos);
  return { ...estimate, low: Math.min(estimate.low, low), high: Math.max(estimate.high, high) };
}

/** For figures that are no shares, only where resampling says that they are certain. */
function ifCertain(estimate: Estimate, photos: number): Estimate {
  return estimate.low === estimate.high ? widened(estimate, photos) : estimate;
}

/**
 * A curve that is drawn needs no more points: the first that finds each half per cent, and the last. Taken by their place instead,
 * they would pass over most points that find one more, where positives are few.
 */
function thinned(curve: readonly CurvePoint[]): CurvePoint[] {
  if (curve.length <= 200) return [...curve];
  const first = Array.from({ length: 201 }, (_, step) => curve.find(({ recall }) => recall >= step / 200)!);
  return [...new Set([...first, curve.at(-1)!])];
}

/** Scores by label as judged photos; those that have none are left out. */
export function judgedOf(
  labels: readonly Label[],
  scores: readonly (Scores | undefined)[],
  decide: (scores: Scores) => Judged["decision"],
): Judged[] {
  return labels.flatMap((label, index) => {
    const each = scores[index];
    return each ? [{ label, scores: each, decision: decide(each) }] : [];
  });
}
