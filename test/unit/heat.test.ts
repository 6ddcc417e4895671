import { expect, test } from "vitest";
import { isClear, peakOf } from "../../src/image/peak.ts";

/** training/test_graphs.py reads the same map, and finds the same peak. */
const map = {
  width: 6,
  height: 4,
  values: Float32Array.from(
    [
      [0, 0, 0, 0.1, 0.2, 0],
      [0, 0.97, 0.9, 0.94, 0.7, 0.1],
      [0, 0.2, 0.94, 0.96, 0.8, 0.1],
      [0, 0, 0.2, 0.7, 0.1, 0],
    ].flat(),
  ),
};

test("the peak lies where a map is high all about, not at the cell that is highest by a little", () => {
  const { x, y, score } = peakOf(map);
  expect([x, y]).toEqual([3.5 / 6, 2.5 / 4]);
  expect(score).toBeCloseTo(0.96, 6);
});

test("the peak of a human at the frame's edge stays there", () => {
  const values = new Float32Array(30);
  values.set([1, 0.9], 4 * 6);
  expect(peakOf({ width: 6, height: 5, values })).toEqual({ x: 0.5 / 6, y: 4.5 / 5, score: 1 });
  expect(peakOf({ width: 1, height: 1, values: Float32Array.of(0.5) })).toEqual({
    x: 0.5,
    y: 0.5,
    score: 0.5,
  });
});

test("a peak is clear where a human is likelier there than none", () => {
  const peak = (value: number) => peakOf({ width: 2, height: 2, values: Float32Array.of(0, 0, value, 0) });
  expect([isClear(peak(0.5)), isClear(peak(0.49))]).toEqual([true, false]);
});
