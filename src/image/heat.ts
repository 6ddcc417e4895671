import sharp from "sharp";
import type { HumanMap } from "../photo.ts";
import { asCorrupt } from "./decode.ts";
import { isClear, peakOf } from "./peak.ts";
import { type ShrinkLimits, shrunk } from "./shrink.ts";
import type { DecodeHeic } from "./views.ts";

/**
 * A photo as a small JPEG with the map laid over it: clear where the model sees nobody, yellow to red where it does, a
 * ring around the peak, and beside it the photo's score for a human; without a clear peak no ring, and the picture says so, or
 * that nobody is seen.
 *
 * @param seen the photo's score, and whether it counts as nobody's.
 * @throws as `shrink` does.
 */
export async function drawHeat(
  bytes: Uint8Array,
  map: HumanMap,
  { human, nobody }: { human: number; nobody: boolean },
  limits: ShrinkLimits,
  heic: DecodeHeic,
): Promise<Buffer> {
  const { photo, width, height } = await shrunk(bytes, { ...limits, damaged: true }, heic);
  const pixels = await photo.raw().toBuffer().catch(asCorrupt);
  // drawn into the pixels: to have sharp lay a second picture over the first takes as long as all the rest
  const canvas = {
    width,
    height,
    rgb: new Uint8ClampedArray(pixels.buffer, pixels.byteOffset, pixels.length),
  };
  paintMap(canvas, map);
  const peak = peakOf(map);
  const radius = Math.max(6, Math.round(Math.max(width, height) / 40));
  const [px, py] = [peak.x * width, peak.y * height];
  // rounded down, as in every verdict's reason
  const score = (Math.floor(human * 100 + 1e-9) / 100).toFixed(2);
  if (isClear(peak)) {
    paintRing(canvas, px, py, radius);
    paintScore(canvas, px, py, radius, score);
  } else paintScore(canvas, -radius, height, radius, `${score} ${nobody ? "NOBODY SEEN" : "NO CLEAR PLACE"}`);
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: 80, chromaSubsampling: "4:4:4", optimizeCoding: false })
    .toBuffer()
    .catch(asCorrupt);
}

interface Canvas {
  width: number;
  height: number;
  /** Three bytes a pixel, row by row. */
  rgb: Uint8ClampedArray;
}

type Colour = readonly [red: number, green: number, blue: number, alpha: number];

function paintMap({ width, height, rgb }: Canvas, map: HumanMap): void {
  const { values } = map;
  const across = placesOf(width, map.width);
  let at = 0;
  for (const { before: top, after: bottom, share: below } of placesOf(height, map.height)) {
    const [upper, lower] = [top * map.width, bottom * map.width];
    for (const { before: left, after: right, share } of across) {
      const above = values[upper + left]! + (values[upper + right]! - values[upper + left]!) * share;
      const under = values[lower + left]! + (values[lower + right]! - values[lower + left]!) * share;
      const score = above + (under - above) * below;
      const cover = (170 / 255) * score;
      mix(rgb, at++, 255, cover);
      mix(rgb, at++, 225 * (1 - score), cover);
      mix(rgb, at++, 40 * (1 - score), cover);
    }
  }
}

/** Of each pixel along a side of the frame, the cells of the map whose middles it lies between, and how far it is to the second. */
function placesOf(pixels: number, cells: number): { before: number; after: number; share: number }[] {
  return Array.from({ length: pixels }, (_, pixel) => {
    const place = Math.min(Math.max(((pixel + 0.5) / pixels) * cells - 0.5, 0), cells - 1);
    const before = Math.floor(place);
    return { before, after: Math.min(before + 1, cells - 1), share: place - before };
  });
}

/** A bright line between two dark ones, so that it is seen on any photo. */
function paintRing(canvas: Canvas, x: number, y: number, radius: number): void {
  const outer = radius + 3;
  for (let row = Math.floor(y - outer); row <= y + outer; row++) {
    for (let column = Math.floor(x - outer); column <= x + outer; column++) {
      const away = Math.abs(Math.hypot(column + 0.5 - x, row + 0.5 - y) - radius);
      if (away < 1.5) paint(canvas, column, row, MARK);
      else if (away < 3) paint(canvas, column, row, DARK);
    }
  }
}

/** On a dark plate beside a ring at (x, y), on the side that has room. Drawn here, because no font can be relied on. */
function paintScore(canvas: Canvas, x: number, y: number, radius: number, text: string): void {
  const dot = Math.max(2, Math.round(radius / 5));
  const [wide, high] = [(text.length * 4 + 1) * dot, 7 * dot];
  const right = x + radius + 4;
  const left = right + wide <= canvas.width ? right : x - radius - 4 - wide;
  const [x0, y0] = [Math.max(0, Math.round(left)), Math.round(y - high / 2)];
  const top = Math.min(Math.max(0, y0), Math.max(0, canvas.height - high));
  fill(canvas, x0, top, wide, high, DARK);
  for (const [place, character] of [...text].entries()) {
    for (const [index, set] of [...GLYPHS[character]!].entries()) {
      const column = x0 + (place * 4 + 1 + (index % 3)) * dot;
      const row = top + (1 + Math.floor(index / 3)) * dot;
      if (set === "1") fill(canvas, column, row, dot, dot, [255, 255, 255, 255]);
    }
  }
}

function fill(canvas: Canvas, x: number, y: number, width: number, height: number, colour: Colour): void {
  for (let row = y; row < y + height; row++) {
    for (let column = x; column < x + width; column++) paint(canvas, column, row, colour);
  }
}

function paint(
  { width, height, rgb }: Canvas,
  x: number,
  y: number,
  [red, green, blue, alpha]: Colour,
): void {
  if (x < 0 || y < 0 || x >= width || y >= height) return;
  const at = (y * width + x) * 3;
  mix(rgb, at, red, alpha / 255);
  mix(rgb, at + 1, green, alpha / 255);
  mix(rgb, at + 2, blue, alpha / 255);
}

/** Lays a share of `value` over what is there. */
function mix(rgb: Uint8ClampedArray, at: number, value: number, share: number): void {
  const before = rgb[at]!;
  rgb[at] = before + (value - before) * share;
}

/** A colour that neither photos nor the map have much of. */
const MARK: Colour = [0, 229, 255, 255];
const DARK: Colour = [16, 16, 20, 230];

/** Three dots wide and five high, row by row. */
const GLYPHS: Record<string, string> = {
  "0": "111101101101111",
  "1": "010110010010111",
  "2": "111001111100111",
  "3": "111001111001111",
  "4": "101101111001001",
  "5": "111100111001111",
  "6": "111100111101111",
  "7": "111001001001001",
  "8": "111101111101111",
  "9": "111101111001111",
  ".": "000000000000010",
  " ": "000000000000000",
  A: "111101111101101",
  B: "110101110101110",
  C: "111100100100111",
  D: "110101101101110",
  E: "111100110100111",
  L: "100100100100111",
  N: "110101101101101",
  O: "111101101101111",
  P: "111101111100100",
  R: "110101110101101",
  S: "111100111001111",
  Y: "101101010010010",
};
