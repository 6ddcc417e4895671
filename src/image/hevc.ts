import { unsupported } from "./boxes.ts";
import type { Picture } from "./heif.ts";

/**
 * Refuses a picture of HEVC of which decoders may show different things: the one here shows the first of several in an item, reads every length in
 * four bytes, whatever its hvcC says, and goes by what an item tells of its pictures instead of its hvcC.
 *
 * @param spend called for each of its units.
 * @throws {PhotoError} UNSUPPORTED_FORMAT.
 */
export function checkUnits({ coded, dataFrom }: Picture, spend: (count: number) => void): void {
  let pictures = 0;
  let told = dataFrom > LENGTHS && (coded[LENGTHS]! & 3) + 1 !== LENGTH_BYTES;
  for (
    let at = dataFrom;
    at + LENGTH_BYTES + 3 <= coded.length;
    at += LENGTH_BYTES + coded.readUInt32BE(at)
  ) {
    spend(1);
    const [head, , slice] = coded.subarray(at + LENGTH_BYTES);
    const type = (head! >> 1) & 63;
    told ||= PARAMETERS.has(type);
    if (type < PARAMETERS_FROM && slice! & FIRST_OF_PICTURE) pictures++;
  }
  if (told || pictures > 1)
    throw unsupported(
      "a heic of one picture an item, told of by its hvcC alone and in lengths of four bytes, got one of which others may show another: save it anew",
    );
}

/** Where an hvcC says of how many bytes the length before each unit is. */
const LENGTHS = 21;
const LENGTH_BYTES = 4;
/** Of the first slice of a picture the first bit behind the two bytes that say what it is. */
const FIRST_OF_PICTURE = 0x80;
/** Types below are slices; these tell of the video, of its sequences and of its pictures. */
const PARAMETERS_FROM = 32;
const PARAMETERS = new Set([32, 33, 34]);
