import { expect, test } from "vitest";
import { decide } from "../../src/decide/decide.ts";
import { compare } from "../../src/evaluate/comparison.ts";
import { type Evaluation, evaluate, judgedOf } from "../../src/evaluate/evaluation.ts";
import { type Label, sample } from "../../src/evaluate/labelled.ts";
import { reliabilityOf } from "../../src/evaluate/reliability.ts";
import {
  averagePrecisionFigure,
  bootstrap,
  clusteredProportion,
  effectiveSampleSize,
  precisionRecallCurve,
  random,
} from "../../src/evaluate/statistics.ts";
import type { Scores } from "../../src/photo.ts";
import { labelled, scored } from "../labels.ts";

const NAMES = ["food", "ambience", "menu", "other"];
const POLICY = {
  version: 1,
  human: { hide: 0.5, review: 0.1 },
  categories: { food: 0.5, ambience: 0.5, menu: 0.5, other: 0.5 },
  verify: ["menu"],
  hide: [],
} as const;
const policy = { ...POLICY, verify: [...POLICY.verify], hide: [...POLICY.hide] };
const judge = (photos: readonly (readonly [Label, Scores | undefined])[]) =>
  judgedOf(
    photos.map(([label]) => label),
    photos.map(([, scores]) => scores),
    (scores) => decide(scores, policy),
  );
const evaluated = (photos: readonly (readonly [Label, Scores | undefined])[], worst = 10): Evaluation =>
  evaluate(judge(photos), NAMES, worst);

test("categories are counted by what they are and what is said, and photos without one not at all", () => {
  const { category, photos } = evaluated([
    [labelled("1", { category: "food" }), scored("food", 0.9, 0)],
    [labelled("2", { category: "food" }), scored("food", 0.9, 0)],
    [labelled("3", { category: "food" }), scored("other", 0.7, 0)],
    [labelled("4", { category: "other" }), scored("other", 0.9, 0)],
    [labelled("5", { category: "menu" }), scored("food", 0.6, 0)],
    [labelled("6"), scored("food", 0.9, 0)],
    [labelled("7", { category: "food" }), undefined],
  ]);
  expect(photos).toBe(6);
  expect(category.photos).toBe(5);
  expect(category.confusion).toEqual([
    [2, 0, 0, 1],
    [0, 0, 0, 0],
    [1, 0, 0, 0],
    [0, 0, 0, 1],
  ]);
  expect(category.accuracy.value).toBeCloseTo(3 / 5, 9);
  const [food, ambience, menu, other] = category.each;
  expect([food?.precision.value, food?.recall.value]).toEqual([2 / 3, 2 / 3]);
  expect([other?.precision.value, other?.recall.value]).toEqual([1 / 2, 1]);
  expect([menu?.precision.value, menu?.recall.value, menu?.f1.value]).toEqual([null, 0, 0]);
  // nobody labelled one, so that nothing can be known of it
  expect([ambience?.photos, ambience?.f1.value, ambience?.averagePrecision]).toEqual([0, null, null]);
  expect(category.macroF1.value).toBeCloseTo((2 / 3 + 0 + 2 / 3) / 3, 9);
});

test("a policy is measured where it matters: humans shown, and food and ambience held back for any reason", () => {
  const { effect } = evaluated([
    [labelled("1", { human: true }), scored("food", 0.9, 0.05)],
    [labelled("2", { human: true, small: true }), scored("food", 0.9, 0.3)],
    [labelled("3", { human: true }), scored("food", 0.9, 0.9)],
    [labelled("4", { human: false, category: "food" }), scored("food", 0.9, 0)],
    [labelled("5", { human: false, category: "ambience" }), scored("food", 0.4, 0)],
    [labelled("6", { human: false, category: "food" }), scored("menu", 0.9, 0)],
    [labelled("7", { human: false, category: "food" }), scored("food", 0.9, 0.2)],
    [labelled("8", { human: false, category: "menu" }), scored("menu", 0.9, 0)],
    [labelled("9", { human: false, category: "food", kind: "statue" }), scored("food", 0.9, 0.9)],
    [labelled("10", { human: true, hands: true, category: "food" }), scored("food", 0.9, 0)],
    [labelled("11", { category: "food" }), scored("food", 0.9, 0)],
  ]);
  expect(effect.humans).toMatchObject({
    photos: 3,
    shown: { hits: 1, of: 3 },
    rules: { human: 1, "human-uncertain": 1 },
  });
  expect(effect.smallHumans).toMatchObject({ photos: 1, shown: { hits: 0 } });
  expect(effect.foodAndAmbience).toMatchObject({
    photos: 4,
    held: { hits: 3, of: 4, value: 0.75 },
    rules: { "category-uncertain": 1, verify: 1, "human-uncertain": 1 },
  });
  expect(effect.otherHumanFree).toMatchObject({ photos: 1, rules: { verify: 1 } });
  expect(effect.likenesses).toMatchObject({ photos: 1, held: { hits: 1 } });
  expect(effect.hands).toMatchObject({ photos: 1, shown: { hits: 1 } });
});

test("the mistakes that the model was surest of are named first, hands alone are none, and the rest is counted", () => {
  const { mistakes, human } = evaluated(
    [
      [labelled("unsure", { human: true, category: "food" }), scored("food", 0.9, 0.09)],
      [labelled("sure", { human: true, category: "food" }), scored("food", 0.9, 0.01)],
      [labelled("found", { human: true, category: "food" }), scored("food", 0.9, 0.9)],
      [labelled("hands", { human: true, hands: true }), scored("food", 0.9, 0.01)],
      [labelled("ghost", { human: false, category: "food" }), scored("food", 0.9, 0.6)],
      [labelled("soup", { category: "food" }), scored("menu", 0.8, 0)],
    ],
    1,
  );
  expect(mistakes.humansShown.photos).toBe(2);
  expect(mistakes.humansShown.worst.map(({ file }) => file)).toEqual(["sure"]);
  expect(mistakes.heldForHuman.worst).toMatchObject([
    { file: "ghost", said: { verdict: "hidden", human: 0.6 } },
  ]);
  expect(mistakes.wrongCategory.worst).toMatchObject([
    { file: "soup", said: { category: "menu", score: 0.8 } },
  ]);
  expect(human).toMatchObject({ photos: 4, humans: 3 });
});

test("sources are listed by how many mistakes they have, with what they are most often taken for", () => {
  const receipt = (n: number, said: string) =>
    [labelled(`r${n}`, { category: "other", source: "till" }), scored(said, 0.9, 0)] as const;
  const { mistakesBySource } = evaluated([
    [labelled("shown", { human: true, category: "food", source: "bar" }), scored("food", 0.9, 0.01)],
    [labelled("ghost", { human: false, category: "food", source: "bar" }), scored("food", 0.9, 0.6)],
    [labelled("right", { human: false, category: "food", source: "cafe" }), scored("food", 0.9, 0)],
    [labelled("nameless", { category: "food" }), scored("menu", 0.9, 0)],
    ...[receipt(1, "food"), receipt(2, "menu"), receipt(3, "menu"), receipt(4, "other")],
  ]);
  const none = { humansShown: 0, heldForHuman: 0, wrongCategory: 0, confusion: null };
  expect(mistakesBySource).toEqual([
    {
      ...none,
      source: "till",
      photos: 4,
      wrongCategory: 3,
      confusion: { is: "other", said: "menu", photos: 2 },
    },
    { ...none, source: "bar", photos: 2, humansShown: 1, heldForHuman: 1 },
  ]);
});

test("the curve that is drawn finds as many humans at the threshold and precision of the whole, also where they are rare", () => {
  const next = random(7);
  const photos = Array.from({ length: 1_000 }, (_, n) => {
    const human = n % 50 === 0;
    const label = labelled(`${n}`, { human, source: `${n % 10}` });
    return [label, scored("food", 0.9, human ? 1 - next() ** 3 : next() ** 3)] as const;
  });
  const whole = precisionRecallCurve(
    photos.map(([label, { human }]) => ({ score: human, positive: label.human === true })),
  );
  const { curve } = evaluated(photos).human;
  expect(curve.length).toBeLessThan(300);
  for (const wanted of [0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 1]) {
    const first = (points: typeof curve) => points.find(({ recall }) => recall >= wanted);
    expect(first(curve)).toEqual(first(whole));
  }
  expect(curve.at(-1)).toEqual(whole.at(-1));
});

test("what was never seen wrong in few photos is not called certain", () => {
  const photos = Array.from({ length: 10 }, (_, n) => {
    const label = labelled(`${n}`, { category: "food", human: false, source: `${n % 5}` });
    return [label, scored("food", 0.9, 0)] as const;
  });
  const { category, effect } = evaluated(photos);
  expect(category.accuracy).toMatchObject({ value: 1, low: expect.closeTo(0.72, 2), high: 1 });
  expect(category.each[0]?.recall.low).toBeCloseTo(0.72, 2);
  expect(effect.foodAndAmbience.held).toMatchObject({ value: 0, low: 0, high: expect.closeTo(0.28, 2) });
});

test("photos of one source are alike, so that few sources give a wide interval", () => {
  const hits = Array.from({ length: 400 }, (_, n) => n % 4 === 0);
  const apart = clusteredProportion(
    hits,
    hits.map((_, n) => `${n}`),
  );
  const alike = clusteredProportion(
    hits,
    hits.map((hit, n) => `${hit} ${n % 3}`),
  );
  expect(apart.high - apart.low).toBeLessThan(0.1);
  expect(alike.high - alike.low).toBeGreaterThan(0.3);
  expect(alike.low).toBeLessThan(apart.low - 0.1);
});

test("an interval of resampled sets holds 95 % of them, and is anything where most have no value", () => {
  const sources = Array.from({ length: 400 }, (_, n) => `${n}`);
  const share = (weights: Float64Array) =>
    weights.subarray(0, 100).reduce((sum, each) => sum + each, 0) / 400;
  let sets = 0;
  const { most, few } = bootstrap(sources, { most: share, few: () => (++sets % 3 === 0 ? 0.5 : null) });
  expect(most.high - most.low).toBeCloseTo(2 * 1.96 * Math.sqrt((0.25 * 0.75) / 400), 2);
  expect(few).toEqual({ low: 0, high: 1 });
});

test("the average precision of a resampled set is that of its curve, also where scores are equal", () => {
  // six in ten score 0: what is left fills the other bins evenly
  const tied = Array.from({ length: 1000 }, (_, n) => ({
    score: Math.max(0, n - 599) / 1000,
    positive: n > 600,
  }));
  const sizes = reliabilityOf(tied).bins.map(({ photos }) => photos);
  expect([sizes[0], sizes.length, Math.min(...sizes.slice(1)), Math.max(...sizes.slice(1))]).toEqual([
    600, 15, 28, 29,
  ]);
  const next = random(7);
  const photos = Array.from({ length: 200 }, () => {
    const positive = next() < 0.3;
    return { positive, score: Math.round((positive ? 0.3 : 0) * 10 + next() * 7) / 10 };
  });
  const figure = averagePrecisionFigure(photos);
  for (let round = 0; round < 5; round++) {
    const weights = Float64Array.from(photos, () => Math.floor(next() * 3));
    const curve = precisionRecallCurve(photos.flatMap((photo, index) => Array(weights[index]).fill(photo)));
    const steps = curve.map(({ precision, recall }, n) => precision * (recall - (curve[n - 1]?.recall ?? 0)));
    expect(figure(weights)).toBeCloseTo(
      steps.reduce((area, step) => area + step, 0),
      9,
    );
  }
  expect(averagePrecisionFigure([{ positive: false, score: 1 }])(Float64Array.of(1))).toBeNull();
});

test("two models differ where their category or what would be shown does, and the graver comes first", () => {
  const labels = [
    labelled("same", { category: "food", human: false }),
    labelled("category", { category: "food", human: false }),
    labelled("leak", { category: "food", human: true }),
    labelled("unknown"),
    labelled("one-only", { category: "food" }),
  ];
  const first = judge(labels.map((label) => [label, scored("food", 0.9, label.human ? 0.9 : 0)]));
  const second = judge([
    [labels[0]!, scored("food", 0.8, 0)],
    [labels[1]!, scored("other", 0.9, 0)],
    [labels[2]!, scored("food", 0.9, 0.05)],
    [labels[3]!, scored("food", 0.9, 0.2)],
  ]);
  const { photos, duels, differences } = compare(first, second, 0.1);
  expect(photos).toBe(4);
  expect(duels).toMatchObject([
    { question: "category", active: 3, candidate: 2, onlyActive: 1 },
    { question: "human", photos: 1, active: 1, candidate: 0, onlyActive: 1 },
    { question: "clear", photos: 2, active: 2, candidate: 2, onlyActive: 0 },
  ]);
  expect(differences.map(({ file, right }) => ({ file, ...right }))).toEqual([
    { file: "leak", category: null, shown: "first" },
    { file: "unknown", category: null, shown: null },
    { file: "category", category: "first", shown: null },
  ]);
});

test("calibration keeps photos of equal score together, and tells what chance alone would put apart", () => {
  const sorted = Array.from({ length: 1000 }, (_, n) => ({ score: 0.5, positive: n < 500 }));
  expect(reliabilityOf(sorted)).toMatchObject({ expectedCalibrationError: 0, bins: [{ photos: 1000 }] });
  const next = random(7);
  const honest = (count: number) =>
    reliabilityOf(
      Array.from({ length: count }, () => next()).map((score) => ({ score, positive: next() < score })),
    );
  for (const [photos, low, high] of [
    [300, 0.05, 0.1],
    [10_000, 0.008, 0.02],
  ] as const) {
    const { byChance, expectedCalibrationError, bins } = honest(photos);
    expect([low < byChance!, byChance! < high, expectedCalibrationError! < byChance!]).toEqual([
      true,
      true,
      true,
    ]);
    expect(bins.map((bin) => bin.photos).every((count) => Math.abs(count - photos / 15) <= 1)).toBe(true);
  }
  const overconfident = Array.from({ length: 300 }, () => ({ score: 0.9, positive: next() < 0.6 }));
  const { byChance, expectedCalibrationError } = reliabilityOf(overconfident);
  expect(expectedCalibrationError!).toBeGreaterThan(byChance! * 2);
  expect(reliabilityOf([])).toEqual({ expectedCalibrationError: null, byChance: null, bins: [] });
});

test("a sample holds no photo twice, whatever its size", () => {
  const labels = Array.from({ length: 1000 }, (_, n) => labelled(`${n}`));
  for (const limit of [1, 7, 300, 900, 999]) expect(new Set(sample(labels, limit)).size).toBe(limit);
  expect(sample(labels, 900)).toEqual(sample(labels, 900));
});

test("photos that stand for more than one are weighed, and count for no more than they are", () => {
  expect(effectiveSampleSize([2, 2, 2])).toBeCloseTo(3, 9);
  expect(effectiveSampleSize([10, 1])).toBeCloseTo(121 / 101, 9);
  expect(effectiveSampleSize([])).toBe(0);
  const apart = ["a", "b", "c", "d"];
  const hits = [true, false, false, false];
  expect(clusteredProportion(hits, apart, [9, 1, 1, 1])).toMatchObject({ hits: 1, of: 4, value: 0.75 });
  expect(clusteredProportion(hits, apart, [3, 3, 3, 3])).toEqual(clusteredProportion(hits, apart));
});
