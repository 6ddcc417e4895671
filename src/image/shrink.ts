import sharp, { type OverlayOptions, type Sharp } from "sharp";
import { checkHeader, corrupt, type DecodeHeic } from "./decode.ts";
import { judgedPages } from "./pages.ts";
import { sniff } from "./sniff.ts";

export interface ShrinkLimits {
  /** Pixels of the long side, at most. */
  side: number;
  maxPixels: number;
  /** Of the JPEG, 1 to 100 (default 90). */
  quality?: number;
  /** Take a JPEG that lost its end as it is: it has been judged so. */
  damaged?: boolean;
  /** Which of the frames that are judged (default: the first). */
  frame?: number;
  /** Of an animation, all of the frames that are judged, in rows, instead of one. */
  sheet?: boolean;
}

/**
 * A photo as a JPEG of at most `side` pixels on its long side, upright, in sRGB, on white where it is transparent,
 * and without any metadata: no EXIF, no place, no camera.
 *
 * @param heic decodes HEIC to `side` x `side` pixels.
 * @throws {PhotoError} EMPTY, UNSUPPORTED_FORMAT, TOO_MANY_PIXELS or CORRUPT; trying again cannot help.
 * @throws {UpstreamError} DECODE_UNAVAILABLE from the HEIC thread.
 */
export async function shrink(bytes: Uint8Array, limits: ShrinkLimits, heic: DecodeHeic): Promise<Buffer> {
  const { photo, frames } = await shrunk(bytes, limits, heic);
  return (
    (frames > 1 ? await sheetOf(frames, bytes, limits, heic) : photo)
      // tables of its own for each JPEG would save four bytes in a hundred, and take as long again as all the rest
      .jpeg({ quality: limits.quality ?? 90, optimizeCoding: false })
      .toBuffer()
      .catch(asCorrupt)
  );
}

export function asCorrupt(thrown: unknown): never {
  throw corrupt(thrown);
}

/** Of a sheet of so many frames, which has as many rows: it is of the shape of a frame. */
export function columnsOf(frames: number): number {
  return Math.ceil(Math.sqrt(frames));
}

/** Of at most `side` pixels as a whole. */
async function sheetOf(
  frames: number,
  bytes: Uint8Array,
  limits: ShrinkLimits,
  heic: DecodeHeic,
): Promise<Sharp> {
  const across = columnsOf(frames);
  const side = Math.max(1, Math.floor(limits.side / across));
  const layers: OverlayOptions[] = [];
  const canvas = { width: 1, height: 1 };
  for (let frame = 0; frame < frames; frame++) {
    const { photo, width, height } = await shrunk(bytes, { ...limits, side, frame, sheet: false }, heic);
    const input = await photo.raw().toBuffer().catch(asCorrupt);
    const [left, top] = [(frame % across) * width, Math.floor(frame / across) * height];
    layers.push({ input, raw: { width, height, channels: 3 }, left, top });
    Object.assign(canvas, { width: across * width, height: across * height });
  }
  return sharp({ create: { ...canvas, channels: 3, background: "white" } }).composite(layers);
}

/** The photo that `shrink` writes, before it is written, its size in pixels, and how many frames a sheet is to show. */
export async function shrunk(
  bytes: Uint8Array,
  { side, maxPixels, damaged = false, frame = 0, sheet = false }: ShrinkLimits,
  heic: DecodeHeic,
): Promise<{ photo: Sharp; width: number; height: number; frames: number }> {
  const format = sniff(bytes);
  const header = await checkHeader(bytes, format, maxPixels);
  const { autoOrient } = header;
  const scale = Math.min(1, side / Math.max(autoOrient.width, autoOrient.height));
  const width = Math.max(1, Math.round(autoOrient.width * scale));
  const height = Math.max(1, Math.round(autoOrient.height * scale));
  const pages = frame > 0 || sheet ? judgedPages(header, maxPixels) : [0];
  const page = pages[frame] ?? 0;
  const options = { limitInputPixels: false, sequentialRead: true, ...(page > 0 && { page }) } as const;
  const photo =
    format === "heic"
      ? sharp(await heic(bytes), { raw: { width: side, height: side, channels: 3 } })
      : sharp(bytes, { ...options, failOn: damaged ? "none" : "truncated" }).autoOrient();
  return {
    photo: photo
      .resize(width, height, { fit: "fill" })
      .flatten({ background: "white" })
      .toColourspace("srgb"),
    width,
    height,
    frames: sheet ? pages.length : 1,
  };
}
