import type { Metadata } from "sharp";
import { PhotoError } from "../errors.ts";
import { PAGES_A_FRAME } from "./gif.ts";

/** What is told of a photo before it is decoded. */
export interface Header extends Metadata {
  /** Whether only some viewers turn it by the orientation that it tells (see `hasAmbiguousOrientation`). */
  ambiguousOrientation: boolean;
  /** Whether its colour profile makes quite another picture of it (see `profileChangesColours`). */
  recoloured: boolean;
}

/** What is decoded at once of a photo: its views are cut out of it. */
export interface DecodeVariant {
  /** Number of the frame. */
  page: number;
  /** Whether the orientation that the file tells is applied. */
  upright: boolean;
  /** Whether its colour profile is applied, where there is one. */
  profiled: boolean;
  /** Into how many parts it is cut besides the whole: 0, or 2 and more. */
  parts: number;
  /** Whether the parts lie side by side, and not one below the other. */
  wide: boolean;
}

/**
 * What is to be read of a photo, upright and with its profile first:
 * - of an animation the first frame, the last and up to six between them, or more where more are held for a second, evenly by the
 *   time for which they are held. To read a frame the decoder passes through
 *   all that come before it, so that fewer are judged where that would be more than `4 * maxPixels`, as much as of one large
 *   photo that is decoded row by row;
 * - of a WebP that tells an orientation, and of what tells it otherwise than EXIF should, each both upright and as it is stored,
 *   because viewers are of two minds about it;
 * - of a photo that its colour profile makes another picture each both with the profile and without it, because browsers leave out
 *   some that the decoder applies;
 * - of a long photo each also in parts, for squashed to a square it loses its people.
 *
 * All in all these are at most 16 views, or 32 of what is read in four ways, before what is transparent is laid on white and
 * on black.
 *
 * @param header of a photo whose single frame is within the limits.
 * @throws {PhotoError} TOO_MANY_PIXELS where the way to the last frame alone is longer, or first and last have too many views;
 * UNSUPPORTED_FORMAT of more than 16 : 1.
 */
export function decodeVariants(header: Header, maxPixels: number): DecodeVariant[] {
  const { width, height, autoOrient, ambiguousOrientation, recoloured } = header;
  const parts = partsOf(header);
  const turns = ambiguousOrientation ? [true, false] : [true];
  const ways = turns.flatMap((upright) =>
    (recoloured ? [true, false] : [true]).map((profiled) => ({ upright, profiled })),
  );
  const most = Math.floor(MOST_VIEWS / ways.length / (1 + parts));
  return judgedPages(header, most, maxPixels / ways.length).flatMap((page) =>
    ways.map((way) => {
      const shown = way.upright ? autoOrient : { width, height };
      return { page, ...way, parts, wide: shown.width > shown.height };
    }),
  );
}

/** How often a part goes into the whole that is cut into so many, each of which overlaps the one before by a third. */
export function partsIn(parts: number): number {
  return parts === 0 ? 1 : (2 * parts + 1) / 3;
}

/** Parts are 1.4 to 2 times as long as they are wide, and those of a photo of more than 10 : 1 up to 3.2 times. */
function partsOf({ width, height }: Metadata): number {
  const ratio = Math.max(width, height) / Math.min(width, height);
  if (ratio > LONGEST) {
    throw new PhotoError(
      "UNSUPPORTED_FORMAT",
      `expected a photo at most ${LONGEST} times as long as wide, got ${width} x ${height}, in which people are too small to be told`,
    );
  }
  return ratio > LONG ? Math.min(MOST_PARTS, Math.ceil(0.75 * ratio - 0.5)) : 0;
}

function judgedPages(
  { format, pages = 1, delay = [], width, height }: Metadata,
  most: number,
  maxPixels: number,
): number[] {
  // the further images of HEIF are no frames: what shows it shows its primary image
  if (format !== "gif" && format !== "webp") return [0];
  const pagesEach = format === "gif" ? PAGES_A_FRAME : 1;
  const frames = pages / pagesEach;
  const pageOf = (frame: number): number => (frame + 1) * pagesEach - 1;
  if (frames === 1) return [pageOf(0)];
  const each = Math.max(width * height, LEAST_PIXELS);
  // browsers hold a frame that tells less for 100 ms
  const held = Array.from({ length: frames }, (_, frame) => {
    const ms = delay[pageOf(frame)]!;
    return ms > 10 ? ms : 100;
  });
  const slides = held.slice(1, -1).filter((ms) => ms >= SLIDE_MS).length;
  for (let count = Math.min(frames, most, Math.max(MOST_PAGES, slides + 2)); count > 1; count--) {
    const judged = [0, ...seenBetween(held, count - 2), frames - 1];
    const passed = judged.reduce((sum, frame) => sum + frame + 1, 0);
    if (passed * each <= 4 * maxPixels) return judged.map(pageOf);
  }
  throw new PhotoError(
    "TOO_MANY_PIXELS",
    `expected an animation whose first and last frame take at most ${4 * maxPixels} pixels and ${MOST_VIEWS} views, got ${frames} frames of ${width} x ${height} (MAITRED_MAX_PIXELS)`,
  );
}

/**
 * So many frames between the first and the last, evenly by the time for which they are held: those that are held for more than their
 * share once each, so that the time of the others is shared out among them.
 */
function seenBetween(held: readonly number[], count: number): number[] {
  let others = held.map((ms, page) => ({ ms, page })).slice(1, -1);
  const seen: number[] = [];
  let step = 0;
  for (let long = others; long.length > 0 && seen.length < count; ) {
    step = others.reduce((sum, { ms }) => sum + ms, 0) / (count - seen.length + 1);
    long = others.filter(({ ms }) => ms > step);
    seen.push(...long.map(({ page }) => page));
    if (long.length > 0) others = others.filter(({ ms }) => ms <= step);
  }
  let next = step;
  let passed = 0;
  for (const { ms, page } of others) {
    passed += ms;
    if (seen.length === count) break;
    if (passed <= next) continue;
    seen.push(page);
    next += step;
  }
  return seen.sort((a, b) => a - b);
}

/** A frame takes time however small it is; sharp counts to 100,000 frames. */
const LEAST_PIXELS = 2_000;
const MOST_PAGES = 8;
/** What is held as long is there to be looked at: as many frames more are judged as there may be views. */
const SLIDE_MS = 1_000;
const MOST_VIEWS = 16;
const MOST_PARTS = 7;
/** Times as long as wide. */
const LONG = 2.5;
const LONGEST = 16;
