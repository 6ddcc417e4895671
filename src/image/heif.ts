import { PhotoError } from "../errors.ts";
import { type Box, boxesOf, type Extent, type Heif, onlyOne, reader, unsupported } from "./boxes.ts";
import { type Item, itemsOf, primaryOf, referencesOf } from "./items.ts";

/** Whose pictures are of AV1 and of HEVC. */
export type HeifFormat = "avif" | "heic";

/** What is decoded to show the primary item: itself, its alpha, and what either is made of, such as tiles with an alpha each. */
export interface Shown {
  item: Item;
  as: "primary" | "alpha" | "tile" | "alpha of a tile";
  /** How often it is decoded. */
  times: number;
}

/** One of the pictures of a file, and how many times it is decoded. */
export interface Picture {
  /** What its av1C tells that decoders may be given too, or all that its hvcC tells; then the data of the item. */
  coded: Buffer;
  /** Where in it the data of the item begins. */
  dataFrom: number;
  times: number;
}

/**
 * What is decoded to show what a meta tells of. Other items are not seen, such as previews. What is shown is stored as a picture, or as
 * a grid of such: whatever else one item can be made of others by may be large at no cost in bytes, and be nested.
 *
 * @throws {PhotoError} CORRUPT or UNSUPPORTED_FORMAT.
 */
export function shownIn(heif: Heif, meta: readonly Box[], format: HeifFormat): Shown[] {
  const items = itemsOf(heif, meta);
  const { parts, alphas, attached } = referencesOf(heif, meta, items);
  const primary = primaryOf(heif, meta)?.id;
  if (primary === undefined) return [];
  // iPhones write both, with a base that is what others show
  if (format === "avif") {
    if ([...items.values()].some(({ type }) => type === TMAP))
      throw unsupported(
        "an avif without a gain map, by which browsers show another picture: save it without",
      );
    const grpl = onlyOne(meta, "grpl");
    if (grpl && [...boxesOf(heif, grpl)].some(({ type }) => type === "altr"))
      throw unsupported("an avif without alternatives, of which browsers may show another: save it without");
  }
  const shown = new Map<string, Shown>();
  const show = (id: number, as: Shown["as"], types: readonly number[]): void => {
    const item = items.get(id);
    if (!item || !types.includes(item.type))
      throw unsupported("a photo of one picture, or of one grid of pictures, got one made in another way");
    shown.set(`${as} ${id}`, { item, as, times: (shown.get(`${as} ${id}`)?.times ?? 0) + 1 });
  };
  const alphasOf = (ids: readonly number[]): number[] => {
    const found = ids.flatMap((id) => alphas.get(id) ?? []);
    if (ids.some((id) => (alphas.get(id)?.length ?? 0) > 1) || found.some((id) => alphas.has(id)))
      throw unsupported("a photo of one alpha, as readers differ in which of several counts");
    return found;
  };
  const beside = alphasOf([primary]);
  const picture = PICTURES[format];
  show(primary, "primary", [picture, GRID]);
  for (const alpha of beside) show(alpha, "alpha", [picture, GRID]);
  const tilesOf = (id: number): number[] => (items.get(id)?.type === GRID ? (parts.get(id) ?? []) : []);
  const [profile, ...others] = tilesOf(primary).map((id) => profileOf(heif, items.get(id)));
  if (others.some((other) => !isSame(other, profile)) && !profileOf(heif, items.get(primary)))
    throw unsupported("tiles of one colour profile, as readers differ in which of several counts");
  const tiles = [primary, ...beside].flatMap(tilesOf);
  if ([primary, ...tiles].some((id) => attached.has(id)))
    throw unsupported("a photo that is no preview or alpha of another, which decoders may show in its place");
  const alphasOfTiles = alphasOf(tiles);
  if (alphasOfTiles.length > 0 && tiles.some((id) => !alphas.has(id)))
    throw unsupported("tiles that all have alpha or none, as browsers leave out that of some");
  for (const tile of tiles) show(tile, "tile", [picture]);
  for (const alpha of alphasOfTiles) show(alpha, "alpha of a tile", [picture]);
  return [...shown.values()];
}

/**
 * The pictures among what is shown. Those that are alike may be stored once, and come once.
 *
 * @throws {PhotoError} UNSUPPORTED_FORMAT.
 */
export function* picturesOf({ file }: Heif, shown: readonly Shown[], format: HeifFormat): Generator<Picture> {
  const stored = new Map<string, { config: Extent; extents: Extent[]; times: number }>();
  for (const { item, times } of shown) {
    if (item.type !== PICTURES[format]) continue;
    const { type, head } = CONFIGS[format];
    const told = onlyOne(item.properties, type);
    const config = told ? { from: Math.min(told.from + head, told.to), to: told.to } : { from: 0, to: 0 };
    const place = [config, ...item.extents].map(({ from, to }) => `${from}-${to}`).join();
    stored.set(place, { config, extents: item.extents, times: times + (stored.get(place)?.times ?? 0) });
  }
  // tiles may share a config, which can be larger than a tile
  let left = 2 * file.length + MOST_SHARED;
  for (const { config, extents, times } of stored.values()) {
    const parts = [config, ...extents].map(({ from, to }) => file.subarray(from, to));
    left -= parts.reduce((sum, part) => sum + part.length, 0);
    // or a small file could tell of any number of large ones
    if (left < 0) throw unsupported("pictures that share no bytes, unless they share all");
    yield { coded: Buffer.concat(parts), dataFrom: parts[0]!.length, times };
  }
}

/** Pixels of the largest picture and of all, as far as what is stored says its size. */
export function statedPixels({ file }: Heif, shown: readonly Shown[]): { largest: number; all: number } {
  const stated = { largest: 0, all: 0 };
  for (const { item, times } of shown) {
    // it has no pixels but those of its tiles
    if (item.type === GRID) continue;
    for (const ispe of item.properties.filter(({ type }) => type === "ispe")) {
      const { width, height } = sizeOf(file, ispe);
      stated.largest = Math.max(stated.largest, width * height);
      stated.all += width * height * times;
    }
  }
  return stated;
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

/** Its colour profile, if it has one. */
function profileOf({ file }: Heif, item: Item | undefined): Buffer | undefined {
  const box = item?.properties.find(
    ({ type, from }) => type === "colr" && PROFILES.has(file.toString("latin1", from, from + 4)),
  );
  return box && file.subarray(box.from, box.to);
}

function isSame(one: Buffer | undefined, other: Buffer | undefined): boolean {
  return one && other ? one.equals(other) : one === other;
}

interface Size {
  width: number;
  height: number;
}

function sizeOf(file: Buffer, ispe: Extent): Size {
  const read = reader(file, ispe);
  read(4);
  const [width, height] = [read(4), read(4)];
  // of 2,147,483,647 GLib complains on stderr, where whoever reads the log finds no photo that it is about
  if (Math.max(width, height) > MOST_EDGE)
    throw new PhotoError("CORRUPT", `it says that it is of ${width} x ${height} pixels`);
  return { width, height };
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

/** Types of items: av01, hvc1, grid and tmap. */
const PICTURES = { avif: 0x61763031, heic: 0x68766331 };
/** What decoders are told of a picture beside it, and how many bytes of it are none of theirs. */
const CONFIGS = { avif: { type: "av1C", head: 4 }, heic: { type: "hvcC", head: 0 } };
export const GRID = 0x67726964;
const TMAP = 0x746d6170;
const PROFILES = new Set(["prof", "rICC"]);
const CHANGES = new Set(["clap", "irot", "imir"]);
/** Pixels: of 256 tiles, each of which may be as long as a picture of AV1, and of HEVC, can be. */
const MOST_EDGE = 256 * 65_536;
/** Bytes: of two hundred tiles that share 4 kB. */
const MOST_SHARED = 1_000_000;
/** Bytes, of a clap; but a box may be as large as the file, and that of any number of items. */
const MOST_SAID = 32;
