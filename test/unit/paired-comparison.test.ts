import { expect, test } from "vitest";
import type { Label } from "../../src/evaluate/labelled.ts";
import { comparePaired, wordsOf } from "../../src/evaluate/paired-comparison.ts";
import { trainedOn } from "../../src/evaluate/trained-on.ts";
import type { Scores } from "../../src/photo.ts";

let photos = 0;
const label = (category: string | null, human: boolean | null, hands = false): Label => ({
  file: "",
  path: `${photos++}`,
  category,
  human,
  hands,
  small: false,
  kind: null,
  source: null,
});
const says = (category: string, human: number): Scores => ({
  categories: { other: 0.1, [category]: 0.8 },
  human,
});
const many = <T>(count: number, value: T): T[] => Array(count).fill(value);
const labelled = (count: number, ...args: Parameters<typeof label>): Label[] =>
  Array.from({ length: count }, () => label(...args));

test("a candidate that is worse beyond chance is told from one that is unlucky", () => {
  const labels = labelled(20, "food", false);
  const active = many(20, says("food", 0.01));
  const unlucky = [...many(5, says("menu", 0.01)), ...many(15, says("food", 0.01))];
  // five against none: p = 2 / 2 ** 5
  expect(comparePaired(labels, active, unlucky, 0.04)[0]).toMatchObject({
    onlyActive: 5,
    onlyCandidate: 0,
    p: expect.closeTo(0.0625, 9),
    worse: false,
  });
  const worse = [...many(6, says("menu", 0.01)), ...many(14, says("food", 0.01))];
  expect(comparePaired(labels, active, worse, 0.04)[0]).toMatchObject({
    active: 20,
    candidate: 14,
    p: expect.closeTo(0.03125, 9),
    worse: true,
  });
  expect(comparePaired(labels, worse, active, 0.04)[0]).toMatchObject({
    p: expect.closeTo(0.03125, 9),
    worse: false,
  });
});

test("the photos of one source fall together, where there are sources enough to tell", () => {
  const active = many(12, says("food", 0.01));
  const worse = many(12, says("menu", 0.01));
  const from = (sources: number): Label[] =>
    labelled(12, "food", false).map((each, index) => ({ ...each, source: `s${index % sources}` }));
  expect(comparePaired(from(6), active, worse, 0.04)[0]).toMatchObject({
    sources: 6,
    p: expect.closeTo(0.03125, 9),
  });
  // five sources could never tell: photos stand for themselves, so that a bad model does not pass
  const few = comparePaired(from(5), active, worse, 0.04)[0]!;
  expect(few).toMatchObject({ sources: 5, p: expect.closeTo(2 / 2 ** 5, 9), worse: true });
  expect(wordsOf(few, "old", "new")).toBe("new is worse, if each photo counts by itself");
  // and none is called better for one restaurant
  const better = comparePaired(from(1), worse, active, 0.04)[0]!;
  expect(better).toMatchObject({ onlyCandidate: 12, p: 1, worse: false });
  expect(wordsOf(better, "old", "new")).toBe("no difference beyond chance");
  // nor could five that differ beside one that does not
  const five = active.map((each, index) => (index % 6 < 5 ? worse[0]! : each));
  expect(comparePaired(from(6), active, five, 0.04)[0]).toMatchObject({ onlyActive: 10, worse: true });
  // of twenty-four restaurants seven differ, five of them for the worse: not beyond chance, though ten photos to two would be
  const photos = labelled(48, "food", false).map((each, index) => ({ ...each, source: `s${index % 24}` }));
  const right = many(48, says("food", 0.01));
  const wrongAt = (is: (index: number) => boolean) =>
    right.map((each, index) => (is(index) ? says("menu", 0.01) : each));
  const before = wrongAt((index) => [5, 6].includes(index));
  const after = wrongAt((index) => index % 24 < 5);
  expect(comparePaired(photos, before, after, 0.04)[0]).toMatchObject({
    onlyActive: 10,
    onlyCandidate: 2,
    worse: false,
  });
});

test("clear photos do not make good for humans that are shown, nor the other way round", () => {
  const labels = [...labelled(30, "food", true), ...labelled(200, "food", false)];
  const active = [
    ...many(30, says("food", 0.9)),
    ...many(40, says("food", 0.9)),
    ...many(160, says("food", 0)),
  ];
  const leaks = [...many(8, says("food", 0)), ...many(22, says("food", 0.9)), ...many(200, says("food", 0))];
  const [, human, clear] = comparePaired(labels, active, leaks, 0.04);
  expect(human).toMatchObject({ photos: 30, active: 30, candidate: 22, onlyCandidate: 0, worse: true });
  expect(clear).toMatchObject({ photos: 200, active: 160, candidate: 200, worse: false });
  expect(comparePaired(labels, leaks, active, 0.04)[2]).toMatchObject({ worse: true });
});

test("a human is judged at the policy's threshold, both ways", () => {
  const labels = [label(null, true), label(null, true), label(null, false), label(null, false)];
  const active = [says("food", 0.04), says("food", 0.039), says("food", 0.04), says("food", 0.039)];
  const [category, human, clear] = comparePaired(labels, active, active, 0.04);
  expect(category?.photos).toBe(0);
  // held back, and missed; held back for nothing, and shown
  expect(human).toMatchObject({ photos: 2, active: 1, candidate: 1, p: 1 });
  expect(clear).toMatchObject({ photos: 2, active: 1, candidate: 1, p: 1 });
});

test("hands alone, likenesses, what nobody labelled, and what one model cannot judge count for neither", () => {
  const statue = { ...label(null, false), kind: "statue" };
  const labels = [label("food", true, true), label(null, null), label("food", true), statue];
  const scores = many(4, says("food", 0.9));
  const [category, human, clear] = comparePaired(
    labels,
    scores,
    [scores[0], scores[1], undefined, scores[3]],
    0.04,
  );
  expect([category?.photos, human?.photos, clear?.photos]).toEqual([1, 0, 0]);
});

test("a score that is no number holds the photo back, as the policy does", () => {
  const [, human] = comparePaired([label(null, true)], [says("food", Number.NaN)], [says("food", 0)], 0.04);
  expect(human).toMatchObject({ active: 1, candidate: 0 });
});

test("a model knows the sources that it was trained on, and those of the one that it went on from", () => {
  const labels = ["listing:1", "listing:1", "listing:2", "listing:3", null].map((source) => ({
    ...label("food", false),
    source,
  }));
  // sha256 of listing:1, as training writes it, and of listing:2
  const imageNet = { weights: "ImageNet weights (Apache-2.0)" };
  const before = { id: "a-1", trainedFrom: { sourceHashes: ["ecd85c4a"], begunWith: imageNet } };
  const after = {
    sourceHashes: ["b25d18bb"],
    begunWith: { weights: "a-1", trainedFrom: before.trainedFrom },
  };
  expect(trainedOn([before, { id: "b-1", trainedFrom: after }, before], labels)).toEqual([
    { model: "a-1", sources: 1, photos: 2 },
    { model: "b-1", sources: 2, photos: 3 },
  ]);
  const others = { sourceHashes: ["00000000"], begunWith: imageNet };
  expect(trainedOn([{ id: "c-1", trainedFrom: others }], labels)).toEqual([]);
  const silent = [
    null,
    {},
    { sourceHashes: 7 },
    // of more than training writes down
    { sourceHashes: [] },
    { ...others, begunWith: { weights: "weights of a-1", trainedFrom: {} } },
  ];
  for (const trainedFrom of silent)
    expect(trainedOn([{ id: "d-1", trainedFrom }], labels)).toEqual([
      { model: "d-1", sources: null, photos: null },
    ]);
});
