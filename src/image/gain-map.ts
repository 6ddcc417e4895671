import { markersOf, SCAN } from "./jpeg-scans.ts";
import { createPause } from "./pauses.ts";

/**
 * Whether a JPEG has a gain map that makes its picture for ordinary screens (Ultra HDR, ISO 21496-1). Browsers show that one, and the decoder here
 * the picture as it is stored. In photos of phones it is the other way round: what is stored is for ordinary screens. What is
 * said of it stands in the gain map, a JPEG of its own behind the photo, which may lie anywhere. So is one whose gain map says it in a way
 * that is not read here, or more than a hundred times.
 */
export async function isMadeForBrightScreens(jpeg: Uint8Array): Promise<boolean> {
  const bytes = Buffer.from(jpeg.buffer, jpeg.byteOffset, jpeg.length);
  // to look through all of a photo takes a millisecond or two for each 3 MB
  if (!leadsFurther(bytes)) return false;
  const pause = createPause();
  let found = 0;
  for (const [name, ordinary] of SAID) {
    // XMP may be of 16 bits a letter; without the last byte it is found in either order of them
    if (await holds(bytes, Buffer.from(name, "utf16le").subarray(0, -1), pause)) return true;
    for await (const at of placesOf(bytes, name, pause)) {
      if (++found > MOST) return true;
      // the end of an element says nothing
      if (/<\/[^<>]*$/.test(bytes.toString("latin1", Math.max(0, at - 40), at))) continue;
      if (!ordinary.test(bytes.toString("latin1", at + name.length, at + name.length + 40))) return true;
    }
  }
  for await (const at of placesOf(bytes, ISO, pause)) {
    if (++found > MOST) return true;
    if (isoIsForBright(bytes.subarray(at + ISO.length, at - 2 + bytes.readUInt16BE(at - 2)))) return true;
  }
  // XMP of several segments, which may part a name, is of photos and not of gain maps
  return holds(bytes.subarray(endOf(bytes)), EXTENSION, pause);
}

/** Whether what stands before the pixels could lead a browser to a gain map. */
function leadsFurther(bytes: Buffer): boolean {
  for (const { marker, at } of markersOf(bytes)) {
    if (marker === SCAN) return false;
    if (LEADS.some((lead) => bytes.toString("latin1", at + 4, at + 4 + lead.length) === lead)) return true;
  }
  return false;
}

function endOf(bytes: Buffer): number {
  let end = 0;
  for (const { at } of markersOf(bytes)) end = at;
  return end;
}

type Pause = ReturnType<typeof createPause>;

async function holds(bytes: Buffer, text: string | Buffer, pause: Pause): Promise<boolean> {
  for await (const _ of placesOf(bytes, text, pause)) return true;
  return false;
}

/** Piece by piece, as 60 MB of zeros behind a photo held the thread for two thirds of a second. */
async function* placesOf(bytes: Buffer, text: string | Buffer, pause: Pause): AsyncGenerator<number> {
  for (let from = 0; from < bytes.length; from += AT_ONCE) {
    const piece = bytes.subarray(from, from + AT_ONCE + text.length - 1);
    for (let at = piece.indexOf(text); at >= 0; at = piece.indexOf(text, at + 1)) yield from + at;
    await pause();
  }
}

/** Two versions of 16 bits, flags, and how bright a screen the stored picture and the other one are made for, as fractions of 32 bits. */
function isoIsForBright(said: Buffer): boolean {
  // the photo itself tells versions alone
  if (said.length < 21) return false;
  const flags = said[4]!;
  const [a, b, c, d] = [5, 9, 13, 17].map((at) => said.readUInt32BE(at)) as [number, number, number, number];
  const asFractions = a / b < c / d;
  // where all have one denominator, which comes first; Chromium does not know of it and reads fractions
  const asCommon = (flags & COMMON_DENOMINATOR) === 0 || b < c;
  return (flags & BACKWARDS) !== 0 || !asFractions || !asCommon;
}

function is(value: string): RegExp {
  return new RegExp(`^\\s*=\\s*(["'])${value}\\1|^\\s*>\\s*${value}\\s*<`);
}

/** What is said, and how where the stored picture is for ordinary screens: below 0 even those would have the other one. */
const SAID: readonly (readonly [string, RegExp])[] = [
  ["BaseRenditionIsHDR", is("False")],
  ["HDRCapacityMin", is("\\+?\\d[\\d.]*(?:[eE][-+]?\\d+)?")],
];
const ISO = "urn:iso:std:iso:ts:21496:-1\0";
const LEADS = ["MPF\0", "http://ns.adobe.com/xap/1.0/\0", ISO];
const EXTENSION = "http://ns.adobe.com/xmp/extension/\0";
const COMMON_DENOMINATOR = 8;
const BACKWARDS = 4;
/** Bytes. */
const AT_ONCE = 256 * 1024;
/** A photo says it a few times; of 25 MB that say nothing else it took a second. */
const MOST = 100;
