import { cutTo } from "../decide/decide.ts";
import type { Decision, Scores, Tag } from "../photo.ts";

/** What `--json` says of a photo that was judged, whichever command judged it. Scores have four digits, cut and not rounded. */
export interface JudgedJson {
  category: string;
  scores: Record<string, number>;
  human: number;
  tags: Tag[];
  verdict: string;
  rule: string;
  reason: string;
  /** Its id. */
  model: string;
  /** As verdicts have it. */
  policy: string;
}

export function judgedJson(
  scores: Scores,
  { category, tags, verdict, rule, reason }: Decision,
  { model, policy }: Pick<JudgedJson, "model" | "policy">,
): JudgedJson {
  const written = Object.entries(scores.categories).map(([name, score]) => [name, fourDigits(score)]);
  return {
    category,
    scores: Object.fromEntries(written) as Record<string, number>,
    human: fourDigits(scores.human),
    tags: tags.map((tag) => ({ ...tag, score: fourDigits(tag.score) })),
    verdict,
    rule,
    reason,
    model,
    policy,
  };
}

export function fourDigits(score: number): number {
  return Number(cutTo(4, score));
}
