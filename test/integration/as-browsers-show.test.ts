import { deflateSync } from "node:zlib";
import type { Browser, Page } from "playwright-core";
import sharp, { type Sharp } from "sharp";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { shrink } from "../../src/image/shrink.ts";
import { difference, framesOf, heic, limits } from "../decoded.ts";
import { CHROMIUM, launchChromium } from "../desk/chromium.ts";
import { test } from "../fixtures.ts";
import {
  ALPHA,
  alternatives,
  auxiliary,
  box,
  grid,
  heif,
  type Item,
  itemOf,
  refers,
  u32,
  withBoxes,
} from "../heif.ts";
import { iccSegment, jpegSegment, withSegments } from "../jpeg.ts";
import { damaged, pngChunk, pngChunkOf, pngOf } from "../png.ts";
import { riff, webp } from "../webp.ts";

type Bytes = Buffer | Promise<Buffer>;
type Case = [what: string, bytes: () => Bytes];

const { side } = limits;
const RED = [200, 110, 90];
const GREEN = [90, 150, 120];
/** Squares of two colours. */
const board =
  (one: number[], other: number[]) =>
  (x: number, y: number): number[] =>
    ((x >> 3) + (y >> 3)) % 2 ? one : other;
const coloured = (...chunks: Buffer[]): Buffer => pngOf(8, 2, side, board(RED, GREEN), ...chunks);
/** Of colours that other screens make others. */
const vivid = (depth: number, ...chunks: Buffer[]): Buffer => {
  const most = 2 ** depth - 1;
  return pngOf(depth, 2, side, board([most, 0, 0], [0, most, 0]), ...chunks);
};
const grey = (...chunks: Buffer[]): Buffer => pngOf(8, 0, side, board([30], [200]), ...chunks);
const palette = pngChunk("PLTE", [...RED, ...GREEN]);
/** Pixels of the first of two colours, and of another. */
const numbered = (depth: number, other: number, ...chunks: Buffer[]): Buffer =>
  pngOf(depth, 3, side, board([0], [other]), palette, ...chunks);
const tRNS = (...data: number[]): Buffer => pngChunk("tRNS", data);
const gAMA = pngChunkOf("gAMA", 45_455);
const cHRM = (...primaries: number[]): Buffer => pngChunkOf("cHRM", 31_270, 32_900, ...primaries);
const P3 = cHRM(68_000, 32_000, 26_500, 69_000, 15_000, 6_000);
const SWAPPED = cHRM(15_000, 6_000, 64_000, 33_000, 30_000, 60_000);
const cICP = (primaries: number): Buffer => pngChunk("cICP", [primaries, 13, 0, 1]);

const iCCP = (icc: Buffer): Buffer => pngChunk("iCCP", [...Buffer.from("icc\0\0"), ...deflateSync(icc)]);
const profile = async (): Promise<Buffer> =>
  (await sharp(await opaque.clone().withIccProfile("srgb").jpeg().toBuffer()).metadata()).icc!;
/** Longer by a byte, which readers other than browsers refuse. */
const oddly = (icc: Buffer): Buffer => {
  const odd = Buffer.concat([icc, Buffer.alloc(1)]);
  odd.writeUInt32BE(odd.length);
  return odd;
};

const jpeg = (): Promise<Buffer> => opaque.clone().jpeg({ quality: 95 }).toBuffer();
const jpegWith =
  (...segments: Buffer[]) =>
  async (): Promise<Buffer> =>
    withSegments(await jpeg(), ...segments);
const EXIF = "Exif\0\0";
/** Entries of a tag, a type and a number, or a fraction of it, and those of where it goes on. */
type Entries = [tag: number, type: 3 | 4 | 5, value: number][];
const directory = (start: number, entries: Entries): Buffer => {
  const behind = start + 6 + 12 * entries.length;
  const fractions: number[] = [];
  const told = entries.map(([tag, type, value]) => {
    const entry = Buffer.alloc(12);
    for (const [at, number] of [tag, type].entries()) entry.writeUInt16LE(number, 2 * at);
    entry.writeUInt32LE(1, 4);
    entry.writeUInt32LE(type === 5 ? behind + 4 * fractions.length : value, 8);
    if (type === 5) fractions.push(value, 1);
    return entry;
  });
  return Buffer.concat([
    Buffer.from([entries.length, 0]),
    ...told,
    Buffer.alloc(4),
    Buffer.from(Uint32Array.from(fractions).buffer),
  ]);
};
/** What EXIF goes on with stands behind, at 14 and 12 for each entry before it. */
const tiff = (entries: Entries, further?: Entries): Buffer =>
  Buffer.concat([
    Buffer.from("II*\0\x08\0\0\0"),
    directory(8, entries),
    ...(further ? [directory(14 + 12 * entries.length, further)] : []),
  ]);
const exif = (entries: Entries, name = EXIF, further?: Entries): Buffer =>
  jpegSegment(0xe1, Buffer.concat([Buffer.from(name), tiff(entries, further)]));
const TURNED: Entries = [[0x112, 3, 6]];
/** By the decoder alone; it goes on behind. */
const TURNED_HERE: Entries = [
  [0x112, 4, 6],
  [0x8769, 4, 38],
];
/** A size, and densities by which it follows from that of the picture. */
const dense = (across: number, down: number): Entries => [
  [0x11a, 5, across],
  [0x11b, 5, down],
  [0x128, 3, 2],
  [0xa002, 4, Math.round((side * 72) / across)],
  [0xa003, 4, Math.round((side * 72) / down)],
];
/** That exchanges colours, or says by numbers which it is of. */
const exchanged = async (): Promise<Buffer> => {
  const icc = await profile();
  for (let at = 132; at < 132 + 12 * icc.readUInt32BE(128); at += 12) {
    const name = icc.toString("latin1", at, at + 4);
    icc.write({ rXYZ: "gXYZ", gXYZ: "bXYZ", bXYZ: "rXYZ" }[name] ?? name, at, "latin1");
  }
  return icc;
};
const numberedProfile = async (primaries: number, transfer: number): Promise<Buffer> => {
  const icc = await profile();
  const described = icc.indexOf("cprt");
  icc.write("cicp", described);
  Buffer.from(
    [..."cicp\0\0\0\0"].map((letter) => letter.charCodeAt(0)).concat(primaries, transfer, 0, 1),
  ).copy(icc, icc.readUInt32BE(described + 4));
  return icc;
};
/** In parts, of which all but the last are of two bytes. */
const shredded = (icc: Buffer, parts: number): Buffer[] =>
  Array.from({ length: parts }, (_, n) =>
    iccSegment(icc.subarray(2 * n, n === parts - 1 ? icc.length : 2 * n + 2), n + 1, parts),
  );
const jpegOf =
  (icc: () => Promise<Buffer>, parts = (told: Buffer) => [iccSegment(told)]) =>
  async (): Promise<Buffer> =>
    withSegments(await jpeg(), ...parts(await icc()));

const picture = (alpha: (x: number) => number): Sharp => {
  const at = board(RED, GREEN);
  const pixels = Array.from({ length: side * side }, (_, n) => [...at(n % side, n / side), alpha(n % side)]);
  return sharp(Buffer.from(pixels.flat()), { raw: { width: side, height: side, channels: 4 } });
};
const opaque = picture(() => 255).removeAlpha();
/** Clear at its right, where there are colours all the same. */
const half = picture((x) => (x < side / 2 ? 255 : 0));
const veiled = picture(() => 100);
const lossless = { lossless: true, exact: true };
const withHead = (photo: Sharp): Sharp => photo.clone().withExif({ IFD0: { Artist: "me" } });
const animated = async (...frames: Sharp[]): Promise<Sharp> =>
  sharp(await Promise.all(frames.map((frame) => frame.clone().png().toBuffer())), {
    join: { animated: true },
  });
/** So that chunks of a type no longer say that they can be seen through. */
const hiding = async (type: "VP8X" | "VP8L", bytes: Bytes): Promise<Buffer> => {
  const copy = Buffer.from(await bytes);
  const offset = type === "VP8X" ? 8 : 12;
  for (let at = copy.indexOf(type); at >= 0; at = copy.indexOf(type, at + 1)) copy[at + offset]! &= ~16;
  return copy;
};
/** Of a frame that says it is opaque at the lower right of what it says to be its size. */
const uncovered = async (photo: Sharp): Promise<Buffer> => {
  const quarter = photo.clone().resize(side / 2, side / 2);
  const pixels = await hiding("VP8L", (await quarter.webp(lossless).toBuffer()).subarray(12));
  const [from, inner, outer] = [side / 4, side / 2 - 1, side - 1];
  const placed = [from, 0, 0, from, 0, 0, inner, 0, 0, inner, 0, 0, 100, 0, 0, 0];
  return webp(
    riff("VP8X", [2, 0, 0, 0, outer, 0, 0, outer, 0, 0]),
    riff("ANIM", [0, 0, 0, 0, 0, 0]),
    ...Array<Buffer>(2).fill(riff("ANMF", [...placed, ...pixels])),
  );
};

const av1 = async (photo: Sharp): Promise<Item> =>
  itemOf(await photo.clone().avif({ quality: 90, effort: 0, chromaSubsampling: "4:4:4" }).toBuffer());
const told = (item: Item, property: string): Item => ({
  ...item,
  properties: [...item.properties, property],
});
/** Of a picture and another. */
const avif = async (ofBoth: (picture: Item, other: Item) => string): Promise<Buffer> =>
  Buffer.from(ofBoth(await av1(opaque), await av1(opaque.clone().negate())), "latin1");
const row = grid(1, 2, 2 * side, side);
const DEPTH = auxiliary("urn:mpeg:mpegB:cicp:systems:auxiliary:depth");

const JUDGED: Case[] = [
  ["a jpeg", jpeg],
  ["a jpeg that EXIF turns", jpegWith(exif(TURNED))],
  ["a jpeg with two EXIFs", jpegWith(exif(TURNED), exif([[0x112, 3, 1]]))],
  [
    "a jpeg with three EXIFs, of which the second is of another name",
    jpegWith(exif(TURNED), exif([], "ExifXX"), exif(TURNED)),
  ],
  [
    "a jpeg with a comment that begins as EXIF does, and an EXIF",
    jpegWith(jpegSegment(0xfe, "ExifTool"), exif(TURNED)),
  ],
  [
    "a jpeg with an EXIF behind its pixels, and one of another name before them",
    async () => {
      const named = withSegments(await jpeg(), exif([], "ExifXX"));
      return Buffer.concat([named.subarray(0, -2), exif(TURNED), named.subarray(-2)]);
    },
  ],
  ["a jpeg of an orientation of 32 bits", jpegWith(exif([[0x112, 4, 6]]))],
  [
    "a jpeg of no density down",
    jpegWith(
      exif([
        [0x11a, 5, 72],
        [0x11b, 5, 0],
      ]),
    ),
  ],
  ["a jpeg of half the size", jpegWith(exif(dense(144, 144)))],
  ["a jpeg of a profile", jpegOf(exchanged)],
  [
    "a jpeg of a profile told twice",
    async () => withSegments(await jpeg(), ...Array<Buffer>(2).fill(iccSegment(await exchanged()))),
  ],
  [
    "a jpeg of a profile in as many parts as the decoder takes",
    jpegOf(exchanged, (icc) => shredded(icc, 99)),
  ],
  ["a jpeg of a profile of sRGB by numbers", jpegOf(() => numberedProfile(1, 13))],
  ["a jpeg of ink", () => sharp(vivid(8)).toColourspace("cmyk").jpeg({ quality: 95 }).toBuffer()],
  ["a png of one colour that is clear", () => coloured(tRNS(0, 200, 0, 110, 0, 90))],
  ["a png of one grey that is clear", () => grey(tRNS(0, 30))],
  ["a png that EXIF turns", () => coloured(pngChunk("eXIf", tiff(TURNED)))],
  ["a png of alpha", () => half.clone().png().toBuffer()],
  ["a png of a full palette", () => numbered(1, 1)],
  ["a png of a short palette", () => numbered(8, 1)],
  ["a png of a short palette and few bits", () => numbered(2, 1)],
  ["a png of a palette whose first colour is clear", () => numbered(4, 1, tRNS(0))],
  ["a png of a palette whose colours are half clear", () => numbered(8, 1, tRNS(128, 128))],
  ["a png of a profile", async () => coloured(iCCP(await profile()))],
  ["a png of 16 bits and a profile", async () => vivid(16, iCCP(await profile()))],
  ["a png of a screen's primaries", () => coloured(gAMA, P3)],
  ["a png of a screen's primaries by number", () => coloured(cICP(12))],
  ["a webp", () => opaque.clone().webp({ quality: 100 }).toBuffer()],
  ["a webp with a head", () => withHead(opaque).webp({ quality: 100 }).toBuffer()],
  ["a lossless webp", () => opaque.clone().webp(lossless).toBuffer()],
  ["a lossless webp with a head", () => withHead(opaque).webp(lossless).toBuffer()],
  ["a clear webp", () => half.clone().webp({ quality: 100, exact: true }).toBuffer()],
  ["a clear lossless webp", () => half.clone().webp(lossless).toBuffer()],
  [
    "a clear lossless webp of which the head alone says so",
    () => hiding("VP8L", withHead(half).webp(lossless).toBuffer()),
  ],
  ["an animated webp", async () => (await animated(opaque, half)).webp({ quality: 100 }).toBuffer()],
  ["an animated webp that does not cover all", () => uncovered(opaque)],
  ["an animated lossless webp", async () => (await animated(half, opaque)).webp(lossless).toBuffer()],
  [
    "an avif of 10 bits and a profile",
    () => sharp(vivid(8)).withIccProfile("srgb").avif({ quality: 90, bitdepth: 10 }).toBuffer(),
  ],
  [
    "an avif that EXIF would turn",
    () => opaque.clone().withMetadata({ orientation: 6 }).avif({ quality: 90 }).toBuffer(),
  ],
  ["an avif with a preview", () => avif((one, other) => heif([one, other], refers("thmb", 2, 1)))],
  ["an avif with alpha", () => avif((one, other) => heif([one, told(other, ALPHA)], refers("auxl", 2, 1)))],
  ["an avif of tiles", () => avif((one, other) => heif([row, one, other], refers("dimg", 1, 2, 3)))],
  [
    "an avif of tiles with alpha",
    () =>
      avif((one, other) =>
        heif([row, one, other, told(other, ALPHA)], refers("dimg", 1, 2, 3), refers("auxl", 4, 2, 3)),
      ),
  ],
];

const REFUSED: Case[] = [
  [
    "a jpeg with an EXIF behind one without anything but the beginning of a head",
    jpegWith(jpegSegment(0xe1, `${EXIF}II*\0\x08\0\0`), exif(TURNED)),
  ],
  ["a jpeg with an EXIF behind one of another name", jpegWith(exif([], "ExifXX"), exif(TURNED))],
  ["a jpeg that EXIF turns where it goes on", jpegWith(exif([[0x8769, 4, 26]], EXIF, TURNED))],
  [
    "a jpeg that EXIF turns first where it goes on",
    jpegWith(
      exif(
        [
          [0x8769, 4, 38],
          [0x112, 3, 3],
        ],
        EXIF,
        TURNED,
      ),
    ),
  ],
  [
    "a jpeg of two orientations, of which Chromium takes the first",
    jpegWith(
      exif([
        [0x112, 3, 1],
        [0x112, 3, 6],
      ]),
    ),
  ],
  [
    "a jpeg that Firefox turns where EXIF goes on behind what is upright",
    jpegWith(
      exif(
        [
          [0x112, 3, 1],
          [0x8769, 4, 38],
        ],
        EXIF,
        TURNED,
      ),
    ),
  ],
  [
    "a jpeg that Firefox turns where EXIF goes on by a number of 16 bits",
    jpegWith(exif([[0x8769, 3, 26]], EXIF, TURNED)),
  ],
  [
    "a jpeg that the decoder turns by a number of 32 bits, and Firefox where EXIF goes on",
    async () => {
      const further: Entries = [
        [0x112, 3, 1],
        [0x112, 3, 3],
      ];
      return withSegments(await jpeg(), exif(TURNED_HERE, EXIF, further));
    },
  ],
  [
    "a webp that the decoder turns by a number of 32 bits, and Firefox where EXIF goes on",
    async () => {
      const head = await withHead(opaque).webp(lossless).toBuffer();
      const turned = riff("EXIF", tiff(TURNED_HERE, [[0x112, 3, 3]]));
      return webp(head.subarray(12, head.lastIndexOf("EXIF")), turned);
    },
  ],
  ["a jpeg whose EXIF leads in a circle", jpegWith(exif([[0x8769, 4, 8]]))],
  ["a jpeg that is stretched", jpegWith(exif(dense(72, 64)))],
  [
    "a jpeg of two profiles",
    async () => withSegments(await jpeg(), iccSegment(await exchanged()), iccSegment(await profile())),
  ],
  [
    "a jpeg of a profile in one part more than the decoder takes",
    jpegOf(exchanged, (icc) => shredded(icc, 100)),
  ],
  ["a jpeg of a profile that is linear by numbers", jpegOf(() => numberedProfile(1, 8))],
  ["a jpeg of a profile of XYZ by numbers", jpegOf(() => numberedProfile(10, 13))],
  ["an animated webp that does not cover all and hides that it is clear", () => uncovered(half)],
  [
    "a lossless webp with an alpha besides",
    async () => webp((await veiled.clone().webp(lossless).toBuffer()).subarray(12), riff("ALPH", [0])),
  ],
  ["a png of exchanged primaries", () => coloured(gAMA, SWAPPED)],
  ["a png of primaries of XYZ", () => coloured(cICP(10))],
  ["a png of a profile behind its palette", async () => coloured(palette, iCCP(await profile()))],
  ["a png of a profile of an odd length", async () => coloured(iCCP(oddly(await profile())))],
  [
    "a png with an EXIF behind an empty one",
    () => coloured(pngChunk("eXIf"), pngChunk("eXIf", tiff(TURNED))),
  ],
  [
    "a png that EXIF turns where it goes on",
    () => coloured(pngChunk("eXIf", tiff([[0x8769, 4, 26]], TURNED))),
  ],
  [
    "a png whose EXIF goes on in two places",
    () =>
      coloured(
        pngChunk(
          "eXIf",
          tiff(
            [
              [0x8769, 4, 38],
              [0x8769, 4, 38],
            ],
            TURNED,
          ),
        ),
      ),
  ],
  ["a png of two profiles", async () => coloured(iCCP(await profile()), iCCP(await profile()))],
  ["a png of transparency with a wrong checksum", () => coloured(damaged(tRNS(0, 200, 0, 110, 0, 90)))],
  ["a png of more transparency than colours", () => numbered(8, 1, tRNS(0, 255, 255))],
  ["a png of too much transparency for a grey", () => grey(tRNS(0, 30, 0, 0))],
  ["a png of too much transparency for a colour", () => coloured(tRNS(0, 200, 0, 110, 0, 90, 0))],
  [
    "a png of transparency with more bits than its pixels",
    () => pngOf(2, 0, side, board([1], [3]), tRNS(0, 5)),
  ],
  ["a png of pixels beyond its palette", () => numbered(8, 200)],
  ["a png of pixels beyond its palette, and few bits", () => numbered(2, 3, tRNS(255, 0))],
  [
    "a lossless webp that hides that it is clear",
    () => hiding("VP8L", half.clone().webp(lossless).toBuffer()),
  ],
  ["a lossless webp that hides a veil", () => hiding("VP8L", veiled.clone().webp(lossless).toBuffer())],
  [
    "a lossless webp whose head hides that it is clear",
    () => hiding("VP8X", withHead(half).webp(lossless).toBuffer()),
  ],
  [
    "a lossless webp that hides that it is clear all through",
    () => hiding("VP8X", hiding("VP8L", withHead(half).webp(lossless).toBuffer())),
  ],
  [
    "an animated webp that hides that it is clear all through",
    async () => hiding("VP8X", hiding("VP8L", (await animated(veiled, opaque)).webp(lossless).toBuffer())),
  ],
  [
    "an animated webp that hides that a later frame is clear",
    async () => hiding("VP8L", (await animated(half, opaque, veiled)).webp(lossless).toBuffer()),
  ],
  [
    "an avif that is a preview of another picture",
    () => avif((one, other) => heif([one, other], refers("thmb", 1, 2))),
  ],
  [
    "an avif that is the depth of another picture",
    () => avif((one, other) => heif([told(one, DEPTH), other], refers("auxl", 1, 2))),
  ],
  ["an avif of alternatives", () => avif((one, other) => withBoxes(heif([one, other]), alternatives(2, 1)))],
  [
    "an avif with alpha of one of its tiles",
    () =>
      avif((one, other) =>
        heif([row, one, other, told(other, ALPHA)], refers("dimg", 1, 2, 3), refers("auxl", 4, 3)),
      ),
  ],
  [
    "an avif with a profile of one of its tiles",
    async () => {
      const profiled = await av1(opaque.clone().withIccProfile("p3"));
      return avif((one) => heif([row, one, profiled], refers("dimg", 1, 2, 3)));
    },
  ],
  [
    "an avif of a tile that is damaged",
    () =>
      avif((one, other) => {
        const damaged = { ...other, data: `${other.data.slice(0, -1)}\0` };
        return heif([row, one, damaged], refers("dimg", 1, 2, 3));
      }),
  ],
  [
    "an avif of QuickTime's colours",
    () => avif((one) => heif([told(one, box("colr", "nclc", u32(0x1000d, 0)))])),
  ],
];

const PAGE = `<script>
  async function draw(url, background, side) {
    const image = new Image();
    image.src = url;
    await image.decode();
    const context = new OffscreenCanvas(side, side).getContext("2d");
    context.fillStyle = background;
    context.fillRect(0, 0, side, side);
    context.drawImage(image, 0, 0, side, side);
    return btoa(String.fromCharCode(...context.getImageData(0, 0, side, side).data));
  }
</script>`;

describe.skipIf(!CHROMIUM)("decode", () => {
  let browser: Browser;
  let page: Page;
  beforeAll(async () => {
    browser = await launchChromium();
    page = await browser.newPage();
    await page.setContent(PAGE);
  });
  afterAll(() => browser.close());

  /** Its first frame, as RGB. */
  const shownOn = async (background: string, bytes: Buffer): Promise<Uint8Array> => {
    const url = `data:image/png;base64,${bytes.toString("base64")}`;
    const rgba = Buffer.from(
      await page.evaluate<string>(`draw("${url}", "${background}", ${side})`),
      "base64",
    );
    return rgba.filter((_, at) => at % 4 < 3);
  };

  test.each(JUDGED)("judges what Chromium shows of %s", async (_what, given) => {
    const bytes = await given();
    const views = await framesOf(bytes);
    for (const background of ["white", "black"]) {
      const shown = await shownOn(background, bytes);
      expect(Math.min(...views.map((view) => difference(view, shown)))).toBeLessThan(NEAR);
    }
  });

  test.each(REFUSED)("refuses %s, which Chromium shows", async (_what, given) => {
    const bytes = await given();
    await expect(shownOn("white", bytes)).resolves.toHaveLength(side * side * 3);
    const refusal = { code: expect.stringMatching(/^(UNSUPPORTED_FORMAT|CORRUPT)$/) };
    await expect(framesOf(bytes)).rejects.toMatchObject(refusal);
    await expect(shrink(bytes, limits, heic.decode)).rejects.toMatchObject(refusal);
  });
});

/** Of 255: the colours of Display P3 differ by 8. */
const NEAR = 10;
