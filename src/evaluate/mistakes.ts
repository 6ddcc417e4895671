/** Photos that a model is wrong about, by what comes of it. */
import { isIn, type Judged } from "./effect.ts";
import type { Label } from "./labelled.ts";

export interface Mistake {
  file: string;
  path: string;
  label: Pick<Label, "category" | "human" | "small" | "kind" | "source">;
  /** What the model said: its category, how probable, how probable a human, and what would become of it. */
  said: { category: string; score: number; human: number; verdict: string; reason: string };
}

export const MISTAKES = ["humansShown", "heldForHuman", "wrongCategory"] as const;
export type MistakeKind = (typeof MISTAKES)[number];
/** The ones that the model was surest of first, and how many there are of all. */
export type Mistakes = Record<MistakeKind, { photos: number; worst: Mistake[] }>;

/** Whether a photo is such a mistake. */
export const WRONG: Record<MistakeKind, (photo: Judged) => boolean> = {
  humansShown: ({ label, decision }) => isIn("humans", label) && decision.verdict === "shown",
  heldForHuman: ({ label, decision }) =>
    label.human === false && !label.hands && ["human", "human-uncertain"].includes(decision.rule),
  wrongCategory: ({ label, decision }) => label.category !== null && label.category !== decision.category,
};

/** @param worst how many of each kind to name. */
export function mistakesOf(judged: readonly Judged[], worst: number): Mistakes {
  const best = ({ scores, decision }: Judged): number => scores.categories[decision.category]!;
  const list = (kind: MistakeKind, sureness: (photo: Judged) => number) => {
    const all = judged.filter(WRONG[kind]).sort((a, b) => sureness(b) - sureness(a));
    return { photos: all.length, worst: all.slice(0, worst).map(asMistake) };
  };
  return {
    humansShown: list("humansShown", ({ scores }) => -scores.human),
    heldForHuman: list("heldForHuman", ({ scores }) => scores.human),
    wrongCategory: list("wrongCategory", best),
  };
}

export function asMistake({ label, scores, decision }: Judged): Mistake {
  const { file, path, category, human, small, kind, source } = label;
  const { verdict, reason } = decision;
  const score = scores.categories[decision.category] ?? Number.NaN;
  const said = { category: decision.category, score, human: scores.human, verdict, reason };
  return { file, path, label: { category, human, small, kind, source }, said };
}
