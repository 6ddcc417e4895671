import type { Kind, Photo } from "./types.ts";

/** Why a person is asked, in a word. */
export const KIND_WORDS: Record<Kind, string> = {
  appeal: "Appeal",
  human: "Human?",
  verify: "Verify",
  category: "Category?",
  scores: "No scores",
  audit: "Audit",
};

/** What a rule of the policy comes to; its reason has the figures. */
const RULE_WORDS: Record<string, string> = {
  human: "A human is visible",
  "human-uncertain": "Maybe a human",
  verify: "Always verified",
  "category-uncertain": "Category not sure",
  "scores-invalid": "The model gave no usable scores",
  clear: "Clear",
  moderator: "A moderator decided",
  undo: "A decision was taken back",
  rollback: "A backfill was rolled back",
};

export function rule(name: string | null): string {
  return name === null ? "Not judged yet" : (RULE_WORDS[name] ?? name);
}

export const STATE_WORDS: Record<Photo["state"], string> = {
  pending: "pending",
  shown: "shown",
  hidden: "hidden",
  review: "in review",
  failed: "failed",
};

/** A probability, rounded down as in every reason: 0.999 is not yet 1.00. */
export function score(value: number | null | undefined): string {
  return value === null || value === undefined ? "–" : (Math.floor(value * 100 + 1e-9) / 100).toFixed(2);
}

/** The last part of a key, which tells photos apart where there is no room for all of it. */
export function nameOf({ key }: { key: string }): string {
  return key.slice(key.lastIndexOf("/") + 1) || key;
}

const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export function when(time: string | null): string {
  return time === null ? "–" : clock.format(new Date(time));
}

/** `moderator:ann` → "ann", `model:restaurant-2` → "the model restaurant-2". */
export function who(by: string | null | undefined): string {
  const [, role, name] = /^(model|moderator):(.*)$/.exec(by ?? "") ?? [];
  if (role === "model") return `the model ${name}`;
  return name ?? by ?? "somebody";
}

export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString()} ${number === 1 ? one : many}`;
}

/** Whether it was hidden because a human is seen, and so is blurred until asked for. */
export function hiddenForHuman({ state, rule, human }: Photo): boolean {
  return state === "hidden" && (rule === "human" || (human ?? 0) >= 0.5);
}
