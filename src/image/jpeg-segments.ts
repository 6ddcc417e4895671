import { unsupported } from "./boxes.ts";
import { markersOf, SCAN } from "./jpeg-scans.ts";

/**
 * Refuses a JPEG whose EXIF or colour profile browsers take from other segments than the decoder here: of EXIF that one takes the
 * first whatever follows its name, browsers the first that is named in full and not empty; of parts of a profile with one number the
 * decoder takes the last, browsers the first; and it takes a hundred parts.
 *
 * @throws {PhotoError} UNSUPPORTED_FORMAT.
 */
export function checkSegments(jpeg: Uint8Array): void {
  const bytes = Buffer.from(jpeg.buffer, jpeg.byteOffset, jpeg.length);
  const parts = new Map<number, Buffer>();
  let exif: Buffer | undefined;
  for (const { marker, at } of markersOf(bytes)) {
    if (marker === SCAN) return;
    const told = bytes.subarray(at + 4, at + 2 + bytes.readUInt16BE(at + 2));
    if (marker === APP1 && told.toString("latin1", 0, 4) === "Exif") {
      if (exif && (exif[4] !== 0 || exif.length < LEAST_EXIF))
        throw unsupported(
          "a jpeg whose first EXIF can be read, got one behind another, by which browsers may turn the photo: save it with one EXIF",
        );
      exif ??= told;
    }
    if (marker !== APP2 || told.length <= NUMBER || told.toString("latin1", 0, 11) !== "ICC_PROFILE")
      continue;
    const number = told[NUMBER]!;
    if (number >= MOST_PARTS || !(parts.get(number) ?? told).equals(told))
      throw unsupported(
        `a jpeg of a colour profile of less than ${MOST_PARTS} parts, each of them once, got several or others of number ${number}, of which browsers may read another: save it as sRGB`,
      );
    parts.set(number, told);
  }
}

const APP1 = 0xe1;
const APP2 = 0xe2;
/** Its name, and what a TIFF begins with. */
const LEAST_EXIF = 14;
/** Where the number of a part stands. */
const NUMBER = 12;
const MOST_PARTS = 100;
