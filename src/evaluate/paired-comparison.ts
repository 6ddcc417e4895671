import { bestCategory } from "../label.ts";
import type { Scores } from "../photo.ts";
import { clusterOf, isIn } from "./effect.ts";
import type { Label } from "./labelled.ts";
import { FEWEST_TO_DIFFER, mcnemar } from "./statistics.ts";

export interface PairedComparison {
  question: keyof typeof QUESTIONS;
  photos: number;
  /** Of these photos; one that names no source is its own. */
  sources: number;
  /** Photos that each has right. */
  active: number;
  candidate: number;
  /** Photos that one has right and the other wrong. */
  onlyActive: number;
  onlyCandidate: number;
  /** How likely a difference like this is where both are equally good: McNemar's exact test over sources, two-sided. */
  p: number;
  /** The candidate has fewer right, beyond chance; where fewer than six sources differ, each photo counts by itself for that. */
  worse: boolean;
}

/** What is asked of each photo. Humans and clear photos are asked for apart, because a leak is not made good by clear photos. */
export const QUESTIONS = {
  category: "category",
  human: "humans held back",
  clear: "clear photos let pass",
};

/**
 * Compares two models on labelled photos: whether the most probable category is the right one, whether a photo with a
 * human is held back for it, and whether one without is not. Hands alone and likenesses are neither, as everywhere.
 *
 * @param active scores by label, in the order of `labels`; undefined where a photo cannot be judged, which counts for neither.
 * @param review the policy's threshold from which on a human is held back.
 */
export function comparePaired(
  labels: readonly Label[],
  active: readonly (Scores | undefined)[],
  candidate: readonly (Scores | undefined)[],
  review: number,
): PairedComparison[] {
  const judged = labels.flatMap((label, index) => {
    const [first, second] = [active[index], candidate[index]];
    return first && second ? [{ label, first, second }] : [];
  });
  const ofCategory = judged.filter(({ label }) => label.category !== null);
  const ofHuman = judged.filter(({ label }) => isIn("humans", label));
  const clear = judged.filter(({ label }) => isIn("foodAndAmbience", label) || isIn("otherHumanFree", label));
  // a score that is no number holds back, as the policy does
  const held = ({ human }: Scores): boolean => !(human < review);
  return [
    outcome("category", ofCategory, (scores, label) => bestCategory(scores.categories) === label.category),
    outcome("human", ofHuman, held),
    outcome("clear", clear, (scores) => !held(scores)),
  ];
}

/** What a comparison says, in words: which of the two is better, called `one` and `other`, where it can tell. */
export function wordsOf(
  { photos, active, candidate, p, worse }: PairedComparison,
  one: string,
  other: string,
): string {
  if (photos === 0) return "not measured";
  if (photos < FEWEST_TO_DIFFER) return "too few photos to tell";
  if (p < 0.05) return `${candidate > active ? other : one} is better`;
  return worse ? `${other} is worse, if each photo counts by itself` : "no difference beyond chance";
}

interface Pair {
  label: Label;
  first: Scores;
  second: Scores;
}

function outcome(
  question: PairedComparison["question"],
  pairs: readonly Pair[],
  isRight: (scores: Scores, label: Label) => boolean,
): PairedComparison {
  let [active, candidate, onlyActive, onlyCandidate] = [0, 0, 0, 0];
  const differences = new Map<string, number>();
  const photos: number[] = [];
  for (const { label, first, second } of pairs) {
    const [one, other] = [isRight(first, label), isRight(second, label)];
    if (one) active++;
    if (other) candidate++;
    if (one && !other) onlyActive++;
    if (other && !one) onlyCandidate++;
    const source = clusterOf(label);
    photos.push(Number(other) - Number(one));
    differences.set(source, (differences.get(source) ?? 0) + Number(other) - Number(one));
  }
  const bySource = [...differences.values()];
  const differing = bySource.filter((difference) => difference !== 0).length;
  const p = mcnemar(bySource);
  // where few sources differ, they could never tell, and a model that leaks in five restaurants would pass: photos stand for themselves
  const worse = candidate < active && (differing < FEWEST_TO_DIFFER ? mcnemar(photos) : p) < 0.05;
  return {
    question,
    photos: pairs.length,
    sources: differences.size,
    active,
    candidate,
    onlyActive,
    onlyCandidate,
    p,
    worse,
  };
}
