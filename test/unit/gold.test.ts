import { expect, test } from "vitest";
import { duel } from "../../src/evaluate/gold.ts";
import type { Label } from "../../src/evaluate/labelled.ts";
import type { Scores } from "../../src/photo.ts";

const label = (category: string | null, human: boolean | null, hands = false): Label => ({
  file: "",
  path: "",
  category,
  human,
  hands,
  small: false,
  kind: null,
  persons: null,
  source: null,
});
const says = (category: string, human: number): Scores => ({
  categories: { other: 0.1, [category]: 0.8 },
  human,
});
const many = <T>(count: number, value: T): T[] => Array(count).fill(value);

test("a candidate that is worse beyond chance is told from one that is unlucky", () => {
  const labels = many(20, label("food", false));
  const active = many(20, says("food", 0.01));
  const unlucky = [...many(5, says("menu", 0.01)), ...many(15, says("food", 0.01))];
  // five against none: p = 2 / 2 ** 5
  expect(duel(labels, active, unlucky, 0.04)[0]).toMatchObject({
    onlyActive: 5,
    onlyCandidate: 0,
    p: expect.closeTo(0.0625, 9),
    worse: false,
  });
  const worse = [...many(6, says("menu", 0.01)), ...many(14, says("food", 0.01))];
  expect(duel(labels, active, worse, 0.04)[0]).toMatchObject({
    active: 20,
    candidate: 14,
    p: expect.closeTo(0.03125, 9),
    worse: true,
  });
  expect(duel(labels, worse, active, 0.04)[0]).toMatchObject({ p: expect.closeTo(0.03125, 9), worse: false });
});

test("a human is judged at the policy's threshold, both ways", () => {
  const labels = [label(null, true), label(null, true), label(null, false), label(null, false)];
  const active = [says("food", 0.04), says("food", 0.039), says("food", 0.04), says("food", 0.039)];
  const [category, human] = duel(labels, active, active, 0.04);
  expect(category?.photos).toBe(0);
  // held back, missed, held back for nothing, shown
  expect(human).toMatchObject({ photos: 4, active: 2, candidate: 2, p: 1 });
});

test("hands alone, what nobody labelled, and what one model cannot judge count for neither", () => {
  const labels = [label("food", true, true), label(null, null), label("food", true)];
  const scores = many(3, says("food", 0.9));
  const [category, human] = duel(labels, scores, [scores[0], scores[1], undefined], 0.04);
  expect([category?.photos, human?.photos]).toEqual([1, 0]);
});

test("a score that is no number holds the photo back, as the policy does", () => {
  const [, human] = duel([label(null, true)], [says("food", Number.NaN)], [says("food", 0)], 0.04);
  expect(human).toMatchObject({ active: 1, candidate: 0 });
});
