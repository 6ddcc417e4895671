import { crc32 } from "node:zlib";
import { PhotoError } from "../errors.ts";
import { animated, unsupported } from "./boxes.ts";
import { checkCicp } from "./cicp.ts";

/** A part of a PNG. Its data is cut off where the file is. */
export interface Chunk {
  type: string;
  data: Buffer;
  /** Where in the file it begins. */
  at: number;
}

/**
 * Up to its first pixels a PNG may say that it moves (acTL), and what the decoder here leaves out or reads in another way than
 * browsers do, so that they would show another picture than the one that is judged: colours, and what can be seen through.
 * Those are looked at also where a profile stands beside them: one with a fault in it overrides nothing.
 *
 * @param whole false: they are only its first bytes, of whose chunks nothing is said that are not there to their end.
 * @throws {PhotoError} UNSUPPORTED_FORMAT or CORRUPT.
 */
export function checkPng(bytes: Uint8Array, whole: boolean): void {
  const { depth, colour } = pixelsOf(bytes);
  let colours = 0;
  let profiles = 0;
  let exifs = 0;
  for (const { type, data } of chunksOf(bytes, whole)) {
    if (type === "acTL") throw animated("png");
    if (type === "PLTE") colours = Math.min(Math.floor(data.length / 3), 2 ** depth);
    // of one that cannot be read the decoder takes the next, and browsers none
    if (type === "eXIf" && ++exifs > 1)
      throw unsupported(
        "a png of one EXIF, got several, by another of which browsers may turn the photo: save it with one",
      );
    if (type === "tRNS") checkTransparency(data, depth, colour, colours);
    if (type === "iCCP" && ++profiles > 1)
      throw unsupported(
        "a png of one colour profile, got several, of which browsers may apply another: save it with one",
      );
    if (type === "iCCP" && depth === 16 && GREYS.has(colour))
      throw unsupported(
        "a grey png of 16 bits without a colour profile, which would not be applied: save it in 8 bits, or without the profile",
      );
    if (type === "cICP" && data.length > 1) checkCicp("png", { primaries: data[0]!, transfer: data[1]! });
    if (type === "cHRM" && data.length >= 32) checkPrimaries(data);
    if (type === "gAMA" && data.length >= 4) checkGamma(data.readUInt32BE(0) / 100_000);
  }
}

/**
 * The chunks of a PNG up to the first of its pixels (IDAT), as far as they are there.
 *
 * @param checked also whether each is what its checksum says: the decoder here believes those that are not, and browsers leave them out.
 * @throws {PhotoError} UNSUPPORTED_FORMAT of very many; CORRUPT.
 */
export function* chunksOf(bytes: Uint8Array, checked = false): Generator<Chunk> {
  const png = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  let chunks = 0;
  for (let at = SIGNATURE_BYTES; at + 12 <= png.length; ) {
    // two million empty ones held the thread for half a second
    if (++chunks > MOST_CHUNKS) throw unsupported(`a png of at most ${MOST_CHUNKS} chunks before its pixels`);
    const end = at + 8 + png.readUInt32BE(at);
    const chunk = { type: png.toString("latin1", at + 4, at + 8), data: png.subarray(at + 8, end), at };
    const pixels = chunk.type === "IDAT";
    if (
      checked &&
      !pixels &&
      end + 4 <= png.length &&
      crc32(png.subarray(at + 4, end)) !== png.readUInt32BE(end)
    )
      throw new PhotoError("CORRUPT", "a chunk before its pixels is not what its checksum says");
    if (pixels || end + 4 <= png.length) yield chunk;
    if (pixels) return;
    at = end + 4;
  }
}

/** Whether a colour profile stands before the pixels of a PNG, whatever is in it. */
export function tellsProfile(bytes: Uint8Array): boolean {
  return [...chunksOf(bytes)].some(({ type }) => type === "iCCP");
}

/** How many bits a PNG has for each colour of a pixel, or for its number in a palette, and its colour type. */
export function pixelsOf(png: Uint8Array): { depth: number; colour: number } {
  return { depth: png[24] ?? 0, colour: png[25] ?? 0 };
}

/** The decoder leaves out one that is too long, and browsers read what of it they need; of less than 8 bits each takes others of its bits. */
function checkTransparency(tRNS: Buffer, depth: number, colour: number, colours: number): void {
  const values = TRANSPARENT.get(colour);
  const read =
    values === undefined
      ? colour !== PALETTE || tRNS.length <= colours
      : tRNS.length === 2 * values &&
        [0, 2, 4].slice(0, values).every((at) => tRNS.readUInt16BE(at) < 2 ** depth);
  if (!read)
    throw unsupported(
      "a png whose transparency (tRNS) is one of its colours, or for each of its palette one, got one that browsers would read in another way: save it anew",
    );
}

/** Where on the diagram of all colours white, red, green and blue are, each as x and y. */
function checkPrimaries(cHRM: Buffer): void {
  const told = Array.from({ length: 8 }, (_, n) => cHRM.readUInt32BE(4 * n) / 100_000);
  if (!SPACES.some((space) => space.every((value, n) => Math.abs(value - told[n]!) <= NEAR)))
    throw unsupported(
      `a png of the colours of sRGB, Display P3, Adobe RGB or BT.2020, got primaries of ${told.join(" ")}, which browsers would show as another picture: save it as sRGB`,
    );
}

function checkGamma(gamma: number): void {
  if (gamma < 0.3 || gamma > 0.65)
    throw unsupported(
      `a png of a gamma of 0.3 to 0.65, got ${gamma}, which browsers would show as another picture: save it as sRGB`,
    );
}

const SIGNATURE_BYTES = 8;
const MOST_CHUNKS = 10_000;
/** Colour types: grey, and grey with alpha. */
const GREYS = new Set([0, 4]);
/** Pixels are numbers of colours. */
export const PALETTE = 3;
/** Of how many values a colour is of which pixels are clear, by colour type: those with alpha have none. */
const TRANSPARENT = new Map([
  [0, 1],
  [2, 3],
]);
const D65 = [0.3127, 0.329] as const;
/** sRGB, Display P3, Adobe RGB and BT.2020. */
const SPACES = [
  [...D65, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06],
  [...D65, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06],
  [...D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06],
  [...D65, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046],
] as const;
/** As far as screens are from each other; a mean pixel may be off by 27 of 255, and its contrast doubled. */
const NEAR = 0.025;
