import { boxesOf, openHeif } from "./boxes.ts";
import { END, markersOf } from "./jpeg-scans.ts";

/**
 * Whether a file reaches the end that it tells of itself, by its last bytes alone where it has nothing behind it. Of any format
 * that is not judged nobody knows.
 *
 * @throws {PhotoError} UNSUPPORTED_FORMAT as `sniff` and `markersOf` do, of very many boxes or segments.
 */
export function isWhole(bytes: Uint8Array): boolean {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const begins = (text: string, at = 0): boolean => file.toString("latin1", at, at + text.length) === text;
  const ends = (text: string): boolean => begins(text, Math.max(0, file.length - text.length));
  if (begins("\xff\xd8\xff")) return ends("\xff\xd9") || tellsEnd(bytes);
  if (begins("\x89PNG")) return ends("IEND\xae\x42\x60\x82");
  if (begins("GIF8")) return ends(";");
  if (begins("RIFF") && file.length >= 12) return 8 + file.readUInt32LE(4) <= file.length;
  const last = begins("ftyp", 4)
    ? [...boxesOf(openHeif(bytes), { from: 0, to: file.length })].at(-1)
    : undefined;
  return last?.to === file.length && !last.cut;
}

/** As where a phone puts a video behind a photo: within the data of scans no end can stand. */
function tellsEnd(jpeg: Uint8Array): boolean {
  for (const { marker } of markersOf(jpeg)) if (marker === END) return true;
  return false;
}
