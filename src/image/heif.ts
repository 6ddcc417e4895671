import { type Box, boxesIn, boxesOf, type Extent, type Heif, onlyOne, reader, unsupported } from "./boxes.ts";

/** What a file stores: a picture, or how it is made of others. */
export interface Item {
  /** Four letters, as a number. */
  type: number;
  /** Such as its size, and how it is cropped, in the order in which it has them. */
  properties: Box[];
  extents: Extent[];
}

/** What is decoded to show the primary item: itself, its alpha, and what either is made of, such as tiles with an alpha each. */
export interface Shown {
  item: Item;
  as: "primary" | "alpha" | "part";
  /** How often it is decoded. */
  times: number;
}

/** One of the pictures of a file, and how many times it is decoded. */
export interface Picture {
  av1: Buffer;
  times: number;
}

/**
 * What is decoded to show what a meta tells of. Other items are not seen, such as previews.
 *
 * @throws {PhotoError} CORRUPT or UNSUPPORTED_FORMAT.
 */
export function shownIn(heif: Heif, meta: readonly Box[]): Shown[] {
  const items = itemsOf(heif, meta);
  const { parts, alphas } = referencesOf(heif, meta);
  const pitm = onlyOne(meta, "pitm");
  if (!pitm) return [];
  const { version, read } = versioned(heif, pitm);
  const shown = new Map<string, Shown>();
  const waiting: { id: number; as: Shown["as"] }[] = [{ id: read(version === 0 ? 2 : 4), as: "primary" }];
  // grows as it is gone through: what is referred to often comes often, and what refers to itself until all is spent
  for (const { id, as } of waiting) {
    const item = items.get(id);
    const times = (shown.get(`${as} ${id}`)?.times ?? 0) + 1;
    if (item) shown.set(`${as} ${id}`, { item, as, times });
    const beside = alphas.get(id) ?? [];
    if (beside.length > 1)
      throw unsupported("a photo of one alpha, as readers differ in which of several counts");
    const made = parts.get(id) ?? [];
    heif.spend(beside.length + made.length);
    for (const alpha of beside) waiting.push({ id: alpha, as: as === "primary" ? "alpha" : "part" });
    for (const part of made) waiting.push({ id: part, as: "part" });
  }
  return [...shown.values()];
}

/**
 * The pictures of AV1 among what is shown. Those that are alike may be stored once, and come once.
 *
 * @throws {PhotoError} UNSUPPORTED_FORMAT.
 */
export function* picturesOf({ file }: Heif, shown: readonly Shown[]): Generator<Picture> {
  const stored = new Map<string, { extents: Extent[]; times: number }>();
  for (const { item, times } of shown) {
    if (item.type !== AV01) continue;
    const place = item.extents.map(({ from, to }) => `${from}-${to}`).join();
    stored.set(place, { extents: item.extents, times: times + (stored.get(place)?.times ?? 0) });
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

/** How an item is cropped, turned and mirrored once it is decoded, each with what it says, in hexadecimal. */
export function changesOf({ file }: Heif, { properties }: Item): string[] {
  return properties
    .filter(({ type }) => CHANGES.has(type))
    .map(({ type, from, to }) => type + file.toString("hex", from, Math.min(to, from + MOST_SAID)));
}

/**
 * Whether an item is cropped (clap) to what does not begin at its upper left corner.
 *
 * @throws {PhotoError} CORRUPT.
 */
export function cropsInside({ file }: Heif, { properties }: Item): boolean {
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

/** By their ids. */
function itemsOf(heif: Heif, meta: readonly Box[]): Map<number, Item> {
  const items = new Map<number, Item>();
  const properties = propertiesOf(heif, meta);
  const places = placesOf(heif, meta);
  const iinf = onlyOne(meta, "iinf");
  if (!iinf) return items;
  const counted = heif.file[iinf.from] === 0 ? 2 : 4;
  for (const infe of boxesIn(heif, { ...iinf, from: iinf.from + counted })) {
    const { version, read } = versioned(heif, infe);
    const id = read(version < 3 ? 2 : 4);
    read(2);
    if (items.has(id)) throw unsupported(`items of ids of their own, got several of ${id}`);
    items.set(id, { type: read(4), properties: properties.get(id) ?? [], extents: places.get(id) ?? [] });
  }
  return items;
}

function propertiesOf(heif: Heif, meta: readonly Box[]): Map<number, Box[]> {
  const owned = new Map<number, Box[]>();
  const iprp = onlyOne(meta, "iprp");
  const boxes = iprp ? [...boxesOf(heif, iprp)] : [];
  const ipco = onlyOne(boxes, "ipco");
  const properties = ipco ? [...boxesOf(heif, ipco)] : [];
  for (const ipma of boxes.filter(({ type }) => type === "ipma")) {
    const { version, flags, read } = versioned(heif, ipma);
    for (let left = read(4); left > 0; left--) {
      const id = read(version < 1 ? 2 : 4);
      const count = read(1);
      heif.spend(1 + count);
      for (let n = 0; n < count; n++) {
        // the first bit says whether a reader has to know it
        const index = flags & 1 ? read(2) & 0x7fff : read(1) & 0x7f;
        const property = properties[index - 1];
        if (property) listOf(owned, id).push(property);
      }
    }
  }
  return owned;
}

/** Of items what they are made of, and the pictures beside them, such as their alpha. */
function referencesOf(heif: Heif, meta: readonly Box[]): Record<"parts" | "alphas", Map<number, number[]>> {
  const parts = new Map<number, number[]>();
  const alphas = new Map<number, number[]>();
  const iref = onlyOne(meta, "iref");
  if (!iref) return { parts, alphas };
  const idSize = versioned(heif, iref).version === 0 ? 2 : 4;
  for (const box of boxesIn(heif, iref)) {
    const read = reader(heif.file, box);
    const id = read(idSize);
    const count = read(2);
    heif.spend(count);
    for (let n = 0; n < count; n++) {
      const other = read(idSize);
      if (box.type === "dimg") listOf(parts, id).push(other);
      if (box.type === "auxl") listOf(alphas, other).push(id);
    }
  }
  return { parts, alphas };
}

function placesOf(heif: Heif, meta: readonly Box[]): Map<number, Extent[]> {
  const { file, spend } = heif;
  const places = new Map<number, Extent[]>();
  const idat = onlyOne(meta, "idat");
  const iloc = onlyOne(meta, "iloc");
  if (!iloc) return places;
  const { version, read } = versioned(heif, iloc);
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
    if (places.has(id)) throw unsupported(`one place of each item, got several of ${id}`);
    places.set(id, extents);
  }
  return places;
}

function listOf<T>(lists: Map<number, T[]>, id: number): T[] {
  const list = lists.get(id) ?? [];
  lists.set(id, list);
  return list;
}

/** Reads what a box has behind its version and flags. */
function versioned(
  { file }: Heif,
  box: Extent,
): { version: number; flags: number; read: (bytes: number) => number } {
  const read = reader(file, box);
  return { version: read(1), flags: read(3), read };
}

/** Of items: `av01`. */
const AV01 = 0x61763031;
const CHANGES = new Set(["clap", "irot", "imir"]);
/** Bytes, of a clap; but a box may be as large as the file, and that of any number of items. */
const MOST_SAID = 32;
