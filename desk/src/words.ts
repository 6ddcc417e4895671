import type { Kind, Photo } from "./types.ts";

/** Why a person is asked, in a word. */
export const KIND_WORDS: Record<Kind, string> = {
  appeal: "Appeal",
  "hidden-copy": "Hidden copy",
  human: "Human?",
  verify: "Verify",
  category: "Category?",
  scores: "No scores",
  audit: "Audit",
};

/** What a rule of the policy comes to; its reason has the figures. */
const RULE_WORDS: Record<string, string> = {
  "hidden-copy": "A moderator hid a copy",
  human: "The model sees a human",
  "hidden-category": "Its category is not shown",
  "human-uncertain": "Maybe a human",
  verify: "Always verified",
  "category-uncertain": "Category not sure",
  "scores-invalid": "The model gave no usable scores",
  clear: "Clear",
  moderator: "A moderator decided",
  undo: "Taken back",
  rollback: "A backfill was rolled back",
  failed: "It could not be judged",
};

export function rule(name: string | null): string {
  return name === null ? "Not judged yet" : (RULE_WORDS[name] ?? name);
}

/** What a verdict comes to, and what there is to say beyond that. */
export function reasonOf({ rule: name, reason, by, saw, category }: Reasoned): {
  said: string;
  more: string;
} {
  if (name === "verify") return verifyOf(reason ?? "", category);
  if (name !== "moderator") return { said: rule(name), more: reason ?? "" };
  const note = reason === `decided by ${who(by)}` ? "" : reason;
  const seen = typeof saw === "boolean" ? (saw ? "A human was seen" : "Nobody was seen") : "";
  return { said: `Decided by ${who(by)}`, more: [note, seen].filter(Boolean).join(". ") };
}

/** The category that is verified is said only where it is not the photo's own, which has its score beside it already. */
function verifyOf(reason: string, own: string | null): { said: string; more: string } {
  const [, category, sure, every] = /^(.+) (\d\.\d+): (every .+ is verified)$/.exec(reason) ?? [];
  if (!category || !every) return { said: rule("verify"), more: reason };
  const always = `E${every.slice(1)}`;
  if (category === own) return { said: always, more: "" };
  return { said: `May be ${category === "menu" ? "a menu" : category} (${sure})`, more: always };
}

interface Reasoned {
  rule: string | null;
  reason: string | null;
  by: string | null;
  /** Whether a moderator saw a human. */
  saw?: boolean | null;
  /** Of the photo, as of this verdict. */
  category: string | null;
}

export const STATE_WORDS: Record<Photo["state"], string> = {
  pending: "pending",
  shown: "shown",
  hidden: "hidden",
  review: "in review",
  failed: "failed",
};

/** The same of a state that came as any text, or of a decision. */
export function stateWords(state: string): string {
  return state === "unsure" ? "not sure" : (STATE_WORDS[state as Photo["state"]] ?? state);
}

/** A probability, rounded down as in every reason: 0.999 is not yet 1.00. */
export function score(value: number | null | undefined): string {
  return value === null || value === undefined ? "–" : (Math.floor(value * 100 + 1e-9) / 100).toFixed(2);
}

/** The last part of a key, which tells photos apart where there is no room for all of it. */
export function nameOf({ key }: { key: string }): string {
  return key.slice(key.lastIndexOf("/") + 1) || key;
}

/** In the words of the page, whose decimals have a point, and with 24 hours: nobody has to know where the browser is from. */
const figures = new Intl.NumberFormat("en-GB");
const time = { hour: "2-digit", minute: "2-digit", timeZoneName: "short" } as const;
const dateTime = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  year: "numeric",
  ...time,
});
const clock = new Intl.DateTimeFormat("en-GB", { ...time, second: "2-digit" });

export function number(value: number): string {
  return figures.format(value);
}

/** As 29 Nov 2026, 14:05 CET: in the time zone of the browser, which is not that of everybody who reads it. */
export function when(at: string | null): string {
  return at === null ? "–" : dateTime.format(new Date(at));
}

/** The same of what is seldom older than a minute, to the second. */
export function secondOf(at: string): string {
  return clock.format(new Date(at));
}

/** `moderator:ann` → "ann", `model:restaurant-6` → "the model restaurant-6". */
export function who(by: string | null | undefined): string {
  const [, role, name] = /^(model|moderator):(.*)$/.exec(by ?? "") ?? [];
  if (role === "model") return `the model ${name}`;
  return name ?? by ?? "somebody";
}

export function count(many: number, one: string, others = `${one}s`): string {
  return `${number(many)} ${many === 1 ? one : others}`;
}

/** Whether it was hidden because a human is seen, by a model or a moderator, and so is blurred until asked for. */
export function hiddenForHuman({ state, rule, human, sawHuman }: Photo): boolean {
  return state === "hidden" && (rule === "human" || sawHuman === true || (human ?? 0) >= 0.5);
}

/** Which moderators were not sure of a photo, as `me` would say it; "" where all were. */
export function doubtersOf({ unsureBy }: Photo, me: string | undefined): string {
  const unsure = unsureBy ?? [];
  const others = unsure.filter((name) => name !== me).length;
  if (others === unsure.length) return others > 0 ? count(others, "moderator") : "";
  return others > 0 ? `you and ${count(others, "other")}` : "you";
}

/** The same where it stands alone, and there is little room. */
export function unsureOf({ unsureBy }: Photo, me: string | undefined): string {
  const unsure = unsureBy ?? [];
  const others = unsure.filter((name) => name !== me).length;
  if (others === unsure.length) return others > 0 ? `${number(others)} not sure` : "";
  return others > 0 ? `You and ${number(others)} more not sure` : "You were not sure";
}

/** How sure the model is of the category, or which person gave it. */
export function sureOf({ category, categoryBy, scores }: Photo): string {
  if (category === null) return "";
  return categoryBy ? `by ${who(categoryBy)}` : score(scores?.[category]);
}
