import { readAv1 } from "./av1.ts";
import { boxesIn, boxesOf, openHeif } from "./boxes.ts";
import { type HeifFormat, picturesOf, shownIn, statedPixels } from "./heif.ts";

/**
 * Pixels of the largest picture that is decoded to show an AVIF or a HEIC, and of all of them: its tiles, as often as each is there,
 * and its alpha. Of an AVIF they are those of its pictures, whatever size it says that it has; of a HEIC those that it says,
 * since its decoder gives none of another size.
 *
 * @throws {PhotoError} CORRUPT or UNSUPPORTED_FORMAT.
 */
export function pixelsOfHeif(bytes: Uint8Array, format: HeifFormat): { largest: number; all: number } {
  const heif = openHeif(bytes);
  const found = { largest: 0, all: 0 };
  for (const box of boxesOf(heif, { from: 0, to: bytes.length })) {
    if (box.type !== "meta") continue;
    const shown = shownIn(heif, boxesIn(heif, box), format);
    if (format === "heic") return statedPixels(heif, shown);
    for (const picture of picturesOf(heif, shown, format)) {
      const { pixels } = readAv1(picture, heif.spend);
      found.largest = Math.max(found.largest, pixels);
      found.all += pixels * picture.times;
    }
  }
  return found;
}

/**
 * Whether it takes so much memory that no more than one of its kind should be decoded at a time: an AVIF takes 15 to 25 bytes a pixel,
 * a HEIC 10 to 20. Phones make AVIFs of 12 megapixels, and HEICs of 24.
 *
 * @throws {PhotoError} CORRUPT or UNSUPPORTED_FORMAT.
 */
export function isLarge(bytes: Uint8Array, format: HeifFormat): boolean {
  return pixelsOfHeif(bytes, format).all > LARGE[format];
}

const LARGE = { avif: 16_000_000, heic: 26_000_000 };
