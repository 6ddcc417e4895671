import sharp from "sharp";
import { checkHeader, corrupt, type DecodeHeic } from "./decode.ts";
import { sniff } from "./sniff.ts";

/**
 * A photo as a JPEG of at most `side` pixels on its long side, upright, in sRGB, on white where it is transparent,
 * and without any metadata: no EXIF, no place, no camera.
 *
 * @param heic decodes HEIC to `side` x `side` pixels.
 * @throws {PhotoError} EMPTY, UNSUPPORTED_FORMAT, TOO_MANY_PIXELS or CORRUPT; trying again cannot help.
 * @throws {UpstreamError} DECODE_UNAVAILABLE from the HEIC thread.
 */
export async function shrink(
  bytes: Uint8Array,
  { side, maxPixels }: { side: number; maxPixels: number },
  heic: DecodeHeic,
): Promise<Buffer> {
  const format = sniff(bytes);
  const { autoOrient } = await checkHeader(bytes, format, maxPixels);
  const scale = Math.min(1, side / Math.max(autoOrient.width, autoOrient.height));
  const width = Math.max(1, Math.round(autoOrient.width * scale));
  const height = Math.max(1, Math.round(autoOrient.height * scale));
  const photo =
    format === "heic"
      ? sharp(await heic(bytes), { raw: { width: side, height: side, channels: 3 } })
      : sharp(bytes, { failOn: "truncated", limitInputPixels: false, sequentialRead: true }).autoOrient();
  return photo
    .resize(width, height, { fit: "fill" })
    .flatten({ background: "white" })
    .toColourspace("srgb")
    .jpeg({ quality: 90 })
    .toBuffer()
    .catch((thrown: unknown) => {
      throw corrupt(thrown);
    });
}
