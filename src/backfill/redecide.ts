import { isDeepStrictEqual } from "node:util";
import { decide } from "../decide/decide.ts";
import type { Policy } from "../decide/policy.ts";
import type { Decision, Scores, Verdict } from "../photo.ts";

/** A photo as it is decided now, and the scores that this was decided from. */
export interface Decided {
  id: string;
  state: Verdict;
  category: string;
  /** Names the policy that decided. */
  policy: string;
  human: number;
  /** By category. */
  scores: Record<string, number>;
}

export interface Redecided<T extends Decided> {
  photo: T;
  scores: Scores;
  decision: Decision;
  /** Verdict or category differ, and not the tags or the reason alone. */
  visible: boolean;
}

/**
 * What another policy decides differently from the same scores: verdict, category, tags or rule.
 *
 * @param before the policies that are known by name; what an unknown one decided counts as different.
 */
export function redecide<T extends Decided>(
  photos: readonly T[],
  policy: Policy,
  before: ReadonlyMap<string, Policy>,
): Redecided<T>[] {
  return photos.flatMap((photo) => {
    // Postgres writes a real in as few digits as tell it from others: this is the number that the model gave
    const scores = { categories: photo.scores, human: Math.fround(photo.human) };
    const decision = decide(scores, policy);
    const visible = decision.verdict !== photo.state || decision.category !== photo.category;
    const was = before.get(photo.policy);
    if (!visible && was && sameWords(decide(scores, was), decision)) return [];
    return [{ photo, scores, decision, visible }];
  });
}

/** Not the reason: it names thresholds, which a photo far from them need not be written anew for. */
function sameWords(a: Decision, b: Decision): boolean {
  const tags = (decision: Decision): [string, number][] =>
    decision.tags.map(({ category, score }) => [category, score]);
  return a.rule === b.rule && isDeepStrictEqual(tags(a), tags(b));
}
