/** What a policy would do with labelled photos: what it would show, and what it would hold back and why. */
import type { Decision, Scores } from "../photo.ts";
import type { Label } from "./labelled.ts";
import { clusteredProportion, type Proportion } from "./statistics.ts";

export interface Judged {
  label: Label;
  scores: Scores;
  decision: Decision;
  /** How many photos it stands for: one, unless more of its like were left out than of others. */
  weight?: number;
  /** The verdict of the stratum that it is of. */
  stratum?: string;
}

/** Photos with one verdict of a model. */
export interface Stratum {
  verdict: string;
  /** Those that were reviewed by chance, or all as they came, and of which it was said whether they show a human. */
  reviewed: number;
  photos: number;
}

/** Of how many photos what none that was reviewed shows may still be true: the rule of three. */
export function unseenIn({ reviewed, photos }: Stratum): number {
  return Math.min(photos - reviewed, (3 * photos) / Math.max(reviewed, 1));
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

/**
 * By group. A photo of hands alone, or of a likeness of a human, counts in no other group.
 *
 * @param strata that these photos stand for: an interval counts what they may hold of a group of which nobody saw any in them.
 */
export function outcomesByGroup(
  judged: readonly Judged[],
  strata: readonly Stratum[] = [],
): Record<Group, Effect> {
  const entries = GROUPS.map((group) => {
    const own = judged.filter(({ label }) => isIn(group, label));
    const unseen = strata.filter(({ verdict }) => !own.some(({ stratum }) => stratum === verdict));
    return [group, effect(own, unseen)];
  });
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

/** @param unseen strata of which none of these photos is. */
function effect(judged: readonly Judged[], unseen: readonly Stratum[]): Effect {
  const clusters = judged.map(({ label }) => clusterOf(label));
  const weights = judged.map(({ weight = 1 }) => weight);
  const seen = clusteredProportion(
    judged.map(({ decision }) => decision.verdict === "shown"),
    clusters,
    weights,
  );
  const shown = unseen.length === 0 ? seen : widened(seen, sum(weights), unseen);
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

/** The wider interval of a share of `all` photos where there may be more of them, shown or not. */
function widened(shown: Proportion, all: number, unseen: readonly Stratum[]): Proportion {
  if (all === 0) return shown;
  const held = sum(unseen.map(unseenIn));
  // what was hidden is not shown, however few of that were reviewed
  const open = sum(unseen.filter(({ verdict }) => verdict !== "hidden").map(unseenIn));
  return {
    ...shown,
    low: (shown.low * all) / (all + held),
    high: (shown.high * all + open) / (all + open),
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, each) => all + each, 0);
}

function rest({ hits, of, value, low, high }: Proportion): Proportion {
  const left = of - hits;
  return { hits: left, of, value: value === null ? null : 1 - value, low: 1 - high, high: 1 - low };
}

/** What people come to see: held back without need, it hurts most. */
const SERVED = ["food", "ambience"];

/** Kinds that look like a human and are none. */
const LIKENESSES = ["statue", "doll", "poster", "sculpture", "lookalike"];
