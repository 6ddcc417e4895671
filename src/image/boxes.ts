import { PhotoError } from "../errors.ts";

/** A file of boxes, and what counts all that is walked over in it. */
export interface Heif {
  file: Buffer;
  /** @throws {PhotoError} UNSUPPORTED_FORMAT where it is more than a photo has. */
  spend(count: number): void;
}

/** Where something lies in a file, in bytes. */
export interface Extent {
  from: number;
  to: number;
}

/** Its extent is that of what it holds. */
export interface Box extends Extent {
  type: string;
  /** It says that it goes on behind the end of what holds it. */
  cut: boolean;
}

export function openHeif(bytes: Uint8Array): Heif {
  let left = MOST;
  return {
    file: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length),
    spend(count) {
      left -= count;
      // or a small file of boxes that tell of thousands of items would hold the thread
      if (left < 0) throw unsupported(`a photo of at most ${MOST} boxes, items, extents and units`);
    },
  };
}

/** The boxes of HEIF that stand one after the other, as far as they are there. */
export function* boxesOf({ file, spend }: Heif, { from, to }: Extent): Generator<Box> {
  for (let at = from; at + 8 <= to; ) {
    spend(1);
    const size = file.readUInt32BE(at);
    const long = size === 1 && at + 16 <= to;
    // 0: to the end of what holds it
    const length = size === 0 ? to - at : long ? Number(file.readBigUInt64BE(at + 8)) : size;
    const type = file.toString("latin1", at + 4, at + 8);
    const end = at + length;
    yield { type, from: at + (long ? 16 : 8), to: Math.min(end, to), cut: end > to };
    if (length < 8) return;
    at = end;
  }
}

/** What is held by a box that has a version and flags before it. */
export function boxesIn(heif: Heif, box: Extent): Box[] {
  return [...boxesOf(heif, { ...box, from: box.from + 4 })];
}

/** @throws {PhotoError} UNSUPPORTED_FORMAT: readers differ in which of several counts. */
export function onlyOne(boxes: readonly Box[], type: string): Box | undefined {
  const found = boxes.filter((box) => box.type === type);
  if (found.length > 1) throw unsupported(`a photo of one ${type}, got ${found.length}`);
  return found[0];
}

/**
 * Reads one number of so many bytes after the other, of what is in a box.
 *
 * @throws {PhotoError} CORRUPT at its end.
 */
export function reader(file: Buffer, { from, to }: Extent): (bytes: number) => number {
  let at = from;
  return (bytes) => {
    if (at + bytes > to) throw new PhotoError("CORRUPT", "a box of it ends before what it tells of");
    let value = 0;
    for (const end = at + bytes; at < end; at++) value = value * 256 + file[at]!;
    return value;
  };
}

export function unsupported(what: string): PhotoError {
  return new PhotoError("UNSUPPORTED_FORMAT", `expected ${what}`);
}

/** Of a format of which the decoder reads the first frame only. */
export function animated(format: string): PhotoError {
  return unsupported(`a still ${format}, got an animation, of which only the first frame could be judged`);
}

/** A grid of 48 megapixels has some two hundred tiles, each with a box, an item, an extent, four properties, two references and three units. */
const MOST = 10_000;
