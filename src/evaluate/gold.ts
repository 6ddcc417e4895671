import type { Scores } from "../photo.ts";
import type { Label } from "./labelled.ts";
import { mcnemar } from "./statistics.ts";

/** How two models answered the same question about the same photos. */
export interface Duel {
  question: "category" | "human";
  photos: number;
  /** Photos that each has right. */
  active: number;
  candidate: number;
  /** Photos that one has right and the other wrong. */
  onlyActive: number;
  onlyCandidate: number;
  /** How likely a difference like this is where both are equally good: McNemar's exact test, two-sided. */
  p: number;
  /** The candidate has fewer right, beyond chance. */
  worse: boolean;
}

/**
 * Compares two models on labelled photos: whether the most probable category is the right one, and whether a photo is
 * held back exactly if it shows a human. Hands alone are neither, as everywhere.
 *
 * @param active scores by label, in the order of `labels`; undefined where a photo cannot be judged, which counts for neither.
 * @param review the policy's threshold from which on a human is held back.
 */
export function duel(
  labels: readonly Label[],
  active: readonly (Scores | undefined)[],
  candidate: readonly (Scores | undefined)[],
  review: number,
): Duel[] {
  const judged = labels.flatMap((label, index) => {
    const [first, second] = [active[index], candidate[index]];
    return first && second ? [{ label, first, second }] : [];
  });
  const ofCategory = judged.filter(({ label }) => label.category !== null);
  const ofHuman = judged.filter(({ label }) => label.human !== null && !label.hands);
  return [
    outcome(
      "category",
      ofCategory.map(({ label, first, second }) => [
        best(first) === label.category,
        best(second) === label.category,
      ]),
    ),
    outcome(
      "human",
      // a score that is no number holds back, as the policy does
      ofHuman.map(({ label, first, second }) => [
        !(first.human < review) === label.human,
        !(second.human < review) === label.human,
      ]),
    ),
  ];
}

/** What a duel says, in words: which of the two is better, called `one` and `other`, where it can tell. */
export function wordsOf({ photos, active, candidate, p }: Duel, one: string, other: string): string {
  if (photos === 0) return "not measured";
  return p >= 0.05 ? "no difference beyond chance" : `${candidate > active ? other : one} is better`;
}

function outcome(question: Duel["question"], right: readonly (readonly [boolean, boolean])[]): Duel {
  const active = right.filter(([first]) => first).length;
  const candidate = right.filter(([, second]) => second).length;
  const onlyActive = right.filter(([first, second]) => first && !second).length;
  const onlyCandidate = right.filter(([first, second]) => second && !first).length;
  const p = mcnemar(onlyActive, onlyCandidate);
  const worse = candidate < active && p < 0.05;
  return { question, photos: right.length, active, candidate, onlyActive, onlyCandidate, p, worse };
}

function best({ categories }: Scores): string | undefined {
  return Object.entries(categories).sort(([, a], [, b]) => b - a)[0]?.[0];
}
