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

/** As browsers read it: 1 to 8, of which 1 is upright. */
function orientationIn(exif: Buffer): number {
  // its name, which only files of some formats have, should end in two zeros; browsers take any byte for the second
  const tiff = exif.subarray(exif.toString("latin1", 0, 5) === "Exif\0" ? 6 : 0);
  const read = (at: number, bytes: number): number => {
    if (at + bytes > tiff.length) return 0;
    return tiff[0] === LITTLE ? tiff.readUIntLE(at, bytes) : tiff.readUIntBE(at, bytes);
  };
  const first = read(4, 4) + 2;
  const end = first + ENTRY * read(first - 2, 2);
  for (let at = first; at < end; at += ENTRY) {
    if (read(at, 2) !== ORIENTATION || read(at + 2, 2) !== SHORT || read(at + 4, 4) !== 1) continue;
    const told = read(at + 8, 2);
    // of others browsers take the next
    if (told >= 1 && told <= 8) return told;
  }
  return 1;
}

/** The first of "II", of which the other one is "MM". */
const LITTLE = 0x49;
/** Bytes: tag, type, count and value. */
const ENTRY = 12;
const ORIENTATION = 0x112;
const SHORT = 3;
