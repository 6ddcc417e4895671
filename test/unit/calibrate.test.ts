import { expect, test } from "vitest";
import { parse } from "yaml";
import { decide } from "../../src/decide/decide.ts";
import type { Policy } from "../../src/decide/policy.ts";
import { changesBetween, rewritePolicy } from "../../src/decide/rewrite.ts";
import {
  applyPolicy,
  chooseThresholds,
  crossValidate,
  type Sample,
  type Target,
} from "../../src/evaluate/calibrate.ts";
import { outcomesByGroup } from "../../src/evaluate/effect.ts";
import { random } from "../../src/evaluate/statistics.ts";
import { labelled, scored } from "../labels.ts";

const base: Policy = {
  version: 1,
  human: { hide: 0.8, review: 0.1 },
  categories: { food: 0.5, ambience: 0.5, menu: 0.5, other: 0.5 },
  verify: ["menu"],
  hide: [],
};
const aim = (limit: Target["limit"], share: number, more: Partial<Target> = {}): Target => ({
  limit,
  share,
  tagPrecision: null,
  hidePrecision: null,
  ...more,
});
const sample = (file: string, human: boolean, score: number, source: string | null = null): Sample => ({
  label: labelled(file, { category: "food", human, source }),
  scores: scored("food", 0.9, score),
});
/** Humans score high and others low, and some of each do not. */
function crowd(count: number, seed: number, sources = 40): Sample[] {
  const next = random(seed);
  return Array.from({ length: count }, (_, n) => {
    const human = n % 2 === 0;
    const score = human ? 1 - next() ** 3 : next() ** 4;
    return sample(`${n}`, human, score, `${Math.floor(next() * sources)}`);
  });
}
/** The share of those with a human, or of those without, that a policy shows. */
function shownOf(samples: readonly Sample[], policy: Policy, human: boolean): number {
  const of = samples.filter(({ label }) => label.human === human);
  return of.filter(({ scores }) => decide(scores, policy).verdict === "shown").length / of.length;
}
const choose = (samples: readonly Sample[], target: Target, policy = base) =>
  chooseThresholds(samples, policy, target, decide);

test.for([0.02, 0.05, 0.1, 0.25])(
  "at most %d of humans is shown, and no more is held back than that takes",
  (share) => {
    for (const seed of [1, 2, 3]) {
      const samples = crowd(600, seed);
      const { human } = choose(samples, aim("shown", share))!;
      const shown = (review: number): number => {
        const policy = { ...base, human: { hide: Math.max(base.human.hide, review), review } };
        return shownOf(samples, policy, true);
      };
      expect(shown(human.review)).toBeLessThanOrEqual(share);
      // one more photo of a human, and it is too many
      const above = samples
        .filter(({ label }) => label.human)
        .map(({ scores }) => scores.human)
        .filter((score) => score >= human.review)
        .sort((a, b) => a - b);
      const allowed = Math.floor(share * 300) - Math.round(shown(human.review) * 300);
      expect(allowed).toBeGreaterThanOrEqual(0);
      expect(shown(above[allowed]! + 1e-9)).toBeGreaterThan(share);
    }
  },
);

test.for([0.02, 0.05, 0.2])(
  "at most %d of what nobody is on is held back, and no more is shown than that takes",
  (share) => {
    for (const seed of [1, 2, 3]) {
      const samples = crowd(600, seed);
      const { human } = choose(samples, aim("held", share))!;
      const held = (review: number): number => {
        const policy = { ...base, human: { hide: 1, review } };
        return 1 - shownOf(samples, policy, false);
      };
      expect(held(human.review)).toBeLessThanOrEqual(share + 1e-9);
      expect(held(human.review * 0.99)).toBeGreaterThanOrEqual(held(human.review));
      const below = samples
        .filter(({ label, scores }) => !label.human && scores.human < human.review)
        .map(({ scores }) => scores.human)
        .sort((a, b) => b - a);
      const allowed = Math.floor(share * 300) - Math.round(held(human.review) * 300);
      expect(held(below[allowed]!)).toBeGreaterThan(share);
      expect(human.hide).toBe(Math.max(base.human.hide, human.review));
    }
  },
);

test("a target that few photos support does not let humans through above human.hide", () => {
  const samples = [sample("1", true, 0.99), sample("2", true, 0.98), sample("3", false, 0.9)];
  expect(choose(samples, aim("shown", 0.01))?.human).toEqual({ hide: 0.8, review: 0.8 });
});

test("none may be shown: everything that scores as high as the lowest human is held back", () => {
  const samples = [sample("1", true, 0.3), sample("2", true, 0.25), sample("3", false, 0.2)];
  expect(choose(samples, aim("shown", 0))?.human).toEqual({ hide: 0.8, review: 0.25 });
});

test("says so where categories alone hold back more than the target", () => {
  const unsure = { label: labelled("2", { category: "food", human: false }), scores: scored("food", 0.4, 0) };
  const samples = [sample("1", false, 0), unsure];
  expect(choose(samples, aim("held", 0.4))).toBeUndefined();
  expect(choose(samples, aim("held", 0.5))).toBeDefined();
});

test("where clear photos score 0, what scores more is held back for it", () => {
  const scores = (human: boolean, count: number, score: number) =>
    Array.from({ length: count }, (_, n) => sample(`${human} ${score} ${n}`, human, score));
  const samples = [...scores(false, 97, 0), ...scores(false, 3, 0.7), ...scores(true, 50, 0.6)];
  const { human } = choose(samples, aim("held", 0.04))!;
  expect(human).toEqual({ hide: 0.8, review: 0.000001 });
  expect(shownOf(samples, { ...base, human }, true)).toBe(0);
  // as it scores so little, what holds it back is what lets the rest pass
  const dim = [...scores(false, 97, 0), ...scores(false, 3, 1e-9)];
  expect(choose(dim, aim("held", 0.04))?.human.review).toBe(1e-9);
});

test("thresholds of categories and human.hide are the lowest at which they are right so often", () => {
  const samples = [
    ...[0.9, 0.8, 0.6].map((score) => ({
      label: labelled("f", { category: "food", human: true }),
      scores: scored("food", score, score),
    })),
    { label: labelled("m", { category: "menu", human: false }), scores: scored("food", 0.5, 0.7) },
    { label: labelled("g", { category: "food", human: true }), scores: scored("food", 0.4, 0.4) },
    { label: labelled("h", { category: "food", human: false }), scores: scored("food", 0.7, 0) },
  ];
  const strict = choose(samples, aim("held", 1, { tagPrecision: 1, hidePrecision: 1 }));
  expect(strict?.categories["food"]).toBe(0.6);
  expect(strict?.human.hide).toBe(0.8);
  const lax = choose(samples, aim("held", 1, { tagPrecision: 0.8, hidePrecision: 0.8 }));
  expect(lax?.categories["food"]).toBe(0.4);
  // those of one score stand on the same side, and a number that can be read lets no other in
  const tied = [sample("t1", true, 0.9), sample("t2", true, 0.60004), sample("t3", false, 0.60001)];
  const hide = (samples: readonly Sample[]) =>
    choose(samples, aim("held", 1, { hidePrecision: 1 }))?.human.hide;
  expect(hide(tied)).toBe(0.60004);
  expect(hide([...tied, sample("t4", false, 0.60004)])).toBe(0.9);
  // never right: it stays
  expect(strict?.categories["ambience"]).toBe(base.categories["ambience"]);
});

test("the threshold of a category that is verified never rises, so that no fewer photos are verified", () => {
  const of = (category: string, score: number): Sample => ({
    label: labelled(`${category} ${score}`, { category, human: false }),
    scores: scored("menu", score, 0),
  });
  const food = sample("food", false, 0);
  const target = aim("held", 1, { tagPrecision: 1 });
  const unsure = [of("menu", 0.9), of("other", 0.6), food];
  expect(choose(unsure, target)?.categories["menu"]).toBe(0.5);
  expect(choose(unsure, target, { ...base, verify: [] })?.categories["menu"]).toBe(0.9);
  const sure = [of("menu", 0.9), of("menu", 0.4), of("other", 0.3), food];
  expect(choose(sure, target)?.categories["menu"]).toBe(0.4);
});

test("what is expected is judged by thresholds that other sources chose", () => {
  const samples = crowd(600, 5);
  const judged = crossValidate(samples, base, aim("shown", 0.05), decide)!;
  expect(judged.map(({ label }) => label.file).sort()).toEqual(samples.map(({ label }) => label.file).sort());
  // a source whose humans score as no others do is missed by what the others chose, and caught by its own choice
  const odd = [
    ...crowd(200, 6, 19).filter(({ label, scores }) => !label.human || scores.human > 0.5),
    ...Array.from({ length: 10 }, (_, n) => sample(`odd ${n}`, true, 0.02, "odd")),
  ];
  const target = aim("shown", 0.02);
  const own = applyPolicy(odd, choose(odd, target)!, decide);
  const others = crossValidate(odd, base, target, decide)!;
  expect(outcomesByGroup(own).humans.shown.hits).toBeLessThanOrEqual(2);
  expect(outcomesByGroup(others).humans.shown.hits).toBeGreaterThanOrEqual(10);
  expect(crossValidate(crowd(50, 1, 4), base, target, decide)).toBeUndefined();
});

test("an interval counts what strata may hold of which nobody saw any", () => {
  const of = (stratum: string, count: number, human: boolean, weight: number): Sample[] =>
    Array.from({ length: count }, (_, n) => ({
      ...sample(`${stratum} ${n}`, human, human ? 0.3 : 0.01),
      stratum,
      weight,
    }));
  const samples = [...of("shown", 100, false, 100), ...of("review", 300, true, 1)];
  const strata = [
    { verdict: "hidden", reviewed: 0, photos: 50 },
    { verdict: "review", reviewed: 300, photos: 300 },
    { verdict: "shown", reviewed: 100, photos: 10_000 },
  ];
  const judged = applyPolicy(samples, base, decide);
  expect(outcomesByGroup(judged).humans.shown.high).toBeLessThan(0.02);
  const { humans, foodAndAmbience } = outcomesByGroup(judged, strata);
  // by the rule of three 300 of those that were shown may have a human, as many as have one
  expect(humans.shown).toMatchObject({ hits: 0, value: 0, low: 0, high: expect.closeTo(0.506, 3) });
  // and those that were hidden may all be food
  expect(foodAndAmbience.held).toMatchObject({ value: 0, low: 0, high: expect.closeTo(0.0417, 3) });
});

test("a rewritten policy keeps its comments and its order, and says of each number what it was", () => {
  const yaml = [
    "# why",
    "version: 1",
    "",
    "human: { hide: 0.8, review: 0.1 } # inline",
    "",
    "# tags",
    "categories:",
    "  food: 0.50",
    "  ambience: 0.5",
    "  menu: 0.5",
    "  other: 0.5",
    "verify: [menu]",
    "hide: []",
    "",
  ].join("\n");
  const after = {
    ...base,
    human: { hide: 0.8, review: 0.0123 },
    categories: { ...base.categories, food: 0.4 },
  };
  const changes = changesBetween(base, after);
  expect(changes.map(({ at }) => at.join("."))).toEqual(["human.review", "categories.food"]);
  const text = rewritePolicy(yaml, changes, { model: "eyes-1", why: "because" });
  expect(parse(text)).toEqual({ ...after, model: "eyes-1" });
  for (const kept of ["# why\n", "# inline", "# tags\n", "  ambience: 0.5\n", "verify: [menu]\n"]) {
    expect(text).toContain(kept);
  }
  expect(text).toContain("  food: 0.4 # was 0.5; because\n");
  expect(text).toContain("was 0.1; because");
});
