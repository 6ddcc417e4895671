import { PhotoError } from "../errors.ts";

/** Where something lies in a file, in bytes. */
export interface Extent {
  from: number;
  to: number;
}

/** Its extent is that of what it holds. */
export interface Box extends Extent {
  type: string;
}

/** The boxes of HEIF that stand one after the other, as far as they are there. */
export function* boxesOf(file: Buffer, { from, to }: Extent): Generator<Box> {
  for (let at = from, boxes = 0; at + 8 <= to; ) {
    if (++boxes > MOST) throw tooMany("boxes");
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

/**
 * The bytes of each picture of AV1 that a meta tells of: the one that is shown or its tiles, its alpha, a preview.
 *
 * @throws {RangeError} where the meta is cut off.
 */
export function* picturesOf(file: Buffer, meta: Extent): Generator<Buffer> {
  const pictures = new Set<number>();
  for (const iinf of boxesIn(file, meta, "iinf"))
    for (const infe of boxesOf(file, { ...iinf, from: iinf.from + (file[iinf.from] === 0 ? 6 : 8) })) {
      const read = reader(file, infe.from);
      const idSize = read(1) < 3 ? 2 : 4;
      read(3);
      const id = read(idSize);
      read(2);
      if (read(4) === AV01) pictures.add(id);
    }
  let left = file.length;
  for (const { id, extents } of placesOf(file, meta)) {
    if (!pictures.has(id)) continue;
    const parts = extents.map(({ from, to }) => file.subarray(from, to));
    left -= parts.reduce((sum, part) => sum + part.length, 0);
    // or a small file could tell of any number of large ones
    if (left < 0) throw new PhotoError("UNSUPPORTED_FORMAT", "expected pictures that share no bytes");
    yield parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }
}

function* placesOf(file: Buffer, meta: Extent): Generator<{ id: number; extents: Extent[] }> {
  const [idat] = boxesIn(file, meta, "idat");
  for (const iloc of boxesIn(file, meta, "iloc")) {
    const read = reader(file, iloc.from);
    const version = read(1);
    read(3);
    const [sizes, moreSizes] = [read(1), read(1)];
    const indexSize = version === 0 ? 0 : moreSizes & 15;
    let most = MOST;
    for (let items = read(version < 2 ? 2 : 4); items > 0; items--) {
      const id = read(version < 2 ? 2 : 4);
      const inIdat = version > 0 && (read(2) & 15) === 1;
      read(2);
      const source = inIdat && idat ? idat : { from: 0, to: file.length };
      const base = source.from + read(moreSizes >> 4);
      const count = read(2);
      most -= count + 1;
      if (most < 0) throw tooMany("items");
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
}

/**
 * Whether a picture is cropped (clap) and what is left does not begin at its upper left corner.
 *
 * @throws {RangeError} where the meta is cut off.
 */
export function cropsInside(file: Buffer, meta: Extent): boolean {
  for (const iprp of boxesIn(file, meta, "iprp")) {
    const properties = propertiesIn(file, [iprp]);
    if (!properties.some(({ type }) => type === "clap")) continue;
    for (const ipma of boxesOf(file, iprp)) {
      if (ipma.type !== "ipma") continue;
      const read = reader(file, ipma.from);
      const idSize = read(1) === 0 ? 2 : 4;
      const indexSize = read(3) & 1 ? 2 : 1;
      const items = read(4);
      if (items > MOST) throw tooMany("items");
      for (let item = 0; item < items; item++) {
        read(idSize);
        const own = Array.from({ length: read(1) }, () => {
          // the uppermost bit says only whether it must be understood
          const index = read(indexSize) & (indexSize === 1 ? 0x7f : 0x7fff);
          return properties[index - 1];
        });
        const sizes = own.filter((box) => box?.type === "ispe");
        for (const clap of own)
          if (clap?.type === "clap" && !sizes.every((ispe) => atOrigin(file, clap, ispe!))) return true;
      }
    }
  }
  return false;
}

/** Of whole pixels; the middle of what is left is told by how far it is from the middle of all, in fractions. */
function atOrigin(file: Buffer, clap: Extent, ispe: Extent): boolean {
  const fraction = (nth: number): number =>
    file.readInt32BE(clap.from + nth * 8) / file.readInt32BE(clap.from + nth * 8 + 4);
  const [width, height, right, down] = [fraction(0), fraction(1), fraction(2), fraction(3)];
  return (
    Number.isInteger(width) &&
    width > 0 &&
    Number.isInteger(height) &&
    height > 0 &&
    file.readUInt32BE(ispe.from + 4) + 2 * right === width &&
    file.readUInt32BE(ispe.from + 8) + 2 * down === height
  );
}

/** Of the largest picture that is told of. */
export function mostPixels(bytes: Uint8Array): number {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  let most = 0;
  for (const meta of boxesOf(file, { from: 0, to: file.length })) {
    if (meta.type !== "meta") continue;
    for (const { type, from, to } of propertiesIn(file, boxesIn(file, meta, "iprp")))
      if (type === "ispe" && to - from >= 12)
        most = Math.max(most, file.readUInt32BE(from + 4) * file.readUInt32BE(from + 8));
  }
  return most;
}

function propertiesIn(file: Buffer, iprps: readonly Box[]): Box[] {
  return iprps
    .flatMap((iprp) => [...boxesOf(file, iprp)])
    .filter(({ type }) => type === "ipco")
    .flatMap((ipco) => [...boxesOf(file, ipco)]);
}

function boxesIn(file: Buffer, meta: Extent, type: string): Box[] {
  // its version and flags come first
  return [...boxesOf(file, { ...meta, from: meta.from + 4 })].filter((box) => box.type === type);
}

/** Reads one number of so many bytes after the other. */
function reader(file: Buffer, from: number): (bytes: number) => number {
  let at = from;
  return (bytes) => {
    let value = 0;
    for (const end = at + bytes; at < end; at++) value = value * 256 + file.readUInt8(at);
    return value;
  };
}

function tooMany(what: string): PhotoError {
  return new PhotoError("UNSUPPORTED_FORMAT", `expected a photo of at most ${MOST} ${what}`);
}

/** A grid of 48 megapixels has some two hundred. */
const MOST = 10_000;
/** Of items: `av01`. */
const AV01 = 0x61763031;
