import sharp, { type Metadata } from "sharp";
import { asError, codeOf, ERROR_CODES, ModerationError, PhotoError } from "../errors.ts";
import { unsupported } from "./boxes.ts";
import type { Header } from "./decode-variants.ts";
import { isMadeForBrightScreens } from "./gain-map.ts";
import { asBrowsersRead } from "./gif.ts";
import { pixelsOfHeif } from "./heif-pixels.ts";
import { scansOf, tellsBrightness } from "./jpeg-scans.ts";
import { checkSegments } from "./jpeg-segments.ts";
import { lacksThreads, noThread } from "./lacks-threads.ts";
import { hasAmbiguousOrientation, isStretched } from "./orientation.ts";
import { exceedsPalette } from "./palette.ts";
import { tellsProfile } from "./png.ts";
import { drawColours, isOfColours, profileChangesColours } from "./profile.ts";
import { type Format, sniff } from "./sniff.ts";
import { checkAlpha, checkTiles } from "./tiles.ts";
import { type DecodeHeic, type Opened, optionsOf, pixelsOf, readViews } from "./views.ts";
import { checkOpaque } from "./webp.ts";

export interface DecodeLimits {
  /** Pixels, both edges of the model's input. */
  side: number;
  /** Width x height of the file, checked on its header before any decoding. */
  maxPixels: number;
}

/**
 * Decodes one photo to the pixels a model reads: side * side * 3 bytes, RGB, row by row, squashed to a square, for each of
 * its views (see `readViews`), of which the first is the whole, upright.
 *
 * Orientation is applied, and every colour space becomes sRGB, but for what a PNG's gAMA, cHRM and cICP, the nclx of AVIF and HEIC and
 * the profile of a HEIC say, which no decoder here applies: what is far from sRGB by them is refused. A JPEG that lost its end is read if at least half of its rows are there, and of a
 * progressive one each frequency.
 *
 * @throws {PhotoError} EMPTY, UNSUPPORTED_FORMAT, TOO_MANY_PIXELS or CORRUPT; trying again cannot help.
 * @throws {UpstreamError} DECODE_UNAVAILABLE from the HEIC thread, or where no thread can be begun.
 */
export async function decode(
  bytes: Uint8Array,
  limits: DecodeLimits,
  heic: DecodeHeic,
): Promise<Uint8Array[]> {
  for (let again = 1; ; again--) {
    try {
      return await decodeViews(bytes, limits, heic);
    } catch (thrown) {
      if (!["CORRUPT", "INTERNAL"].includes(codeOf(thrown))) throw thrown;
      if (await lacksThreads()) throw noThread(thrown);
      // what had no thread may have one by now
      if (again === 0) throw thrown;
    }
  }
}

async function decodeViews(
  bytes: Uint8Array,
  { side, maxPixels }: DecodeLimits,
  heic: DecodeHeic,
): Promise<Uint8Array[]> {
  const photo = await openPhoto(bytes, maxPixels);
  const { format, header } = photo;
  if (format === "heic") await checkAlpha(bytes, heic);
  const read = (failOn: "truncated" | "none"): Promise<Uint8Array[]> =>
    readViews(photo, { width: side, height: side }, failOn, heic);
  try {
    return await read("truncated");
  } catch (thrown) {
    if (thrown instanceof ModerationError || format !== "jpeg") throw corrupt(thrown);
    if (!(await isMostlyThere(bytes, header))) {
      const lacks = header.isProgressive
        ? "not every frequency of it is there"
        : "less than half of its rows can be read";
      throw new PhotoError("CORRUPT", `${corrupt(thrown).message}: ${lacks}`, { cause: thrown });
    }
    return await read("none").catch(asCorrupt);
  }
}

/** Process-wide, before photos come: one decode uses one thread, nothing is cached, and only the loaders of judged formats exist. */
export async function restrictSharp(): Promise<void> {
  sharp.cache(false);
  sharp.concurrency(1);
  sharp.block({ operation: ["VipsForeignLoad"] });
  sharp.unblock({
    operation: ["Jpeg", "Png", "Webp", "Nsgif", "Heif"].map((name) => `VipsForeignLoad${name}Buffer`),
  });
  await drawColours();
}

/**
 * What all that reads a photo's pixels reads them from.
 *
 * @throws {PhotoError} EMPTY, UNSUPPORTED_FORMAT, TOO_MANY_PIXELS or CORRUPT.
 */
export async function openPhoto(given: Uint8Array, maxPixels: number): Promise<Opened> {
  const format = sniff(given);
  const bytes = format === "gif" ? await asBrowsersRead(given) : given;
  const header = await checkHeader(bytes, format, maxPixels);
  if (format === "avif") await checkTiles(bytes).catch(asCorrupt);
  if (format === "webp") await checkOpaque(bytes, maxPixels).catch(asCorrupt);
  if (format === "png" && (await exceedsPalette(bytes).catch(asCorrupt)))
    throw unsupported(
      "a png whose pixels are all of its palette, got some beyond it, which each browser shows in another colour: save it anew",
    );
  return { bytes, format, header, maxPixels };
}

/** @throws {PhotoError} TOO_MANY_PIXELS, UNSUPPORTED_FORMAT or CORRUPT, before anything is decoded. */
async function checkHeader(bytes: Uint8Array, format: Format, maxPixels: number): Promise<Header> {
  let header: Metadata;
  try {
    header = await sharp(bytes, optionsOf("none")).metadata();
  } catch (thrown) {
    throw corrupt(thrown);
  }
  const { width, height, isProgressive } = header;
  // decoded row by row, a large photo costs time but no memory; anything else is held whole
  const streamed = (format === "jpeg" || format === "png") && !isProgressive;
  const limit = streamed ? maxPixels * 4 : maxPixels;
  // some hundred rows are held at once: those of a small PNG that is one long row took 10 GB; other formats have no such rows
  // and each row costs time of its own: 20 million rows of one pixel took 5 s
  if (format === "png" && (width > MOST_ACROSS || height > MOST_DOWN)) {
    throw new PhotoError(
      "TOO_MANY_PIXELS",
      `expected a PNG of at most ${MOST_ACROSS} pixels across and ${MOST_DOWN} down, got ${width} x ${height}`,
    );
  }
  if (width * height > limit) {
    throw new PhotoError(
      "TOO_MANY_PIXELS",
      `expected at most ${limit} pixels, got ${width} x ${height} (MAITRED_MAX_PIXELS)`,
    );
  }
  // a picture of 64 x 64 may be made of 250 tiles of 16 megapixels, which took 82 s; alpha is as large as it is
  const { largest, all } =
    format === "avif" || format === "heic" ? pixelsOfHeif(bytes, format) : { largest: 0, all: 0 };
  if (largest > maxPixels || all > 2 * maxPixels) {
    throw new PhotoError(
      "TOO_MANY_PIXELS",
      `expected a photo of at most ${maxPixels} pixels, and ${2 * maxPixels} in all tiles of it and its alpha, got ${all} (MAITRED_MAX_PIXELS)`,
    );
  }
  if (format === "jpeg" && (await isMadeForBrightScreens(bytes)))
    throw unsupported(
      "a jpeg whose picture is the one for ordinary screens, got one with a gain map that makes another of it, which browsers show: save it without",
    );
  if (format === "jpeg") checkSegments(bytes);
  if (format === "jpeg" && header.exif && isStretched(header.exif))
    throw unsupported(
      "a jpeg as dense across as down, got one that browsers may stretch: take XResolution and YResolution out of its EXIF",
    );
  // half a megabyte of 2,647 scans took 29 s: a scan that says nothing new is a few bytes
  const scans = format === "jpeg" && isProgressive ? scansOf(bytes) : 1;
  if (scans > MOST_SCANS) {
    throw new PhotoError("TOO_MANY_PIXELS", `expected a JPEG of at most ${MOST_SCANS} scans, got ${scans}`);
  }
  if (format === "png" && !header.icc && tellsProfile(bytes))
    throw unsupported(
      "a png whose colour profile can be read, got one that browsers may read all the same, and apply: save it as sRGB, or without",
    );
  const recoloured = await profileChangesColours(header);
  const applied = format !== "heic" && !(header.icc && header.channels < 3 && isOfColours(header.icc));
  if (recoloured && !applied)
    throw unsupported(
      `a ${format} whose colour profile, which could not be applied, changes its colours little and has no tables: save it as sRGB or Display P3`,
    );
  return {
    ...header,
    // HEIF tells of turning in boxes of its own
    ambiguousOrientation: format !== "heic" && format !== "avif" && hasAmbiguousOrientation(header),
    recoloured,
  };
}

async function isMostlyThere(jpeg: Uint8Array, { isProgressive }: Metadata): Promise<boolean> {
  return isProgressive ? tellsBrightness(jpeg) : (await decodedShare(jpeg)) >= 0.5;
}

/**
 * How much of a broken JPEG is there, 0 to 1: libjpeg fills the rows that it could not read with the last colour
 * that it could, so they are the flat rows at the bottom of the stored (not the oriented) frame.
 */
async function decodedShare(bytes: Uint8Array): Promise<number> {
  const rows = 128;
  const photo = sharp(bytes, optionsOf("none")).resize(rows, rows, { fit: "fill", kernel: "nearest" });
  const pixels = await pixelsOf(photo, { width: rows, height: rows }).catch(asCorrupt);
  const last = pixels.subarray(-3);
  let flat = 0;
  while (flat < rows && isFlat(pixels.subarray((rows - 1 - flat) * rows * 3, (rows - flat) * rows * 3), last))
    flat++;
  return 1 - flat / rows;
}

function isFlat(row: Uint8Array, colour: Uint8Array): boolean {
  return row.every((value, index) => Math.abs(value - colour[index % 3]!) <= 1);
}

export function corrupt(thrown: unknown): ModerationError {
  if (thrown instanceof ModerationError) return thrown;
  // libheif looks beyond the end of a file, and logs that, before it says what is wrong
  const said = asError(thrown)
    .message.replace(/source: bad seek to -?\d+\n/g, "")
    .split("\n")[0]!
    .replace(/: *$/, "");
  // the decoder's words are of the process, and may be gone when another thread has failed too
  const why = /^(Unknown error)?$/.test(said) ? ERROR_CODES.CORRUPT : said;
  return new PhotoError("CORRUPT", why, { cause: thrown });
}

export function asCorrupt(thrown: unknown): never {
  throw corrupt(thrown);
}

const MOST_ACROSS = 32_768;
const MOST_DOWN = 262_144;
const MOST_SCANS = 100;
