import type { Metadata } from "sharp";
import { PhotoError } from "../errors.ts";

/**
 * The frames of a photo that are judged, by number: the only one of a still photo; of an animation the first, the last and
 * up to six evenly between them. To read a frame the decoder passes through all that come before it, so that fewer are
 * judged where that would be more than `4 * maxPixels`, as much as of one large photo that is decoded row by row.
 *
 * @param header of a photo whose single frame is within the limits.
 * @throws {PhotoError} TOO_MANY_PIXELS where the way to the last frame alone is longer.
 */
export function judgedPages({ format, pages = 1, width, height }: Metadata, maxPixels: number): number[] {
  // the further images of HEIF are no frames: what shows it shows its primary image
  if (pages === 1 || (format !== "gif" && format !== "webp")) return [0];
  const each = Math.max(width * height, LEAST_PIXELS);
  for (let count = Math.min(pages, MOST); count > 1; count--) {
    const judged = Array.from({ length: count }, (_, n) => Math.round((n * (pages - 1)) / (count - 1)));
    const passed = judged.reduce((sum, page) => sum + page + 1, 0);
    if (passed * each <= 4 * maxPixels) return judged;
  }
  throw new PhotoError(
    "TOO_MANY_PIXELS",
    `expected an animation of at most ${4 * maxPixels} pixels, got ${pages} frames of ${width} x ${height} (MAITRED_MAX_PIXELS)`,
  );
}

/** A frame takes time however small it is; sharp counts to 100,000 frames. */
const LEAST_PIXELS = 2_000;
const MOST = 8;
