import { unsupported } from "./boxes.ts";
import type { Cicp } from "./cicp.ts";
import type { Picture } from "./heif.ts";

/** What a picture of AV1 tells of itself before it is decoded. */
export interface Av1 {
  /** Whether it has several frames, of which decoders show the first or the last. */
  moves: boolean;
  /** As its sequence headers tell them. */
  colours: Cicp[];
  /** As many as it may have at most, by its sequence headers. */
  pixels: number;
}

/**
 * Up to its end, or to where it is cut off.
 *
 * @param spend called for each of its units.
 * @throws {PhotoError} UNSUPPORTED_FORMAT.
 */
export function readAv1({ coded: data, dataFrom }: Picture, spend: (count: number) => void): Av1 {
  const read: Av1 = { moves: false, colours: [], pixels: 0 };
  let frames = 0;
  for (let at = 0; at < data.length && !read.moves; ) {
    spend(1);
    const begun = at;
    const head = data[at]!;
    const type = (head >> 3) & 15;
    at += head & EXTENDED ? 2 : 1;
    let size = data.length - at;
    if (head & SIZED) {
      size = 0;
      for (let shift = 0; at < data.length && shift < 56; shift += 7) {
        const byte = data[at++]!;
        size += (byte & 127) * 2 ** shift;
        if (byte < 128) break;
      }
    }
    // layers too: of what is told as such some decoders show the first and some the last
    if (type === FRAME || type === FRAME_HEADER) read.moves = ++frames > 1;
    if (type === SEQUENCE_HEADER) {
      const header = readHeader(data.subarray(at, at + size));
      read.pixels = Math.max(read.pixels, header.pixels);
      if (header.colours) read.colours.push(header.colours);
    }
    at += size;
    if (begun < dataFrom && at > dataFrom)
      throw unsupported(
        "units of AV1 that end where their av1C does, as readers differ in whether it counts",
      );
  }
  return read;
}

/** The colours, where they are told, stand behind nearly all other fields of a sequence header: AV1 5.5. */
function readHeader(header: Buffer): { pixels: number; colours?: Cicp } {
  let at = 0;
  const bits = (count: number): number => {
    let value = 0;
    for (const end = at + count; at < end; at++)
      value = value * 2 + (((header[at >> 3] ?? 0) >> (7 - (at & 7))) & 1);
    return value;
  };
  const profile = bits(3);
  bits(1);
  const reduced = bits(1);
  if (reduced) bits(5);
  else {
    let delayBits = 0;
    if (bits(1)) {
      bits(64);
      if (bits(1)) {
        let zeros = 0;
        while (zeros < 32 && !bits(1)) zeros++;
        bits(zeros);
      }
      if (bits(1)) {
        delayBits = bits(5) + 1;
        bits(42);
      }
    }
    const initialDelays = bits(1);
    for (let points = bits(5) + 1; points > 0; points--) {
      bits(12);
      if (bits(5) > 7) bits(1);
      if (delayBits > 0 && bits(1)) bits(2 * delayBits + 1);
      if (initialDelays && bits(1)) bits(4);
    }
  }
  const [across, down] = [bits(4), bits(4)];
  const pixels = (bits(across + 1) + 1) * (bits(down + 1) + 1);
  if (!reduced && bits(1)) bits(7);
  bits(3);
  if (!reduced) {
    bits(4);
    const ordered = bits(1);
    if (ordered) bits(2);
    // each of the two is left to the frames, or told by one more bit
    const screen = bits(1) || bits(1);
    if (screen && !bits(1)) bits(1);
    if (ordered) bits(3);
  }
  bits(3);
  const deep = bits(1);
  if (profile === 2 && deep) bits(1);
  if (profile !== 1) bits(1);
  if (!bits(1)) return { pixels };
  const colours = { primaries: bits(8), transfer: bits(8) };
  return at > header.length * 8 ? { pixels } : { pixels, colours };
}

const EXTENDED = 4;
const SIZED = 2;
const SEQUENCE_HEADER = 1;
const FRAME_HEADER = 3;
const FRAME = 6;
