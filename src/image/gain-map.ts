import { markersOf, SCAN } from "./jpeg-scans.ts";

/**
 * Whether a JPEG has a gain map that makes its picture for ordinary screens (Ultra HDR, ISO 21496-1). Browsers show that one, and the decoder here
 * the picture as it is stored. In photos of phones it is the other way round: what is stored is for ordinary screens. What is
 * said of it stands in the gain map, a JPEG of its own behind the photo, which may lie anywhere.
 */
export function isMadeForBrightScreens(jpeg: Uint8Array): boolean {
  const bytes = Buffer.from(jpeg.buffer, jpeg.byteOffset, jpeg.length);
  // to look through all of a photo takes a millisecond or two
  if (!mayHaveMore(bytes)) return false;
  for (const at of placesOf(bytes, NAME)) {
    // the end of an element says nothing
    if (/<\/[^<>]*$/.test(bytes.toString("latin1", Math.max(0, at - 40), at))) continue;
    const value = bytes.toString("latin1", at + NAME.length, at + NAME.length + 40);
    if (!/^\s*=\s*(["'])False\1|^\s*>\s*False\s*</.test(value)) return true;
  }
  // XMP may be of 16 bits a letter; without the last byte it is found in either order of them
  if (bytes.includes(Buffer.from(NAME, "utf16le").subarray(0, -1))) return true;
  for (const at of placesOf(bytes, ISO))
    if (isoIsForBright(bytes.subarray(at + ISO.length, at - 2 + bytes.readUInt16BE(at - 2)))) return true;
  return false;
}

/** Whether what stands before the pixels could lead a browser to a gain map. */
function mayHaveMore(bytes: Buffer): boolean {
  for (const { marker, at } of markersOf(bytes)) {
    if (marker === SCAN) return false;
    if (LEADS.some((lead) => bytes.toString("latin1", at + 4, at + 4 + lead.length) === lead)) return true;
  }
  return false;
}

function* placesOf(bytes: Buffer, text: string): Generator<number> {
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) yield at;
}

/** Two versions of 16 bits, flags, and how bright a screen the stored picture and the other one are made for, as fractions of 32 bits. */
function isoIsForBright(said: Buffer): boolean {
  // the photo itself tells versions alone
  if (said.length < 21) return false;
  const flags = said[4]!;
  const numbers = [5, 9, 13, 17].map((at) => said.readUInt32BE(at));
  const [stored, other] =
    flags & COMMON_DENOMINATOR ? [numbers[1]!, numbers[2]!] : [ratio(numbers, 0), ratio(numbers, 2)];
  return (flags & BACKWARDS) !== 0 || !(stored < other);
}

function ratio(numbers: readonly number[], at: number): number {
  return numbers[at]! / numbers[at + 1]!;
}

const NAME = "BaseRenditionIsHDR";
const ISO = "urn:iso:std:iso:ts:21496:-1\0";
const LEADS = ["MPF\0", "http://ns.adobe.com/xap/1.0/\0", ISO];
const COMMON_DENOMINATOR = 8;
const BACKWARDS = 4;
