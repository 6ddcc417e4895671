/** What a policy would do with labelled photos: what it would show, and what it would hold back and why. */
import type { Decision, Scores } from "../photo.ts";
import type { Label } from "./labelled.ts";
import { clusteredProportion, type Proportion } from "./statistics.ts";

/** A labelled photo, what the model says of it, and what the policy makes of that. */
export interface Judged {
  label: Label;
  scores: Scores;
  decision: Decision;
  /** How many photos it stands for: one, unless more of its like were left out than of others. */
  weight?: number;
}

export const GROUPS = [
  "humans",
  "smallHumans",
  "foodAndAmbience",
  "otherHumanFree",
  "likenesses",
  "hands",
] as const;
export type Group = (typeof GROUPS)[number];

export interface Effect {
  photos: number;
  shown: Proportion;
  /** Whatever is not shown: in review, or hidden. */
  held: Proportion;
  /** Photos by the rule that held them back. */
  rules: Record<string, number>;
}

/** By group. A photo of hands alone, or of a likeness of a human, counts in no other group. */
export function outcomesByGroup(judged: readonly Judged[]): Record<Group, Effect> {
  const entries = GROUPS.map((group) => [group, effect(judged.filter(({ label }) => isIn(group, label)))]);
  return Object.fromEntries(entries) as Record<Group, Effect>;
}

export function isIn(group: Group, { human, hands, small, kind, category }: Label): boolean {
  if (hands) return group === "hands";
  if (human === true) return group === "humans" || (group === "smallHumans" && small);
  if (human === null) return false;
  if (LIKENESSES.includes(kind ?? "")) return group === "likenesses";
  return group === (SERVED.includes(category ?? "") ? "foodAndAmbience" : "otherHumanFree");
}

/** The source that a photo is drawn with when intervals are made; without one it stands for itself. */
export function clusterOf({ source, path }: Label): string {
  return source === null ? `photo ${path}` : `source ${source}`;
}

function effect(judged: readonly Judged[]): Effect {
  const clusters = judged.map(({ label }) => clusterOf(label));
  const shown = clusteredProportion(
    judged.map(({ decision }) => decision.verdict === "shown"),
    clusters,
    judged.map(({ weight = 1 }) => weight),
  );
  const rules: Record<string, number> = {};
  for (const { decision } of judged) {
    if (decision.verdict !== "shown") rules[decision.rule] = (rules[decision.rule] ?? 0) + 1;
  }
  return {
    photos: judged.length,
    shown,
    held: rest(shown),
    rules,
  };
}

function rest({ hits, of, value, low, high }: Proportion): Proportion {
  const left = of - hits;
  return { hits: left, of, value: value === null ? null : 1 - value, low: 1 - high, high: 1 - low };
}

/** What people come to see: held back without need, it hurts most. */
const SERVED = ["food", "ambience"];

/** Kinds that look like a human and are none. */
const LIKENESSES = ["statue", "doll", "poster", "sculpture", "lookalike"];
