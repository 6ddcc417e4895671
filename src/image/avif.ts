import { readAv1 } from "./av1.ts";
import { boxesIn, boxesOf, openHeif } from "./boxes.ts";
import { picturesOf, shownIn } from "./heif.ts";

/**
 * Pixels of the largest picture in an AVIF that is decoded to show it, and of all of them, whatever size it says that it has: its
 * tiles, as often as each is there, and its alpha.
 *
 * @throws {PhotoError} CORRUPT or UNSUPPORTED_FORMAT.
 */
export function pixelsOfAvif(bytes: Uint8Array): { largest: number; all: number } {
  const heif = openHeif(bytes);
  const found = { largest: 0, all: 0 };
  for (const box of boxesOf(heif, { from: 0, to: bytes.length })) {
    if (box.type !== "meta") continue;
    for (const { av1, times } of picturesOf(heif, shownIn(heif, boxesIn(heif, box)))) {
      const { pixels } = readAv1(av1, heif.spend);
      found.largest = Math.max(found.largest, pixels);
      found.all += pixels * times;
    }
  }
  return found;
}
