import type { HumanMap } from "../photo.ts";
import { gridOf } from "./shrink.ts";

/** The middle of a cell, 0..1 of the frame from the top left, and what the map says there. */
export interface Peak {
  x: number;
  y: number;
  score: number;
}

/**
 * Where a map is highest when every cell is weighed together with those about it (the edge goes on as it is); of equals, the
 * first row by row. A map is all but flat about a human, so that its highest cell alone is as likely to lie at the rim:
 * training/NOTES.md, 21. training/measure.py reads maps in the same way.
 */
export function peakOf({ width, height, values }: HumanMap): Peak {
  let [best, most] = [0, -1];
  for (const index of values.keys()) {
    const [column, row] = [index % width, Math.floor(index / width)];
    let sum = 0;
    for (const [down, weight] of WEIGHTS.entries()) {
      const start = clamped(row + down - 2, height) * width;
      for (const [right, share] of WEIGHTS.entries()) {
        sum += weight * share * values[start + clamped(column + right - 2, width)]!;
      }
    }
    if (sum > most) [best, most] = [index, sum];
  }
  const x = ((best % width) + 0.5) / width;
  const y = (Math.floor(best / width) + 0.5) / height;
  return { x, y, score: values[best]! };
}

/** Whether a peak tells a place: the model finds a human there likelier than none. Below, it lies wherever doubt is greatest. */
export function isClear({ score }: Peak): boolean {
  return score >= 0.5;
}

/** The maps of a photo's views, all of one size, as `ShrinkLimits.sheet` lays out the views; of one view its map. */
export function onSheet(maps: readonly HumanMap[]): HumanMap {
  const { across, down } = gridOf(maps.length);
  const { width, height } = maps[0]!;
  const values = new Float32Array(across * width * down * height);
  for (const [frame, map] of maps.entries()) {
    const [left, top] = [(frame % across) * width, Math.floor(frame / across) * height];
    for (let row = 0; row < height; row++) {
      values.set(map.values.subarray(row * width, (row + 1) * width), (top + row) * across * width + left);
    }
  }
  return { width: across * width, height: down * height, values };
}

function clamped(at: number, cells: number): number {
  return Math.min(Math.max(at, 0), cells - 1);
}

/** Of a cell and of two on either side, along a row or a column. */
const WEIGHTS = [1, 4, 6, 4, 1];
