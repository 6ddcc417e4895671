import { readFileSync } from "node:fs";
import { join } from "node:path";
import { boxesIn, boxesOf, openHeif } from "../src/image/boxes.ts";
import { packageRoot } from "../src/package-root.ts";

/** What a file stores: four letters, its bytes, and the boxes of its properties. All text here is bytes, as latin1 has them. */
export interface Item {
  type: string;
  data: string;
  properties: string[];
}

export const u16 = (...values: number[]): string =>
  values.map((value) => String.fromCharCode((value >> 8) & 255, value & 255)).join("");
export const u32 = (...values: number[]): string =>
  values.map((value) => u16(value >>> 16, value & 0xffff)).join("");

export function box(type: string, ...content: string[]): string {
  const held = content.join("");
  return u32(8 + held.length) + type + held;
}

export const size = (width: number, height: number): string => box("ispe", u32(0, width, height));
/** The middle of what is left lies so far from that of all, in halves of a pixel. */
export const crop = (width: number, height: number, right: number, down: number): string =>
  box("clap", u32(width, 1, height, 1, right, 2, down, 2));
/** By so many quarters to the left. */
export const turn = (quarters: number): string => box("irot", String.fromCharCode(quarters));
/** 0: top and bottom change places, 1: left and right. */
export const mirror = (axis: number): string => box("imir", String.fromCharCode(axis));

/** What an item is to those that it refers to as `auxl`. */
export const auxiliary = (urn: string): string => box("auxC", u32(0), urn, "\0");
export const ALPHA = auxiliary("urn:mpeg:mpegB:cicp:systems:auxiliary:alpha");
/** Whose units, such as its sequence header, a decoder gets before those of the item. */
export const config = (units: string): string => box("av1C", u32(0x81000c00), units);

/** A way in which one item is told of by another, both numbered from 1: `dimg` to its tiles, `auxl` from alpha, `thmb` from a preview. */
export const refers = (type: string, from: number, ...to: number[]): string =>
  box(type, u16(from, to.length, ...to));
/** Tiles of the whole that is shown of them. */
export const grid = (rows: number, columns: number, width: number, height: number): Item => ({
  type: "grid",
  data: `\0\0${String.fromCharCode(rows - 1, columns - 1)}${u16(width, height)}`,
  properties: [size(width, height)],
});

/** A file whose meta holds these boxes. */
export const fileOf = (brand: string, ...boxes: string[]): string =>
  box("ftyp", brand, u32(0), "mif1") + box("meta", u32(0), ...boxes);

/** A file of these items, the first of which is shown; of those that are alike the bytes are there once. */
export function heif(items: readonly Item[], ...references: string[]): string {
  const stored = [...new Set(items.map(({ data }) => data))];
  const properties = [...new Set(items.flatMap((item) => item.properties))];
  const infos = items.map(({ type }, n) => box("infe", "\x02\0\0\0", u16(n + 1, 0), type, "\0"));
  const places = items.map(({ data }, n) => {
    const offset = stored.slice(0, stored.indexOf(data)).join("").length;
    return u16(n + 1, 1, 0, 1) + u32(offset, data.length);
  });
  const owned = items.map((item, n) => {
    // which a reader has to know, where they change the picture
    const told = item.properties.map((own) => {
      const needed = /^....(av1C|hvcC|clap|irot|imir)/s.test(own) ? 128 : 0;
      return String.fromCharCode(needed + properties.indexOf(own) + 1);
    });
    return u16(n + 1) + String.fromCharCode(told.length) + told.join("");
  });
  const brand = items.some(({ type }) => type === "hvc1") ? "heic" : "avif";
  return fileOf(
    brand,
    box("hdlr", u32(0, 0), "pict", u32(0, 0, 0), "\0"),
    box("pitm", u32(0), u16(1)),
    box("iloc", "\x01\0\0\0\x44\0", u16(items.length), ...places),
    box("iinf", u32(0), u16(items.length), ...infos),
    references.length > 0 ? box("iref", u32(0), ...references) : "",
    box("idat", ...stored),
    box("iprp", box("ipco", ...properties), box("ipma", u32(0, items.length), ...owned)),
  );
}

/** What `heif` gives, with more in its meta. */
export function withBoxes(file: string, ...boxes: string[]): string {
  const meta = file.indexOf("meta");
  return file.slice(0, meta - 4) + box("meta", file.slice(meta + 4), ...boxes);
}

/** Of which a reader is to show the first that it knows. */
export const alternatives = (...ids: number[]): string =>
  box("grpl", box("altr", u32(0, 100, ids.length, ...ids)));

/** The item of a file that has no other. */
export function itemOf(bytes: Buffer): Item {
  const file = openHeif(bytes);
  const outer = [...boxesOf(file, { from: 0, to: bytes.length })];
  const of = (boxes: typeof outer, type: string) => boxes.find((each) => each.type === type)!;
  const text = ({ from, to }: { from: number; to: number }): string => bytes.toString("latin1", from, to);
  const properties = [
    ...boxesOf(file, of([...boxesOf(file, of(boxesIn(file, of(outer, "meta")), "iprp"))], "ipco")),
  ];
  return {
    type: properties.some(({ type }) => type === "hvcC") ? "hvc1" : "av01",
    data: text(of(outer, "mdat")),
    properties: properties.map((property) => box(property.type, text(property))),
  };
}

/** One of those in `test/photos`. */
export function heicOf(file: string): Buffer {
  return readFileSync(join(packageRoot(), "test/photos", file));
}
