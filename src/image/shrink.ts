import sharp, { type Metadata, type Sharp } from "sharp";
import { asCorrupt, openPhoto } from "./decode.ts";
import { type DecodeVariant, decodeVariants, partsIn } from "./decode-variants.ts";
import { type DecodeHeic, open, readViews, type Size, scaled } from "./views.ts";

export interface ShrinkLimits {
  /** Pixels of the long side, at most. */
  side: number;
  maxPixels: number;
  /** Of the JPEG, 1 to 100 (default 90). */
  quality?: number;
  /** Take a JPEG that lost its end as it is: it has been judged so. */
  damaged?: boolean;
  /** Which of the views that are judged (default: the first). */
  frame?: number;
  /** All of the views that are judged, in rows, instead of one. */
  sheet?: boolean;
}

/**
 * A photo as a JPEG of at most `side` pixels on its long side, upright, in sRGB, laid on white or black where it is transparent,
 * and without any metadata: no EXIF, no place, no camera.
 *
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
      .catch(asCorrupt)
  );
}

/** How a sheet of so many views is laid out. */
export function gridOf(views: number): { across: number; down: number } {
  const across = Math.ceil(Math.sqrt(views));
  return { across, down: Math.ceil(views / across) };
}

/** The photo that `shrink` writes, before it is written, and its size in pixels. */
export async function shrunk(
  bytes: Uint8Array,
  { side, maxPixels, damaged = false, frame = 0, sheet = false }: ShrinkLimits,
  heic: DecodeHeic,
): Promise<{ photo: Sharp } & Size> {
  const opened = await openPhoto(bytes, maxPixels);
  const { format, header } = opened;
  const failOn = damaged ? "none" : "truncated";
  const readings = decodeVariants(header, maxPixels);
  const first = readings[0]!;
  const count = readings.length * (1 + first.parts);
  // as a stream, where nothing has to be cut, or laid on black
  if (!header.hasAlpha && (sheet ? count === 1 : frame === 0)) {
    const size = fitted(header.autoOrient, side);
    const photo =
      format === "heic"
        ? sharp(await heic(opened.bytes, size, false), { raw: { ...size, channels: 3 } })
        : open(opened, first, failOn, size);
    return { photo: scaled(photo, size, false, format), ...size };
  }
  const cellOf = (views: number): Size =>
    fitted(shapeOf(header, first), Math.max(1, Math.floor(side / gridOf(views).across)));
  const read = (size: Size): Promise<Uint8Array[]> => readViews(opened, size, failOn, heic).catch(asCorrupt);
  let size = sheet || frame > 0 ? cellOf(sheet ? count : 1) : fitted(header.autoOrient, side);
  let views = await read(size);
  if (!sheet) return { photo: sharp(views[frame] ?? views[0], { raw: { ...size, channels: 3 } }), ...size };
  if (views.length !== count) {
    // some are on black too, which only their pixels tell
    size = cellOf(views.length);
    views = await read(size);
  }
  return sheetOf(views, size);
}

function sheetOf(views: readonly Uint8Array[], { width, height }: Size): { photo: Sharp } & Size {
  const { across, down } = gridOf(views.length);
  const sheet = { width: across * width, height: down * height };
  const layers = views.map(({ buffer, byteOffset, length }, view) => ({
    input: Buffer.from(buffer, byteOffset, length),
    raw: { width, height, channels: 3 as const },
    left: (view % across) * width,
    top: Math.floor(view / across) * height,
  }));
  const photo = sharp({ create: { ...sheet, channels: 3, background: "white" } }).composite(layers);
  return { photo, ...sheet };
}

/** Of a view, before it is squashed: that of a part, where there are parts. */
function shapeOf({ autoOrient: { width, height } }: Metadata, { parts, wide }: DecodeVariant): Size {
  const times = partsIn(parts);
  return wide ? { width: width / times, height } : { width, height: height / times };
}

function fitted({ width, height }: Size, side: number): Size {
  const scale = Math.min(1, side / Math.max(width, height));
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}
