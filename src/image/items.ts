import { type Box, boxesIn, boxesOf, type Extent, type Heif, onlyOne, reader, unsupported } from "./boxes.ts";

/** What a file stores: a picture, or how it is made of others. */
export interface Item {
  id: number;
  /** Where in the file the byte is whose last bit says that it is shown as a part of others only. */
  hiddenAt: number;
  /** Four letters, as a number. */
  type: number;
  /** Such as its size, and how it is cropped, in the order in which it has them. */
  properties: Box[];
  extents: Extent[];
  /** Whether it is the alpha of those that it refers to as such. */
  isAlpha: boolean;
}

/**
 * By their ids.
 *
 * @throws {PhotoError} CORRUPT or UNSUPPORTED_FORMAT.
 */
export function itemsOf(heif: Heif, meta: readonly Box[]): Map<number, Item> {
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
    const own = properties.get(id) ?? [];
    items.set(id, {
      id,
      hiddenAt: infe.from + 3,
      type: read(4),
      properties: own,
      extents: places.get(id) ?? [],
      isAlpha: isAlpha(heif.file, own),
    });
  }
  return items;
}

/**
 * The id of the item that is shown, and where it is told in so many bytes.
 *
 * @throws {PhotoError} CORRUPT or UNSUPPORTED_FORMAT.
 */
export function primaryOf(
  heif: Heif,
  meta: readonly Box[],
): { id: number; from: number; size: number } | undefined {
  const pitm = onlyOne(meta, "pitm");
  if (!pitm) return undefined;
  const { version, read } = versioned(heif, pitm);
  const size = version === 0 ? 2 : 4;
  return { id: read(size), from: pitm.from + 4, size };
}

/**
 * Depth and gain maps are told of in the same way.
 *
 * @throws {PhotoError} UNSUPPORTED_FORMAT.
 */
function isAlpha(file: Buffer, properties: readonly Box[]): boolean {
  const auxC = onlyOne(properties, "auxC");
  if (!auxC) return false;
  const end = Math.min(auxC.to, auxC.from + MOST_NAMED);
  const name = file.toString("latin1", auxC.from + 4, end).split("\0", 1)[0]!;
  if (name === AVC_ALPHA) throw unsupported("a photo without the alpha of AVC, which browsers leave out");
  return ALPHAS.has(name);
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

/** How items refer to one another. */
export interface References {
  /** What they are made of. */
  parts: Map<number, number[]>;
  alphas: Map<number, number[]>;
  /** Those that are a preview of another, or something beside it, such as alpha. */
  attached: Set<number>;
}

/**
 * @throws {PhotoError} CORRUPT or UNSUPPORTED_FORMAT.
 */
export function referencesOf(heif: Heif, meta: readonly Box[], items: ReadonlyMap<number, Item>): References {
  const parts = new Map<number, number[]>();
  const alphas = new Map<number, number[]>();
  const attached = new Set<number>();
  const iref = onlyOne(meta, "iref");
  if (!iref) return { parts, alphas, attached };
  const idSize = versioned(heif, iref).version === 0 ? 2 : 4;
  for (const box of boxesIn(heif, iref)) {
    if (box.type === "prem")
      throw unsupported(
        "a photo that is not multiplied by its alpha, which browsers undo and the decoder does not: save it without alpha",
      );
    const read = reader(heif.file, box);
    const id = read(idSize);
    const count = read(2);
    heif.spend(count);
    if (box.type === "thmb" || box.type === "auxl") attached.add(id);
    for (let n = 0; n < count; n++) {
      const other = read(idSize);
      if (box.type === "dimg") listOf(parts, id).push(other);
      if (box.type === "auxl" && items.get(id)?.isAlpha) listOf(alphas, other).push(id);
    }
  }
  return { parts, alphas, attached };
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
export function versioned(
  { file }: Heif,
  box: Extent,
): { version: number; flags: number; read: (bytes: number) => number } {
  const read = reader(file, box);
  return { version: read(1), flags: read(3), read };
}

const ALPHAS = new Set(["urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", "urn:mpeg:hevc:2015:auxid:1"]);
const AVC_ALPHA = "urn:mpeg:avc:2015:auxid:1";
/** Bytes, more than any of them has; but a box may be as large as the file, and that of any number of items. */
const MOST_NAMED = 64;
