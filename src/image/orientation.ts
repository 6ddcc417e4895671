import type { Metadata } from "sharp";
import { unsupported } from "./boxes.ts";

/**
 * Whether only some viewers turn a photo by the orientation that it tells. The decoder here does so by EXIF that tells it as any
 * number, and browsers only where it is one of 16 bits, as it should be. Of a WebP Chromium never does.
 *
 * @throws {PhotoError} UNSUPPORTED_FORMAT where a browser turns it and the decoder does not.
 */
export function hasAmbiguousOrientation({ format, exif, orientation = 1 }: Metadata): boolean {
  const [told = 1, ...others] = exif ? orientationsIn(exif) : [];
  if (others.length === 0 && orientation > 1 && (told === 1 || (format === "webp" && told === orientation)))
    return true;
  if (others.length > 0 || told !== orientation)
    throw unsupported(
      "an orientation as EXIF tells it, got one by which a browser turns the photo, and others do not: turn its pixels",
    );
  return false;
}

/**
 * Whether EXIF tells other densities across than down, by which browsers stretch a JPEG where it tells the size too that follows:
 * what is a square here may be long there, and people who are natural there are squashed here.
 */
export function isStretched(exif: Buffer): boolean {
  const { read, entries } = entriesOf(exif);
  const densities = entries
    .filter(({ tag, type }) => (tag === ACROSS || tag === DOWN) && type === RATIONAL)
    .map(({ at }) => read(read(at, 4), 4) / read(read(at, 4) + 4, 4))
    .filter((density) => density > 0 && density < Number.POSITIVE_INFINITY);
  return Math.max(...densities) > ALIKE * Math.min(...densities);
}

/** All that some browser may take, of 1 to 8, of which 1 is upright: Chromium takes the first that it comes to, and Firefox the last. */
function orientationsIn(exif: Buffer): Set<number> {
  const { read, entries } = entriesOf(exif);
  return new Set(
    entries
      .filter(({ tag, type, count }) => tag === ORIENTATION && type === SHORT && count === 1)
      .map(({ at }) => read(at, 2))
      .filter((told) => told >= 1 && told <= 8),
  );
}

interface Entry {
  tag: number;
  type: number;
  count: number;
  /** Where its value is, or where that is told. */
  at: number;
}

type Read = (at: number, bytes: number) => number;

/**
 * What the first directory has, and whatever it leads on to: Chromium follows one step of it, Firefox sixteen.
 *
 * @throws {PhotoError} UNSUPPORTED_FORMAT where there is no end of it.
 */
function entriesOf(exif: Buffer): { read: Read; entries: readonly Entry[] } {
  // its name, which only files of some formats have, should end in two zeros; browsers take any byte for the second
  const tiff = exif.subarray(exif.toString("latin1", 0, 5) === "Exif\0" ? 6 : 0);
  const read: Read = (at, bytes) => {
    if (at + bytes > tiff.length) return 0;
    return tiff[0] === LITTLE ? tiff.readUIntLE(at, bytes) : tiff.readUIntBE(at, bytes);
  };
  const entries: Entry[] = [];
  const directories = [read(4, 4)];
  for (const directory of directories) {
    const start = directory + 2;
    const end = Math.min(tiff.length, start + ENTRY * read(directory, 2));
    for (let at = start; at < end; at += ENTRY) {
      const entry = { tag: read(at, 2), type: read(at + 2, 2), count: read(at + 4, 4), at: at + 8 };
      if (entries.push(entry) > MOST_ENTRIES)
        throw unsupported(`EXIF of at most ${MOST_ENTRIES} entries, which do not lead in a circle`);
      if (entry.tag === FURTHER) directories.push(read(entry.at, 4));
    }
  }
  return { read, entries };
}

/** The first of "II", of which the other one is "MM". */
const LITTLE = 0x49;
/** Bytes: tag, type, count and value. */
const ENTRY = 12;
const ORIENTATION = 0x112;
const ACROSS = 0x11a;
const DOWN = 0x11b;
/** Cameras write a hundred or so. */
const MOST_ENTRIES = 10_000;
/** Where EXIF goes on. */
const FURTHER = 0x8769;
const SHORT = 3;
const RATIONAL = 5;
/** Times as dense. */
const ALIKE = 1.1;
