import { describe, expect, test } from "vitest";
import { pixelsOfHeif } from "../../src/image/heif-pixels.ts";
import { sniff } from "../../src/image/sniff.ts";
import {
  ALPHA,
  alternatives,
  auxiliary,
  box,
  config,
  crop,
  fileOf,
  grid,
  heif,
  type Item,
  mirror,
  refers,
  size,
  turn,
  u32,
  withBoxes,
} from "../heif.ts";
import { damaged, pngChunk, pngChunkOf, pngHead } from "../png.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");

test.each([
  ["jpeg", "\xff\xd8\xff\xe0\0\x10JFIF"],
  ["png", "\x89PNG\r\n\x1a\n\0\0\0\rIHDR"],
  ["gif", "GIF89a\x01\0"],
  ["webp", "RIFF\0\0\0\0WEBPVP8 "],
  ["avif", "\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf"],
  ["avif", "\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf"],
  ["heic", "\0\0\0\x18ftypheic\0\0\0\0mif1heic"],
  ["heic", "\0\0\0\x18ftypmif1\0\0\0\0mif1heic"],
  ["avif", "\0\0\0\x14ftypavif\0\0\0\0mif1\0\0\0\x10metamoovmoov\0\0\0\0mdat"],
])("knows %s by its first bytes", (format, head) => {
  expect(sniff(bytes(head))).toBe(format);
});

/** A PNG of a bit depth and a colour type, up to its first pixels. */
const png = (depth: number, colour: number, ...chunks: string[]): string =>
  pngHead(depth, colour, 1).toString("latin1") + chunks.join("");
const chunk = (type: string, ...data: number[]): string => pngChunk(type, data).toString("latin1");
const gamma = (times100000: number): string => pngChunkOf("gAMA", times100000).toString("latin1");
const cicp = (primaries: number, transfer: number): string => chunk("cICP", primaries, transfer, 0, 1);
const primaries = (...times100000: number[]): string => pngChunkOf("cHRM", ...times100000).toString("latin1");
const SRGB = [31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000];
const P3 = [31_270, 32_900, 68_000, 32_000, 26_500, 69_000, 15_000, 6_000];
const ADOBE = [31_270, 32_900, 64_000, 33_000, 21_000, 71_000, 15_000, 6_000];
const BT2020 = [31_270, 32_900, 70_800, 29_200, 17_000, 79_700, 13_100, 4_600];
/** As far from sRGB as screens are, and farther. */
const near = SRGB.with(4, 32_000);
const far = SRGB.with(5, 57_000);
const SWAPPED = [31_270, 32_900, 15_000, 6_000, 64_000, 33_000, 30_000, 60_000];
const YELLOW_LIGHT = [44_760, 40_740, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000];
/** Two colours. */
const palette = chunk("PLTE", 0, 0, 0, 255, 255, 255);
const wrong = (intact: string): string => damaged(Buffer.from(intact, "latin1")).toString("latin1");
const nclx = (primaries: number, transfer: number): string =>
  `\0\0\0\x14ftypavif\0\0\0\0mif1\0\0\0\x1bmeta\0\0\0\x13colrnclx\0${String.fromCharCode(primaries)}\0${String.fromCharCode(transfer)}\0\x01\x80`;

test.each([
  ["of the gamma of sRGB", png(8, 2, gamma(45_455), chunk("IDAT"))],
  ["of the gamma of old screens", png(8, 2, gamma(55_556), chunk("IDAT"))],
  ["of 16 bits and colours, with a profile", png(16, 6, chunk("iCCP"), chunk("IDAT"))],
  ["of the transfer of a screen", png(16, 2, cicp(12, 13), chunk("IDAT"))],
  ["of 8 bits and grey, with a profile", png(8, 0, chunk("iCCP"), chunk("IDAT"))],
  ["of the colours of sRGB", png(8, 2, primaries(...SRGB), chunk("IDAT"))],
  ["of the colours of Display P3", png(8, 2, gamma(45_455), primaries(...P3), chunk("IDAT"))],
  ["of the colours of Adobe RGB", png(8, 2, primaries(...ADOBE), chunk("IDAT"))],
  ["of the colours of BT.2020", png(8, 2, primaries(...BT2020), chunk("IDAT"))],
  ["of colours near sRGB", png(8, 2, primaries(...near), chunk("IDAT"))],
  ["of few colours, some of them clear", png(8, 3, palette, chunk("tRNS", 0, 128), chunk("IDAT"))],
  ["of which one grey is clear", png(2, 0, chunk("tRNS", 0, 3), chunk("IDAT"))],
  ["of which one colour is clear", png(8, 2, chunk("tRNS", 0, 1, 0, 2, 0, 255), chunk("IDAT"))],
  ["with alpha and what says it again", png(8, 6, chunk("tRNS", 0), chunk("IDAT"))],
  ["that is damaged behind its first pixels", png(8, 2, wrong(chunk("IDAT")), wrong(chunk("tEXt")))],
  ["that says what moves after its first pixels", png(8, 2, chunk("IDAT"), chunk("acTL"))],
  [
    "whose colours are too short to say any",
    png(8, 2, chunk("gAMA", 0), chunk("cHRM", 0), chunk("cICP", 10)),
  ],
  ["that is cut off in a chunk before its pixels", png(8, 2, chunk("tEXt", 65, 66).slice(0, -2))],
  ["that is none", "\x89PNG\r\n\x1a\n\0\0\0\0iCCP"],
])("judges a png %s", (_what, head) => {
  expect(sniff(bytes(head))).toBe("png");
});

test.each([
  ["EMPTY", "no bytes", ""],
  ["UNSUPPORTED_FORMAT", "text", "just words"],
  ["UNSUPPORTED_FORMAT", "HTML", "\n<!DOCTYPE html><html>"],
  ["UNSUPPORTED_FORMAT", "SVG", "<?xml version='1.0'?><svg xmlns='x'/>"],
  ["UNSUPPORTED_FORMAT", "a PDF", "%PDF-1.7"],
  ["UNSUPPORTED_FORMAT", "a video", "\0\0\0\x18ftypisom\0\0\x02\0isomiso2"],
  ["UNSUPPORTED_FORMAT", "a video", "\x1a\x45\xdf\xa3\x01"],
  ["UNSUPPORTED_FORMAT", "camera raw", "\0\0\0\x18ftypcrx \0\0\0\x01crx isom"],
  ["UNSUPPORTED_FORMAT", "TIFF or camera raw", "II*\0\x08\0\0\0"],
  ["UNSUPPORTED_FORMAT", "gzip: is the object stored with Content-Encoding?", "\x1f\x8b\x08\0"],
  ["UNSUPPORTED_FORMAT", "JPEG 2000", "\0\0\0\x0cjP  \r\n\x87\n"],
  ["UNSUPPORTED_FORMAT", "PSD", "8BPS\0\x01"],
  ["UNSUPPORTED_FORMAT", "ICO", "\0\0\x01\0\x01\0"],
  ["UNSUPPORTED_FORMAT", "unknown bytes", "\x01\x02\x03"],
  ["UNSUPPORTED_FORMAT", "text", "\xff\xd8"],
  ["UNSUPPORTED_FORMAT", "a video", "\0\0\0\x01ftyp"],
  ["UNSUPPORTED_FORMAT", "an animation", "\0\0\0\x14ftypavis\0\0\0\0avis\0\0\0\x08meta\0\0\0\x08moov"],
  ["UNSUPPORTED_FORMAT", "an animation", "\0\0\0\x14ftyphevc\0\0\0\0msf1\0\0\0\x08moov"],
  ["UNSUPPORTED_FORMAT", "an animation", png(8, 2, chunk("acTL"))],
  ["UNSUPPORTED_FORMAT", "png of one EXIF", png(8, 2, chunk("eXIf"), chunk("eXIf"))],
  ["UNSUPPORTED_FORMAT", "got 0.03788, which", png(16, 2, gamma(3_788), chunk("IDAT"))],
  ["UNSUPPORTED_FORMAT", "got 0.03788, which", png(16, 2, gamma(3_788), chunk("sRGB"), chunk("IDAT"))],
  ["UNSUPPORTED_FORMAT", "got 1, which", png(8, 2, gamma(45_455), gamma(100_000), chunk("IDAT"))],
  [
    "UNSUPPORTED_FORMAT",
    "png of the brightness of sRGB, got transfer 8",
    png(16, 2, cicp(1, 8), chunk("IDAT")),
  ],
  ["UNSUPPORTED_FORMAT", "avif of the brightness of sRGB, got transfer 8", nclx(1, 8)],
  ["UNSUPPORTED_FORMAT", "png of the colours of a screen, got primaries 10", png(16, 2, cicp(10, 13))],
  ["UNSUPPORTED_FORMAT", "avif of the colours of a screen, got primaries 10", nclx(10, 13)],
  ["UNSUPPORTED_FORMAT", "got primaries of 0.3127 0.329 0.15 0.06", png(8, 2, primaries(...SWAPPED))],
  ["UNSUPPORTED_FORMAT", "got primaries of 0.3127", png(8, 2, chunk("sRGB", 0), primaries(...SWAPPED))],
  ["UNSUPPORTED_FORMAT", "got primaries of 0.4476", png(8, 2, primaries(...YELLOW_LIGHT))],
  ["UNSUPPORTED_FORMAT", "got primaries of 0.3127", png(8, 2, primaries(...far))],
  ["UNSUPPORTED_FORMAT", "transparency (tRNS)", png(8, 3, palette, chunk("tRNS", 0, 0, 0))],
  ["UNSUPPORTED_FORMAT", "transparency (tRNS)", png(1, 3, palette.repeat(2), chunk("tRNS", 0, 0, 0))],
  ["UNSUPPORTED_FORMAT", "transparency (tRNS)", png(8, 3, chunk("tRNS", 0), palette)],
  ["UNSUPPORTED_FORMAT", "transparency (tRNS)", png(8, 0, chunk("tRNS", 0, 0, 0, 0))],
  ["UNSUPPORTED_FORMAT", "transparency (tRNS)", png(2, 0, chunk("tRNS", 0, 4))],
  ["UNSUPPORTED_FORMAT", "transparency (tRNS)", png(8, 2, chunk("tRNS", 0, 0, 0, 0, 0, 0, 0))],
  ["CORRUPT", "not what its checksum says", png(8, 3, palette, wrong(chunk("tRNS", 0)))],
  ["CORRUPT", "not what its checksum says", png(8, 2, wrong(chunk("tEXt", 65)), chunk("IDAT"))],
  ["UNSUPPORTED_FORMAT", "at most 10000 chunks", png(8, 2, chunk("tEXt").repeat(10_001))],
  ["UNSUPPORTED_FORMAT", "one colour profile", png(8, 2, chunk("iCCP").repeat(2))],
  ["UNSUPPORTED_FORMAT", "without a colour profile", png(16, 0, chunk("iCCP"), chunk("IDAT"))],
  ["UNSUPPORTED_FORMAT", "without a colour profile", png(16, 4, chunk("iCCP"), chunk("IDAT"))],
])("refuses as %s, saying %s", (code, message, head) => {
  expect(() => sniff(bytes(head))).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining(message) }),
  );
});

test("says of the first bytes of a png what stands in them, but not whether they are damaged", () => {
  const first = (head: string): string => sniff(bytes(head.slice(0, 64)), false);
  expect(first(png(8, 2, wrong(chunk("gAMA", 0, 0, 177, 143)), gamma(3_788)))).toBe("png");
  expect(first(png(8, 2, chunk("tEXt", ...Array<number>(99).fill(65)), gamma(3_788)))).toBe("png");
  expect(() => first(png(8, 2, gamma(3_788)))).toThrow("got 0.03788");
});

test.each([1, 2, 13, 16])("judges an avif of transfer %s, as cameras write", (transfer) => {
  expect(sniff(bytes(nclx(1, transfer)))).toBe("avif");
});

/** A picture of AV1. */
const av1 = (data: string, ...properties: string[]): Item => ({ type: "av01", data, properties });
/** Of one picture. */
const avif = (data: string, ...properties: string[]): string => heif([av1(data, ...properties)]);
/** Of tiles in one row, and what beside them. */
const tiled = (tiles: Item[], changes: string[] = []): string => {
  const whole = grid(1, tiles.length, 64, 64);
  const ids = tiles.map((_, n) => n + 2);
  return heif(
    [{ ...whole, properties: [...whole.properties, ...changes] }, ...tiles],
    refers("dimg", 1, ...ids),
  );
};
const hex = (digits: string): string => Buffer.from(digits, "hex").toString("latin1");
/** Units of AV1: sequence headers as libaom writes them, and frames without anything in them. */
const HEADER = hex("0a0a196a603d5cd1010d0684");
const STILL_HEADER = hex("0a093821e5990d2021a0d2");
const LINEAR_HEADER = hex("0a0a396a603d5cd202100d20");
const FILM_HEADER = hex("0a0a396a603d5cd2141a0d20");
const FRAME = hex("3200");
const LONG_FRAME = hex("327f") + "\0".repeat(127);
const FRAME_IN_PARTS = hex("1a0022002200");
/** Of two layers, which its header tells of, and frames of them: browsers show the first or the last. */
const LAYERED_HEADER = hex("0a080003012800000000");
const [LAYER_0, LAYER_1] = [hex("360000"), hex("360800")];
const PICTURE = HEADER + FRAME;
const DEPTH = auxiliary("urn:mpeg:mpegB:cicp:systems:auxiliary:depth");
/** Colours in one of the ways in which they are told. */
const profile = (told: string): string => box("colr", told, u32(0, 0));
const TO_THE_RIGHT = crop(100, 64, -1, 0);
const INSIDE = crop(100, 64, 1, 0);

test.each([
  ["of a frame", avif(PICTURE)],
  ["of a still's header", avif(STILL_HEADER + FRAME)],
  ["of a frame in parts", avif(HEADER + FRAME_IN_PARTS)],
  ["of tiles", tiled([av1(PICTURE, size(64, 64)), av1(PICTURE, size(64, 64))])],
  ["that is cropped to the right", avif(PICTURE, size(101, 64), TO_THE_RIGHT)],
  ["that is cropped, turned and mirrored", avif(PICTURE, size(101, 64), TO_THE_RIGHT, turn(1), mirror(0))],
  ["of tiles that are turned as a whole", tiled([av1(PICTURE)], [turn(1)])],
  ["of tiles that are alike", tiled(Array<Item>(9).fill(av1(HEADER + LONG_FRAME, size(64, 64))))],
  ["of tiles that share a profile", tiled([av1(PICTURE, profile("prof")), av1(PICTURE, profile("prof"))])],
  [
    "of tiles with profiles that the whole has one for",
    tiled([av1(PICTURE, profile("prof")), av1(PICTURE)], [profile("rICC")]),
  ],
  ["that tells of its header beside it", avif(PICTURE, config(HEADER))],
  [
    "with a depth of which nothing is seen",
    heif(
      [av1(PICTURE), av1(PICTURE + FRAME, turn(1), DEPTH), av1(PICTURE, DEPTH)],
      refers("auxl", 2, 1),
      refers("auxl", 3, 1),
    ),
  ],
  ["whose header is cut off", avif(STILL_HEADER.slice(0, -2))],
  [
    "that is cropped, with a preview of another size",
    heif([av1(PICTURE, size(101, 64), TO_THE_RIGHT), av1(PICTURE, size(50, 32))], refers("thmb", 2, 1)),
  ],
  [
    "with a preview of which nothing is seen",
    heif([av1(PICTURE), av1(PICTURE + FRAME, size(50, 32), INSIDE, turn(2))], refers("thmb", 2, 1)),
  ],
  [
    "that is turned with its alpha",
    heif([av1(PICTURE, turn(1)), av1(PICTURE, turn(1), ALPHA)], refers("auxl", 2, 1)),
  ],
])("judges an avif %s", (_what, head) => {
  expect(sniff(bytes(head))).toBe("avif");
});

test.each([
  ["several frames", avif(PICTURE + FRAME)],
  ["several frames", avif(HEADER + FRAME_IN_PARTS + FRAME)],
  ["several frames", tiled([av1(PICTURE), av1(PICTURE + PICTURE)])],
  ["several frames", heif([av1(PICTURE), av1(PICTURE + FRAME, ALPHA)], refers("auxl", 2, 1))],
  ["several frames", avif(LAYERED_HEADER + LAYER_0 + LAYER_1)],
  ["got transfer 8", avif(LINEAR_HEADER + FRAME)],
  ["got primaries 10", avif(FILM_HEADER + FRAME)],
  ["cropped from its upper left corner", avif(PICTURE, size(101, 64), INSIDE)],
  ["cropped from its upper left corner", avif(PICTURE, size(64, 101), crop(64, 100, 0, 1))],
  ["cropped from its upper left corner", avif(PICTURE, size(200, 64), TO_THE_RIGHT)],
  ["once each, in this order", avif(PICTURE, mirror(0), turn(1))],
  ["once each, in this order", avif(PICTURE, turn(1), turn(1))],
  ["once each, in this order", avif(PICTURE, size(101, 64), turn(1), TO_THE_RIGHT)],
  ["as a whole and with its alpha", tiled([av1(PICTURE, turn(2))], [turn(2)])],
  ["as a whole and with its alpha", tiled([av1(PICTURE, size(101, 64), TO_THE_RIGHT)])],
  ["as a whole and with its alpha", heif([av1(PICTURE, turn(1)), av1(PICTURE, ALPHA)], refers("auxl", 2, 1))],
  [
    "as a whole and with its alpha",
    heif([av1(PICTURE, turn(1)), av1(PICTURE, turn(2), ALPHA)], refers("auxl", 2, 1)),
  ],
  [
    "of one alpha",
    heif(Array<Item>(3).fill(av1(PICTURE, ALPHA)), refers("auxl", 2, 1), refers("auxl", 3, 1)),
  ],
  ["of one alpha", heif([av1(PICTURE, ALPHA)], refers("auxl", 1, 1))],
  ["without the alpha of AVC", heif([av1(PICTURE, auxiliary("urn:mpeg:avc:2015:auxid:1"))])],
  ["of one auxC", heif([av1(PICTURE, auxiliary("depth"), ALPHA)])],
  [
    "multiplied by its alpha",
    heif([av1(PICTURE), av1(PICTURE, ALPHA)], refers("auxl", 2, 1), refers("prem", 1, 2)),
  ],
  [
    "without a gain map",
    heif([av1(PICTURE), av1(PICTURE), { ...av1(""), type: "tmap" }], refers("dimg", 3, 1, 2)),
  ],
  ["without alternatives", withBoxes(avif(PICTURE), alternatives(2, 1))],
  ["no preview or alpha of another", heif([av1(PICTURE), av1(PICTURE)], refers("thmb", 1, 2))],
  ["no preview or alpha of another", heif([av1(PICTURE, ALPHA), av1(PICTURE)], refers("auxl", 1, 2))],
  ["no preview or alpha of another", heif([av1(PICTURE, DEPTH), av1(PICTURE)], refers("auxl", 1, 2))],
  [
    "no preview or alpha of another",
    heif([grid(1, 1, 64, 64), av1(PICTURE)], refers("dimg", 1, 2), refers("thmb", 2, 1)),
  ],
  [
    "tiles that all have alpha or none",
    heif(
      [grid(1, 2, 64, 64), av1(PICTURE), av1(LONG_FRAME), av1(PICTURE, ALPHA)],
      refers("dimg", 1, 2, 3),
      refers("auxl", 4, 3),
    ),
  ],
  ["tiles of one colour profile", tiled([av1(PICTURE), av1(PICTURE, profile("prof"))])],
  ["tiles of one colour profile", tiled([av1(PICTURE, profile("rICC")), av1(PICTURE, profile("prof"))])],
  ["of the colours of HEIF", avif(PICTURE, profile("nclc"))],
  [
    "of one picture, or of one grid",
    heif([{ ...av1(PICTURE), type: "iovl" }, av1(PICTURE)], refers("dimg", 1, 2)),
  ],
  ["of one picture, or of one grid", tiled([{ ...av1(PICTURE), type: "iovl" }])],
  ["of one picture, or of one grid", heif([grid(1, 1, 64, 64)], refers("dimg", 1, 1))],
  ["of one picture, or of one grid", heif([grid(1, 1, 64, 64)], refers("dimg", 1, 9))],
  [
    "of one picture, or of one grid",
    heif(
      [av1(PICTURE), { ...av1(PICTURE, ALPHA), type: "iden" }],
      refers("auxl", 2, 1),
      refers("dimg", 2, 1),
    ),
  ],
  ["several frames", avif(PICTURE, config(PICTURE))],
  ["end where their av1C does", avif(PICTURE, config(hex("7a03")))],
  ["end where their av1C does", avif(PICTURE, config(hex("78")))],
  ["of one av1C", avif(PICTURE, config(""), config(HEADER))],
  ["at most 10000 boxes", avif(PICTURE) + box("free").repeat(10_001)],
  ["at most 10000 boxes", avif(HEADER + hex("1200").repeat(6_000)) + box("free").repeat(6_000)],
  ["at most 10000 boxes", heif([av1(PICTURE)], refers("dimg", 1, ...Array<number>(10_001).fill(1)))],
  ["at most 10000 boxes", fileOf("avif", "colrnclx\0\x01\0\x0d".repeat(10_001))],
  ["of one iloc, got 2", fileOf("avif", box("iloc", u32(0, 0)), box("iloc", u32(0, 0)))],
  ["of one meta", avif(PICTURE) + box("meta", u32(0))],
])("refuses an avif, saying %s", (message, head) => {
  expect(() => sniff(bytes(head))).toThrow(
    expect.objectContaining({ code: "UNSUPPORTED_FORMAT", message: expect.stringContaining(message) }),
  );
});

describe("pixels of an avif", () => {
  const pixelsOf = (file: string) => pixelsOfHeif(bytes(file), "avif");
  const tile = av1(HEADER + LONG_FRAME, size(64, 64));
  const one = pixelsOf(avif(HEADER + LONG_FRAME)).all;

  test("are those of each tile, also of those that are stored once", () => {
    expect(one).toBe(708_984);
    expect(pixelsOf(tiled(Array<Item>(9).fill(tile)))).toEqual({ largest: one, all: 9 * one });
  });

  test("are those of one that is told of once, as often as it is there", () => {
    const file = heif([grid(3, 3, 64, 64), tile], refers("dimg", 1, ...Array<number>(9).fill(2)));
    expect(pixelsOf(file)).toEqual({ largest: one, all: 9 * one });
  });

  test("are those of its alpha too, of each tile or of all, and not those of previews", () => {
    const alpha = av1(HEADER + LONG_FRAME, size(64, 64), ALPHA);
    const alphas = heif(
      [grid(1, 2, 64, 64), tile, tile, alpha, alpha],
      refers("dimg", 1, 2, 3),
      refers("auxl", 4, 2, 3),
      refers("auxl", 5, 1),
    );
    expect(pixelsOf(alphas).all).toBe(5 * one);
    const preview = heif([tile, tile, av1(HEADER + FRAME)], refers("thmb", 2, 1));
    expect(pixelsOf(preview).all).toBe(one);
  });

  test("are those of a header beside it too, for each of several that share the rest", () => {
    expect(pixelsOf(avif(FRAME, config(HEADER))).all).toBe(one);
    const [small, large] = [config(STILL_HEADER), config(HEADER)].map((own) => av1(LONG_FRAME, own));
    expect(pixelsOf(tiled([small!, large!])).largest).toBe(one);
  });
});

/** As iPhones write them. */
describe("a heic of tiles", () => {
  const tile = (...more: string[]): Item => ({
    type: "hvc1",
    data: "",
    properties: [size(512, 512), ...more],
  });
  const gainMap = auxiliary("urn:com:apple:photo:2020:aux:hdrgainmap");
  const depth = auxiliary("urn:mpeg:hevc:2015:auxid:2");
  const photo = (...references: string[]): string =>
    heif(
      [grid(1, 2, 1000, 500), tile(), tile(), tile(gainMap), tile(depth), { ...tile(), type: "tmap" }],
      refers("dimg", 1, 2, 3),
      refers("auxl", 4, 1),
      refers("auxl", 5, 1),
      refers("dimg", 6, 1, 4),
      ...references,
    );

  test("is judged by these, beside whatever else there is of it", () => {
    expect(sniff(bytes(photo()))).toBe("heic");
    expect(pixelsOfHeif(bytes(photo()), "heic")).toEqual({ largest: 512 * 512, all: 2 * 512 * 512 });
  });

  test.each([
    ["of one picture, or of one grid", heif([{ ...tile(), type: "iovl" }, tile()], refers("dimg", 1, 2))],
    [
      "of one picture, or of one grid",
      heif([grid(1, 1, 9, 9), grid(1, 1, 9, 9), tile()], refers("dimg", 1, 2), refers("dimg", 2, 3)),
    ],
    [
      "of one picture, or of one grid",
      heif([grid(1, 1, 9, 9), { ...tile(), type: "av01" }, tile()], refers("dimg", 1, 2)),
    ],
    ["multiplied by its alpha", photo(refers("prem", 1, 4))],
    ["of one meta", photo() + box("meta", u32(0))],
  ])("is refused, saying %s", (message, head) => {
    expect(() => sniff(bytes(head))).toThrow(
      expect.objectContaining({ code: "UNSUPPORTED_FORMAT", message: expect.stringContaining(message) }),
    );
  });
});

test("a photo of a very large meta is refused before it is looked through", () => {
  const photo = bytes(fileOf("heic", box("free", "\0".repeat(16_000_000))));
  expect(() => sniff(photo)).toThrow(
    expect.objectContaining({
      code: "UNSUPPORTED_FORMAT",
      message: expect.stringContaining("meta is of at most 16000000 bytes"),
    }),
  );
});

test("a heic of two hundred tiles of next to nothing, which share what is said of them, is judged", () => {
  const properties = [size(512, 512), box("hvcC", "\x01", "\0".repeat(20), "\xff", "\0".repeat(3_000))];
  const tiles = Array.from({ length: 192 }, (_, n) => ({ type: "hvc1", data: u32(2, n), properties }));
  const parts = tiles.map((_, n) => n + 2);
  const photo = heif([grid(12, 16, 8064, 6048), ...tiles], refers("dimg", 1, ...parts));
  expect(sniff(bytes(photo))).toBe("heic");
});

describe("a heic of units of HEVC", () => {
  const unit = (type: number, told: string): string =>
    u32(2 + told.length) + String.fromCharCode(type << 1, 1) + told;
  const [FIRST, NEXT] = ["\xaf", "\x2f"];
  const [PARAMETERS, MESSAGE, SLICE] = [34, 39, 20];
  /** With an hvcC that says of how many bytes the lengths of its units are. */
  const photo = (data: string, lengths = 4): string =>
    heif([
      {
        type: "hvc1",
        data,
        properties: [
          size(512, 512),
          box("hvcC", "\x01", "\0".repeat(20), String.fromCharCode(0xfc | (lengths - 1)), "\0"),
        ],
      },
    ]);
  const picture = unit(SLICE, FIRST);

  test.each([
    ["one picture", photo(picture)],
    ["one picture in several slices", photo(picture + unit(SLICE, NEXT))],
    ["one picture and what is said of it", photo(unit(MESSAGE, FIRST) + picture)],
  ])("is judged where it is of %s", (_what, head) => {
    expect(sniff(bytes(head))).toBe("heic");
  });

  test.each([
    ["several pictures", photo(picture + picture)],
    ["several pictures, the first of which is whole", photo(picture + unit(SLICE, NEXT) + unit(1, FIRST))],
    ["a picture that tells of itself", photo(unit(PARAMETERS, "\xc1") + picture)],
    ["lengths of two bytes", photo(picture, 2)],
  ])("is refused where it is of %s", (_what, head) => {
    expect(() => sniff(bytes(head))).toThrow(
      expect.objectContaining({
        code: "UNSUPPORTED_FORMAT",
        message: expect.stringContaining("one picture an item"),
      }),
    );
  });
});

test("says that an avif is corrupt which says that it is larger than any can be, and leaves what is too large to who counts", () => {
  expect(() => sniff(bytes(avif(PICTURE, size(2 ** 31 - 1, 100))))).toThrow(
    expect.objectContaining({ code: "CORRUPT", message: "it says that it is of 2147483647 x 100 pixels" }),
  );
  expect(sniff(bytes(avif(PICTURE, size(60_000, 60_000))))).toBe("avif");
});

test.each([
  ["an item", fileOf("avif", box("iinf", u32(0), "\0\0", box("infe")))],
  ["places", fileOf("avif", box("iloc", u32(0, 0x4400ffff)))],
  ["a size", avif(PICTURE, box("ispe"))],
])(
  "says that an avif is corrupt where the box of %s is short, but not of its first bytes",
  (_what, short) => {
    // what follows is not read in its place
    const head = bytes(short + box("free", "\0".repeat(99)));
    expect(() => sniff(head)).toThrow(expect.objectContaining({ code: "CORRUPT" }));
    expect(sniff(head, false)).toBe("avif");
  },
);
