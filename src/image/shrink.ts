import sharp, { type Sharp } from "sharp";
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
  const { photo } = await shrunk(bytes, limits, heic);
  return (
    photo
      // tables of its own for each JPEG would save four bytes in a hundred, and take as long again as all the rest
      .jpeg({ quality: limits.quality ?? 90, optimizeCoding: false })
      .toBuffer()
      .catch((thrown: unknown) => {
        throw corrupt(thrown);
      })
  );
}

/** The photo that `shrink` writes, before it is written, and its size in pixels. */
export async function shrunk(
  bytes: Uint8Array,
  { side, maxPixels, damaged = false, frame = 0 }: ShrinkLimits,
  heic: DecodeHeic,
): Promise<{ photo: Sharp; width: number; height: number }> {
  const format = sniff(bytes);
  const header = await checkHeader(bytes, format, maxPixels);
  const { autoOrient } = header;
  const scale = Math.min(1, side / Math.max(autoOrient.width, autoOrient.height));
  const width = Math.max(1, Math.round(autoOrient.width * scale));
  const height = Math.max(1, Math.round(autoOrient.height * scale));
  const page = frame > 0 && judgedPages(header, maxPixels)[frame];
  const options = { limitInputPixels: false, sequentialRead: true, ...(page && { page }) } as const;
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
  };
}
