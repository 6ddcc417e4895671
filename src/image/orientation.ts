import type { Metadata } from "sharp";
import { unsupported } from "./boxes.ts";

/**
 * Whether only some viewers turn a photo by the orientation that it tells. The decoder here does so by EXIF that tells it as any
 * number, and browsers only where it is one of 16 bits, as it should be. Of a WebP Chromium never does.
 *
 * @throws {PhotoError} UNSUPPORTED_FORMAT where browsers turn it and the decoder does not.
 */
export function hasAmbiguousOrientation({ format, exif, orientation = 1 }: Metadata): boolean {
  const told = exif ? orientationIn(exif) : 1;
  if (orientation > 1 && (told === 1 || (format === "webp" && told === orientation))) return true;
  if (told !== orientation)
    throw unsupported(
      "an orientation as EXIF tells it, got one by which browsers turn the photo, and others do not: turn its pixels",
    );
  return false;
}

/**
 * Whether EXIF tells other densities across than down, by which browsers stretch a JPEG where it tells the size too that follows:
 * what is a square here may be long there, and people who are natural there are squashed here.
 */
export function isStretched(exif: Buffer): boolean {
  const { read, entriesAt, first } = tiffIn(exif);
  const outer = [...entriesAt(first)];
  const [further, ...others] = outer.filter(({ tag }) => tag === FURTHER);
  if (others.length > 0) return true;
  const inner = further ? [...entriesAt(read(further.at, 4))] : [];
  const densities = [...outer, ...inner]
    .filter(({ tag, type }) => (tag === ACROSS || tag === DOWN) && type === RATIONAL)
    .map(({ at }) => read(read(at, 4), 4) / read(read(at, 4) + 4, 4))
    .filter((density) => density > 0 && density < Number.POSITIVE_INFINITY);
  return Math.max(...densities) > ALIKE * Math.min(...densities);
}

/**
 * As browsers read it: 1 to 8, of which 1 is upright.
 *
 * @throws {PhotoError} UNSUPPORTED_FORMAT.
 */
function orientationIn(exif: Buffer): number {
  const { read, entriesAt, first } = tiffIn(exif);
  const outer = [...entriesAt(first)];
  if (outer.filter(({ tag }) => tag === FURTHER).length > 1)
    throw unsupported(
      "EXIF that goes on in one place, got several, by one of which browsers may turn the photo",
    );
  // Chromium looks there too, before it comes to what stands behind in the first directory
  const entries = outer.flatMap((entry) =>
    entry.tag === FURTHER && entry.type === LONG && entry.count === 1
      ? [...entriesAt(read(entry.at, 4))]
      : [entry],
  );
  for (const { tag, type, count, at } of entries) {
    if (tag !== ORIENTATION || type !== SHORT || count !== 1) continue;
    const told = read(at, 2);
    // of others browsers take the next
    if (told >= 1 && told <= 8) return told;
  }
  return 1;
}

interface Entry {
  tag: number;
  type: number;
  count: number;
  /** Where its value is, or where that is told. */
  at: number;
}

function tiffIn(exif: Buffer): {
  read: (at: number, bytes: number) => number;
  entriesAt: (directory: number) => Generator<Entry>;
  first: number;
} {
  // its name, which only files of some formats have, should end in two zeros; browsers take any byte for the second
  const tiff = exif.subarray(exif.toString("latin1", 0, 5) === "Exif\0" ? 6 : 0);
  const read = (at: number, bytes: number): number => {
    if (at + bytes > tiff.length) return 0;
    return tiff[0] === LITTLE ? tiff.readUIntLE(at, bytes) : tiff.readUIntBE(at, bytes);
  };
  function* entriesAt(directory: number): Generator<Entry> {
    const start = directory + 2;
    const end = Math.min(tiff.length, start + ENTRY * read(directory, 2));
    for (let at = start; at < end; at += ENTRY)
      yield { tag: read(at, 2), type: read(at + 2, 2), count: read(at + 4, 4), at: at + 8 };
  }
  return { read, entriesAt, first: read(4, 4) };
}

/** The first of "II", of which the other one is "MM". */
const LITTLE = 0x49;
/** Bytes: tag, type, count and value. */
const ENTRY = 12;
const ORIENTATION = 0x112;
const ACROSS = 0x11a;
const DOWN = 0x11b;
/** Where EXIF goes on. */
const FURTHER = 0x8769;
const SHORT = 3;
const LONG = 4;
const RATIONAL = 5;
/** Times as dense. */
const ALIKE = 1.1;
