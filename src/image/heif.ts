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
    yield { type, from: at + (long ? 16 : 8), to: Math.min(at + length, to) };
    if (length < 8) return;
    at += length;
  }
}

/** What a meta holds. */
export function boxesIn(heif: Heif, meta: Extent): Box[] {
  // its version and flags come first
  return [...boxesOf(heif, { ...meta, from: meta.from + 4 })];
}

/** What the items of a meta may be: their sizes, how they are cropped. */
export function propertiesOf(heif: Heif, meta: readonly Box[]): Box[] {
  const held = (boxes: readonly Box[], type: string): Box[] =>
    boxes.filter((box) => box.type === type).flatMap((box) => [...boxesOf(heif, box)]);
  return held(held(meta, "iprp"), "ipco");
}

/** One of the pictures of a file, and how many times it is there: the one that is shown or its tiles, its alpha, a preview. */
export interface Picture {
  av1: Buffer;
  times: number;
}

/**
 * The pictures of AV1 that a meta tells of. Tiles that are alike may be stored once, and come once.
 *
 * @throws {PhotoError} CORRUPT or UNSUPPORTED_FORMAT.
 */
export function* picturesOf(heif: Heif, meta: readonly Box[]): Generator<Picture> {
  const { file } = heif;
  const pictures = new Set<number>();
  const iinf = onlyOne(meta, "iinf");
  if (iinf)
    for (const infe of boxesOf(heif, { ...iinf, from: iinf.from + (file[iinf.from] === 0 ? 6 : 8) })) {
      const read = reader(file, infe);
      const idSize = read(1) < 3 ? 2 : 4;
      read(3);
      const id = read(idSize);
      read(2);
      if (read(4) === AV01) pictures.add(id);
    }
  const stored = new Map<string, { extents: Extent[]; times: number }>();
  for (const { id, extents } of placesOf(heif, meta)) {
    if (!pictures.has(id)) continue;
    const place = extents.map(({ from, to }) => `${from}-${to}`).join();
    stored.set(place, { extents, times: 1 + (stored.get(place)?.times ?? 0) });
  }
  let left = file.length;
  for (const { extents, times } of stored.values()) {
    const parts = extents.map(({ from, to }) => file.subarray(from, to));
    left -= parts.reduce((sum, part) => sum + part.length, 0);
    // or a small file could tell of any number of large ones
    if (left < 0) throw unsupported("pictures that share no bytes, unless they share all");
    yield { av1: parts.length === 1 ? parts[0]! : Buffer.concat(parts), times };
  }
}

function* placesOf(heif: Heif, meta: readonly Box[]): Generator<{ id: number; extents: Extent[] }> {
  const { file, spend } = heif;
  const idat = meta.find(({ type }) => type === "idat");
  const iloc = onlyOne(meta, "iloc");
  if (!iloc) return;
  const read = reader(file, iloc);
  const version = read(1);
  read(3);
  const [sizes, moreSizes] = [read(1), read(1)];
  const indexSize = version === 0 ? 0 : moreSizes & 15;
  for (let items = read(version < 2 ? 2 : 4); items > 0; items--) {
    const id = read(version < 2 ? 2 : 4);
    const inIdat = version > 0 && (read(2) & 15) === 1;
    read(2);
    const source = inIdat && idat ? idat : { from: 0, to: file.length };
    const base = source.from + read(moreSizes >> 4);
    const count = read(2);
    spend(1 + count);
    const extents = Array.from({ length: count }, () => {
      read(indexSize);
      const from = base + read(sizes >> 4);
      // 0: to the end of what it lies in
      const length = read(sizes & 15) || source.to;
      return { from, to: Math.min(from + length, source.to) };
    });
    yield { id, extents };
  }
}

/**
 * Whether pictures are cropped (clap) to what does not begin at the upper left corner of every size there is: which of them
 * is cropped does not matter, as hardly any photo is.
 *
 * @throws {PhotoError} CORRUPT.
 */
export function cropsInside({ file }: Heif, properties: readonly Box[]): boolean {
  const claps = properties.filter(({ type }) => type === "clap");
  const wholes = [
    ...properties.filter(({ type }) => type === "ispe").map((ispe) => sizeOf(file, ispe)),
    ...claps.map((clap) => wholeOf(file, clap)),
  ];
  return claps.length > 0 && new Set(wholes.map(({ width, height }) => `${width}x${height}`)).size > 1;
}

interface Size {
  width: number;
  height: number;
}

function sizeOf(file: Buffer, ispe: Extent): Size {
  const read = reader(file, ispe);
  read(4);
  return { width: read(4), height: read(4) };
}

/**
 * Of the picture that is cropped, if what is left begins at its upper left corner, and NaN where that is not of whole pixels.
 * A clap tells how far the middle of what is left is from the middle of all, in fractions.
 */
function wholeOf(file: Buffer, clap: Extent): Size {
  const read = reader(file, clap);
  // what is signed of them is how far
  const fraction = (): number => (read(4) | 0) / read(4);
  const [width, height, right, down] = [fraction(), fraction(), fraction(), fraction()];
  const whole = (edge: number, moved: number): number =>
    Number.isInteger(edge) && edge > 0 ? edge - 2 * moved : Number.NaN;
  return { width: whole(width, right), height: whole(height, down) };
}

/** @throws {PhotoError} UNSUPPORTED_FORMAT: readers differ in which of several counts. */
function onlyOne(meta: readonly Box[], type: string): Box | undefined {
  const boxes = meta.filter((box) => box.type === type);
  if (boxes.length > 1) throw unsupported(`a photo of one ${type}, got ${boxes.length}`);
  return boxes[0];
}

/** Reads one number of so many bytes after the other, of what is in a box. */
function reader(file: Buffer, { from, to }: Extent): (bytes: number) => number {
  let at = from;
  return (bytes) => {
    if (at + bytes > to) throw new PhotoError("CORRUPT", "a box of it ends before what it tells of");
    let value = 0;
    for (const end = at + bytes; at < end; at++) value = value * 256 + file[at]!;
    return value;
  };
}

function unsupported(what: string): PhotoError {
  return new PhotoError("UNSUPPORTED_FORMAT", `expected ${what}`);
}

/** A grid of 48 megapixels has some two hundred tiles, each with a box, an item, an extent and three units. */
const MOST = 10_000;
/** Of items: `av01`. */
const AV01 = 0x61763031;
