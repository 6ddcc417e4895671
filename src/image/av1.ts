/** What a picture of AV1 tells of itself before it is decoded. */
export interface Av1 {
  /** Whether it has several frames, of which decoders show the first or the last; or more units than are walked over. */
  moves: boolean;
  /** Of ITU-T H.273, as its sequence headers tell it. */
  transfers: number[];
}

/** Up to its end, or to where it is cut off. */
export function readAv1(data: Buffer): Av1 {
  const read: Av1 = { moves: false, transfers: [] };
  let frames = 0;
  for (let at = 0, units = 0; at < data.length && !read.moves; ) {
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
    if (type === FRAME || type === FRAME_HEADER) frames++;
    read.moves = frames > 1 || ++units > MOST_UNITS;
    if (type === SEQUENCE_HEADER) {
      const transfer = transferOf(data.subarray(at, at + size));
      if (transfer !== undefined) read.transfers.push(transfer);
    }
    at += size;
  }
  return read;
}

/** The one field that matters of a sequence header stands behind nearly all others: AV1 5.5. */
function transferOf(header: Buffer): number | undefined {
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
  bits(across + 1 + down + 1);
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
  if (!bits(1)) return undefined;
  bits(8);
  return bits(8);
}

const EXTENDED = 4;
const SIZED = 2;
const SEQUENCE_HEADER = 1;
const FRAME_HEADER = 3;
const FRAME = 6;
/** A still has fewer than ten, or one for each of its tiles. */
const MOST_UNITS = 10_000;
