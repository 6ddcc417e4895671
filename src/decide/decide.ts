import type { Decision, Scores, Tag, Verdict } from "../photo.ts";
import type { Policy } from "./policy.ts";

/**
 * Scores → tags and a verdict. Pure: the same scores and policy give the same decision.
 *
 * A score that is not a number decides nothing: it sends the photo to review, never to the public.
 */
export function decide(scores: Scores, policy: Policy): Decision {
  const ranked = Object.entries(scores.categories).sort(([, a], [, b]) => b - a);
  const [category, best] = ranked[0] ?? ["", Number.NaN];
  const numbers = [scores.human, ...ranked.map(([, score]) => score)];
  // JSON has no NaN: it comes back as null, which is taken for 0 by comparisons
  const valid = numbers.every((score) => typeof score === "number" && score >= 0 && score <= 1);
  const tags: Tag[] = (valid ? ranked : [])
    .map(([name, score]) => ({ category: name, score, threshold: policy.categories[name] ?? 1 }))
    .filter((tag) => tag.score >= tag.threshold);
  const verdict = (verdict: Verdict, rule: string, reason: string): Decision => ({
    verdict,
    rule,
    reason,
    category,
    tags,
  });

  const { hide, review } = policy.human;
  if (!valid) {
    return verdict("review", "scores-invalid", "the model gave a score that is no probability");
  }
  if (scores.human >= hide) {
    return verdict("hidden", "human", `human ${beside(scores.human, hide)} >= ${exact(hide)}`);
  }
  const unwanted = policy.hide.includes(category);
  const reached = tags.some((tag) => tag.category === category);
  // before anybody is asked: no answer would show it
  if (unwanted && reached) {
    return verdict("hidden", "hidden-category", `${category} ${hundredths(best)}: hidden by the policy`);
  }
  if (scores.human >= review) {
    return verdict(
      "review",
      "human-uncertain",
      `human ${beside(scores.human, review, hide)} is between ${exact(review)} and ${exact(hide)}`,
    );
  }
  const toVerify = tags.find((tag) => policy.verify.includes(tag.category));
  if (toVerify) {
    return verdict(
      "review",
      "verify",
      `${toVerify.category} ${hundredths(toVerify.score)}: every ${toVerify.category} is verified`,
    );
  }
  // a lesser tag does not show what may be unwanted
  if (tags.length === 0 || unwanted) {
    const threshold = policy.categories[category] ?? 1;
    return verdict(
      "review",
      "category-uncertain",
      `${category} ${beside(best, threshold)} is best, and below ${exact(threshold)}`,
    );
  }
  return verdict(
    "shown",
    "clear",
    `${category} ${hundredths(best)}, human ${beside(scores.human, review)} < ${exact(review)}`,
  );
}

/** Whether a score neither hides a photo nor leaves it open whether a human is visible. One that is no number does leave it open. */
export function seesNobody(human: number, policy: Policy): boolean {
  return human < policy.human.review;
}

/** Rounded down to two digits, so that a score just below its threshold never reads as having reached it. */
export function hundredths(score: number): string {
  return cutTo(2, score);
}

export function cutTo(digits: number, score: number): string {
  const scale = 10 ** digits;
  return (Math.floor(score * scale + 1e-9) / scale).toFixed(digits);
}

/** With as many digits as the thresholds that it is compared with. */
function beside(score: number, ...thresholds: number[]): string {
  return cutTo(Math.max(...thresholds.map(digitsOf)), score);
}

function exact(threshold: number): string {
  return threshold.toFixed(digitsOf(threshold));
}

/** Digits after the point that it takes to write a threshold, and two at least. */
function digitsOf(threshold: number): number {
  let digits = 2;
  while (digits < 20 && Number(threshold.toFixed(digits)) !== threshold) digits++;
  return digits;
}
