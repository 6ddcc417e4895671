import sharp, { type Sharp, type SharpOptions } from "sharp";
import { type DecodeVariant, decodeVariants, type Header, partsIn } from "./decode-variants.ts";
import type { Format } from "./sniff.ts";

/** In pixels. */
export interface Size {
  width: number;
  height: number;
}

/** A photo whose header was checked. */
export interface Opened {
  bytes: Uint8Array;
  format: Format;
  header: Header;
  maxPixels: number;
}

/**
 * Decodes HEIC, squashed to a size, to RGB, or where it has alpha to RGBA. Elsewhere: it takes most of a second of CPU time,
 * and must not hold this thread.
 */
export type DecodeHeic = (bytes: Uint8Array, size: Size, alpha: boolean) => Promise<Uint8Array>;

/**
 * What is judged of a photo, and shown to who judges the judge: each view width * height * 3 bytes of RGB. Of each of its
 * readings the whole, squashed, then its parts; where it can be seen through, all of them on white and then on black, as nobody
 * knows on what it is shown, or the other way round where on white there is next to nothing.
 *
 * @throws {PhotoError} TOO_MANY_PIXELS or UNSUPPORTED_FORMAT; and whatever the decoder throws.
 */
export async function readViews(
  photo: Opened,
  size: Size,
  failOn: SharpOptions["failOn"],
  heic: DecodeHeic,
): Promise<Uint8Array[]> {
  const { bytes, format, header, maxPixels } = photo;
  const views: Uint8Array[] = [];
  // one after the other: a photo keeps one core busy, and one reading in memory
  for (const reading of decodeVariants(header, maxPixels)) {
    const whole = spread(size, reading);
    const read = (): Promise<Uint8Array> =>
      header.space === "cmyk" && !reading.profiled
        ? mixed(open(photo, reading, failOn, whole), whole)
        : pixelsOf(open(photo, reading, failOn, whole), whole, header.hasAlpha, format);
    const pixels = format === "heic" ? await heic(bytes, whole, header.hasAlpha) : await read();
    for (const laid of header.hasAlpha ? laidOn(pixels) : [pixels])
      views.push(...(await cut(laid, whole, reading, size)));
  }
  return views;
}

/** A reading before it is read, and brought to a size. */
export function open(
  { bytes, header }: Pick<Opened, "bytes" | "header">,
  { page, upright, profiled }: Pick<DecodeVariant, "page" | "upright" | "profiled">,
  failOn: SharpOptions["failOn"],
  size: Size,
): Sharp {
  const photo = sharp(bytes, { ...optionsOf(failOn), ignoreIcc: !profiled, ...(page > 0 && { page }) });
  // from a profile sharp goes to Display P3 where there are more than 8 bits, and leaves it at that
  if (profiled && header.icc && header.space === "rgb16") photo.withIccProfile("srgb", { attach: false });
  if (!upright) return photo;
  photo.autoOrient();
  const { width, height } = header.autoOrient;
  // enlarging moves a photo a little to one side, and one that is turned afterwards to another; what is cut is turned before
  return width < size.width || height < size.height
    ? photo.extract({ left: 0, top: 0, width, height })
    : photo;
}

/** The last steps, which the HEIC thread shares: RGB on white, or RGBA. */
export function pixelsOf(photo: Sharp, size: Size, alpha = false, format?: Format): Promise<Buffer> {
  // toUint8Array() of sharp 0.35.5 never frees its native copy: a bench saw 250 kB a photo stay
  return scaled(photo, size, alpha, format).raw().toBuffer();
}

/** Ink, as browsers mix it that apply no profile of it, to RGB: the decoder would apply one of its own. */
async function mixed(photo: Sharp, { width, height }: Size): Promise<Uint8Array> {
  const ink = photo.pipelineColourspace("cmyk").resize(width, height, { fit: "fill" }).toColourspace("cmyk");
  const cmyk = await ink.raw().toBuffer();
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < cmyk.length; from += 4)
    for (let colour = 0; colour < 3; colour++)
      rgb[to++] = Math.round(((255 - cmyk[from + colour]!) * (255 - cmyk[from + 3]!)) / 255);
  return rgb;
}

export function scaled(photo: Sharp, { width, height }: Size, alpha = false, format?: Format): Sharp {
  // a WebP's decoder would take means of brightness and colour before it cuts off what no screen shows, and browsers do so afterwards
  const fit = photo.resize(width, height, { fit: "fill", fastShrinkOnLoad: format !== "webp" });
  return (alpha ? fit.ensureAlpha() : fit.flatten({ background: "white" })).toColourspace("srgb");
}

export function optionsOf(failOn: SharpOptions["failOn"]): SharpOptions {
  // the limit is checked on the header, where the message can name the setting
  return { failOn, limitInputPixels: false, sequentialRead: true };
}

/** Of a whole out of which each part is to be cut in `size`. */
function spread({ width, height }: Size, { parts, wide }: DecodeVariant): Size {
  const times = partsIn(parts);
  return wide ? { width: Math.round(width * times), height } : { width, height: Math.round(height * times) };
}

/** RGBA as RGB on white, and on black where that is another picture; first the one on which most is to be seen, white if in doubt. */
function laidOn(rgba: Uint8Array): Uint8Array[] {
  const pixels = rgba.length / 4;
  const [white, black] = [new Uint8Array(pixels * 3), new Uint8Array(pixels * 3)];
  let seenThrough = 0;
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    const alpha = rgba[from + 3]!;
    seenThrough += 255 - alpha;
    for (let channel = 0; channel < 3; channel++) {
      const value = Math.round((rgba[from + channel]! * alpha) / 255);
      black[to] = value;
      white[to++] = value + 255 - alpha;
    }
  }
  if (seenThrough / pixels < NOTICED) return [white];
  return contrast(black) > MORE * contrast(white) ? [black, white] : [white, black];
}

/** How far its bytes are from their mean, of 255. */
function contrast(rgb: Uint8Array): number {
  const mean = rgb.reduce((sum, value) => sum + value, 0) / rgb.length;
  return Math.sqrt(rgb.reduce((sum, value) => sum + (value - mean) ** 2, 0) / rgb.length);
}

/** The whole in `size`, and its parts from one end to the other. */
async function cut(
  rgb: Uint8Array,
  whole: Size,
  { parts, wide }: DecodeVariant,
  { width, height }: Size,
): Promise<Uint8Array[]> {
  if (parts === 0) return [rgb];
  const strip = (): Sharp => sharp(rgb, { raw: { ...whole, channels: 3 } });
  const views = [await pixelsOf(strip(), { width, height })];
  const way = wide ? whole.width - width : whole.height - height;
  for (let part = 0; part < parts; part++) {
    const start = Math.round((way * part) / (parts - 1));
    const [left, top] = wide ? [start, 0] : [0, start];
    views.push(await strip().extract({ left, top, width, height }).raw().toBuffer());
  }
  return views;
}

/** By which the mean pixel on white is brighter than on black, of 255: as where 1/500 of a photo is clear. */
const NOTICED = 0.5;
/** As light writing has on black. */
const MORE = 4;
