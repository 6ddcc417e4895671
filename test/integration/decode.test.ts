import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { crc32, deflateSync } from "node:zlib";
import sharp, { type Sharp } from "sharp";
import { afterAll, beforeAll, describe, expect, inject } from "vitest";
import { corrupt, decode, restrictSharp } from "../../src/image/decode.ts";
import { createHeicDecoder } from "../../src/image/heic.ts";
import { shrink } from "../../src/image/shrink.ts";
import { packageRoot } from "../../src/package-root.ts";
import { test } from "../fixtures.ts";
import { box, crop, grid, heif, type Item, itemOf, mirror, refers, turn } from "../heif.ts";

const limits = { side: 64, maxPixels: 50_000_000 };
const HEIC_THREAD = new URL(`file://${packageRoot()}/dist/workers/heic.js`);
const heic = createHeicDecoder(HEIC_THREAD, 1);
const framesOf = (bytes: Uint8Array, of = limits) => decode(bytes, of, heic.decode);
const pixelsOf = async (bytes: Uint8Array): Promise<Uint8Array> => {
  const frames = await framesOf(bytes);
  expect(frames).toHaveLength(1);
  return frames[0]!;
};
const samples = inject("samples");
let menu: Buffer;
let plain: Uint8Array;

beforeAll(async () => {
  menu = readFileSync(join(samples, "menu-1.jpg"));
  plain = await pixelsOf(menu);
  restrictSharp();
});
afterAll(() => heic.close());

/** Mean absolute difference of two pixel buffers, 0..255. */
function difference(a: Uint8Array, b: Uint8Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((sum, value, index) => sum + Math.abs(value - b[index]!), 0) / a.length;
}

describe("decode", () => {
  test.each<[string, (photo: Sharp) => Sharp]>([
    ["JPEG", (photo) => photo.jpeg()],
    ["progressive JPEG", (photo) => photo.jpeg({ progressive: true })],
    ["CMYK JPEG", (photo) => photo.toColourspace("cmyk").jpeg()],
    ["PNG", (photo) => photo.png()],
    ["interlaced PNG", (photo) => photo.png({ progressive: true })],
    ["PNG of 16 bits", (photo) => photo.toColourspace("rgb16").png()],
    ["PNG with a palette", (photo) => photo.png({ palette: true })],
    ["PNG with alpha", (photo) => photo.ensureAlpha().png()],
    ["WebP", (photo) => photo.webp()],
    ["lossless WebP", (photo) => photo.webp({ lossless: true })],
    ["AVIF", (photo) => photo.avif({ effort: 0 })],
    ["GIF", (photo) => photo.gif()],
  ])("reads %s like the original", async (_name, encode) => {
    const bytes = await encode(sharp(menu).resize(500, 640, { fit: "fill" })).toBuffer();
    expect(difference(await pixelsOf(bytes), plain)).toBeLessThan(6);
  });

  test("reads grey JPEG as three equal channels", async () => {
    const pixels = await pixelsOf(await sharp(menu).greyscale().jpeg().toBuffer());
    expect(pixels.length).toBe(64 * 64 * 3);
    expect(pixels.every((value, index) => index % 3 === 0 || value === pixels[index - 1])).toBe(true);
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8])("applies orientation %i", async (orientation) => {
    // stored so that the orientation turns it upright again
    const undo: Record<number, (photo: Sharp) => Sharp> = {
      1: (photo) => photo,
      2: (photo) => photo.flop(),
      3: (photo) => photo.rotate(180),
      4: (photo) => photo.flip(),
      5: (photo) => photo.flop().rotate(-90),
      6: (photo) => photo.rotate(-90),
      7: (photo) => photo.flop().rotate(90),
      8: (photo) => photo.rotate(90),
    };
    const turned = await undo[orientation]!(sharp(menu)).png().toBuffer();
    const bytes = await sharp(turned).withMetadata({ orientation }).jpeg({ quality: 95 }).toBuffer();
    expect(difference(await pixelsOf(bytes), plain)).toBeLessThan(3);
  });

  describe.each(["gif", "webp"] as const)("of an animated %s", (format) => {
    /** Frame n is as bright as n * 10, and held for so many milliseconds. */
    const animated = async (frames: number, held: (n: number) => number = () => 100): Promise<Buffer> => {
      const grey = (level: number) =>
        sharp({
          create: { width: 40, height: 40, channels: 3, background: { r: level, g: level, b: level } },
        })
          .png()
          .toBuffer();
      const levels = await Promise.all(Array.from({ length: frames }, (_, n) => grey(n * 10)));
      return sharp(levels, { join: { animated: true } })
        .toFormat(format, { lossless: true, delay: levels.map((_, n) => held(n)) })
        .toBuffer();
    };
    const seen = async (bytes: Uint8Array, maxPixels = limits.maxPixels): Promise<number[]> =>
      (await framesOf(bytes, { ...limits, maxPixels })).map((pixels) => {
        expect(pixels.length).toBe(64 * 64 * 3);
        return Math.round(pixels[0]! / 10);
      });

    test("reads every frame where there are eight, and of more the first, the last and six between", async () => {
      expect(await seen(await animated(3))).toEqual([0, 1, 2]);
      expect(await seen(await animated(22))).toEqual([0, 3, 6, 9, 12, 15, 18, 21]);
    });

    test("reads them evenly by the time that they are held, and of slides more than eight", async () => {
      const pause = await animated(22, (n) => (n === 4 ? 5_000 : 100));
      expect(await seen(pause)).toEqual([0, 4, 5, 8, 11, 14, 17, 21]);
      const merged = await animated(25, (n) => (n % 2 === 0 && (n < 8 || n > 16) ? 80 : 40));
      expect(await seen(merged)).toEqual([0, 4, 6, 10, 14, 18, 20, 24]);
      const slides = await animated(24, (n) => (n % 2 === 0 ? 2_900 + n : 50));
      expect(await seen(slides)).toEqual([0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 23]);
    });

    test("reads fewer where eight are too long a way, and refuses where the last alone is", async () => {
      const bytes = await animated(22);
      // a frame counts as 2,000 pixels at least, and the limit is four times as high for what is passed through
      expect(await seen(bytes, 35 * 500)).toEqual([0, 11, 21]);
      expect(await seen(bytes, 23 * 500)).toEqual([0, 21]);
      await expect(seen(bytes, 22 * 500)).rejects.toMatchObject({ code: "TOO_MANY_PIXELS" });
    });
  });

  test("a GIF of very many frames takes no longer than a large photo, or is refused at once", async () => {
    const since = process.cpuUsage();
    expect((await framesOf(gifOf(10_000, 100, 100))).length).toBeGreaterThan(1);
    expect(cpuMs(since)).toBeLessThan(10_000);
    const after = process.cpuUsage();
    await expect(framesOf(gifOf(100_000, 100, 100))).rejects.toMatchObject({ code: "TOO_MANY_PIXELS" });
    await expect(framesOf(gifOf(1_000_000, 1, 1))).rejects.toMatchObject({ code: "TOO_MANY_PIXELS" });
    expect(cpuMs(after)).toBeLessThan(5_000);
  });

  test("refuses a JPEG that browsers make another picture of by its gain map, and no other that has one", async () => {
    const segment = (marker: number, body: string): Buffer => {
      const head = Buffer.from([0xff, marker, 0, 0]);
      head.writeUInt16BE(body.length + 2, 2);
      return Buffer.concat([head, Buffer.from(body, "latin1")]);
    };
    const withSegment = (jpeg: Buffer, added: Buffer): Buffer =>
      Buffer.concat([jpeg.subarray(0, 2), added, jpeg.subarray(2)]);
    const said = (hdr: string): Buffer =>
      Buffer.concat([
        withSegment(menu, segment(0xe2, "MPF\0MM\0*")),
        withSegment(
          menu,
          segment(0xe1, `http://ns.adobe.com/xap/1.0/\0<x hdrgm:BaseRenditionIsHDR="${hdr}"/>`),
        ),
      ]);
    await expect(framesOf(said("False"))).resolves.toHaveLength(1);
    await expect(framesOf(said("True"))).rejects.toMatchObject({
      code: "UNSUPPORTED_FORMAT",
      message: expect.stringContaining("gain map"),
    });
  });

  test("refuses an animated PNG, of which it could read the first frame only", async () => {
    const png = await sharp(menu).resize(64, 64).png().toBuffer();
    // eight frames, for ever
    const control = pngChunk("acTL", Buffer.from([0, 0, 0, 8, 0, 0, 0, 0]));
    const bytes = Buffer.concat([png.subarray(0, 33), control, png.subarray(33)]);
    await expect(framesOf(bytes)).rejects.toMatchObject({
      code: "UNSUPPORTED_FORMAT",
      message: expect.stringContaining("an animation"),
    });
  });

  test("refuses an AVIF of two frames in one picture, of which it would read another than browsers show", async () => {
    const avif = await sharp(menu).resize(64, 64).avif({ effort: 0 }).toBuffer();
    const from = avif.indexOf("mdat") + 4;
    const picture = avif.subarray(from);
    const twice = Buffer.concat([avif, picture]);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(picture.length);
    twice.writeUInt32BE(2 * picture.length, twice.indexOf(length, twice.indexOf("iloc")));
    twice.writeUInt32BE(8 + 2 * picture.length, from - 8);
    await expect(framesOf(avif)).resolves.toHaveLength(1);
    await expect(framesOf(twice)).rejects.toMatchObject({
      code: "UNSUPPORTED_FORMAT",
      message: expect.stringContaining("several frames"),
    });
  });

  /** What is at the middle of each view. */
  const middles = async (bytes: Uint8Array): Promise<number[][]> =>
    (await framesOf(bytes)).map((pixels) => {
      expect(pixels.length).toBe(64 * 64 * 3);
      return [...pixels.subarray((32 * 64 + 32) * 3).subarray(0, 3)];
    });

  test.each(["png", "webp", "avif"] as const)(
    "lays a transparent %s on white, and then on black where that is another picture",
    async (format) => {
      const at = (alpha: number): Promise<Buffer> =>
        sharp({ create: { width: 90, height: 60, channels: 4, background: { r: 200, g: 0, b: 100, alpha } } })
          .toFormat(format, { lossless: true })
          .toBuffer();
      const near = (colour: number[]) => colour.map((value) => Math.round(value / 10) * 10);
      expect((await middles(await at(0))).map(near)).toEqual([
        [260, 260, 260],
        [0, 0, 0],
      ]);
      expect((await middles(await at(0.5))).map(near)).toEqual([
        [230, 130, 180],
        [100, 0, 50],
      ]);
      expect((await middles(await at(1))).map(near)).toEqual([[200, 0, 100]]);
    },
  );

  test("lays what is light on black first, as on white there is nothing to be seen", async () => {
    const written = (colour: string) =>
      sharp({ create: { width: 90, height: 90, channels: 4, background: "#0000" } })
        .composite([
          {
            input: { create: { width: 40, height: 40, channels: 4, background: colour } },
            gravity: "centre",
          },
        ])
        .png()
        .toBuffer();
    expect(await middles(await written("#fff8f0"))).toEqual([
      [255, 248, 240],
      [255, 248, 240],
    ]);
    const corner = async (colour: string) => (await framesOf(await written(colour))).map(([red]) => red);
    expect(await corner("#fff8f0")).toEqual([0, 255]);
    expect(await corner("#302010")).toEqual([255, 0]);
  });

  test("lays each frame of an animation on both where it can be seen through", async () => {
    const frames = await Promise.all(
      ["#ff0000ff", "#00ff0000"].map((background) =>
        sharp({ create: { width: 40, height: 40, channels: 4, background } })
          .png()
          .toBuffer(),
      ),
    );
    const bytes = await sharp(frames, { join: { animated: true } })
      .webp({ lossless: true })
      .toBuffer();
    expect(await middles(bytes)).toEqual([
      [255, 0, 0],
      [255, 255, 255],
      [0, 0, 0],
    ]);
  });

  test("judges a WebP both upright and as it is stored, where these are not the same", async () => {
    const stored = await sharp(menu).rotate(-90).png().toBuffer();
    const turned = async (orientation: number): Promise<Uint8Array[]> =>
      framesOf(await sharp(stored).withMetadata({ orientation }).webp().toBuffer());
    const [upright, lying, ...more] = await turned(6);
    expect(difference(upright!, plain)).toBeLessThan(6);
    expect(difference(lying!, await pixelsOf(stored))).toBeLessThan(6);
    expect(more).toEqual([]);
    expect(await turned(1)).toHaveLength(1);
  });

  describe("of a photo whose EXIF tells an orientation", () => {
    /** Turned to the left as it is stored, with an orientation that turns it upright, or others, each as a number of such a type. */
    const told = async (type: number, count = 1, name = "Exif\0\0", orientations = [6]): Promise<Buffer> => {
      const stored = await sharp(menu).rotate(-90).jpeg({ quality: 95 }).toBuffer();
      const entries = orientations.map((orientation) => {
        const entry = Buffer.from([1, 0x12, 0, type, 0, 0, 0, count, 0, 0, 0, 0]);
        entry.writeUIntBE(orientation, 8, { 1: 1, 3: 2, 4: 4 }[type]!);
        return entry;
      });
      const start = Buffer.from("MM\0\x2a\0\0\0\x08\0", "latin1");
      const tiff = Buffer.concat([start, Buffer.from([entries.length]), ...entries, Buffer.alloc(4)]);
      const exif = Buffer.concat([Buffer.from(name, "latin1"), tiff]);
      const head = Buffer.from([0xff, 0xe1, 0, exif.length + 2]);
      return Buffer.concat([stored.subarray(0, 2), head, exif, stored.subarray(2)]);
    };

    test("turns it where all do", async () => {
      expect(difference(await pixelsOf(await told(3)), plain)).toBeLessThan(3);
    });

    test.each<[string, number, number]>([
      ["a byte", 1, 1],
      ["a number of 32 bits", 4, 1],
      ["two numbers", 3, 2],
    ])(
      "reads it as it is stored too where it is told as %s, by which browsers do not turn it",
      async (_how, ...how) => {
        const [upright, stored, ...more] = await framesOf(await told(...how));
        expect(difference(upright!, plain)).toBeLessThan(3);
        expect(difference(stored!, plain)).toBeGreaterThan(10);
        expect(more).toEqual([]);
      },
    );

    test("lays it on white and on black both upright and as it is stored, where it can be seen through", async () => {
      const clear = { r: 0, g: 0, b: 0, alpha: 0 };
      const square = await sharp({ create: { width: 40, height: 40, channels: 3, background: "white" } })
        .extend({ right: 80, bottom: 20, background: clear })
        .ensureAlpha()
        .withMetadata({ orientation: 6 })
        .webp({ lossless: true })
        .toBuffer();
      // that it is where it is stored, at the upper left, is seen on black alone
      const corners = (await framesOf(square)).map((pixels) => [pixels[0], pixels.at(-1)]);
      expect(corners).toEqual([
        [0, 0],
        [255, 255],
        [255, 0],
        [255, 255],
      ]);
    });

    test("refuses it where browsers alone would turn it", async () => {
      await expect(framesOf(await told(3, 1, "Exif\0\x01"))).rejects.toMatchObject({
        code: "UNSUPPORTED_FORMAT",
        message: expect.stringContaining("orientation"),
      });
      await expect(framesOf(await told(3, 1, "Exif\0\x01", [1]))).resolves.toHaveLength(1);
      // the first that says a turn counts for them
      await expect(framesOf(await told(3, 1, "Exif\0\0", [9, 6]))).rejects.toMatchObject({
        code: "UNSUPPORTED_FORMAT",
      });
      expect(difference(await pixelsOf(await told(3, 1, "Exif\0\0", [6, 9])), plain)).toBeLessThan(3);
    });
  });

  describe("of a photo with a colour profile", () => {
    /** The profile of sRGB that stands in a file, with the curve (ax + b) ** g, of a version that browsers leave out. */
    const curved = (bytes: Buffer, g: number, a = 1, b = 0): Buffer => {
      bytes.writeUInt32BE(0x05000000, bytes.indexOf("acsp") - 28);
      const curve = bytes.indexOf("para");
      bytes.writeUInt16BE(1, curve + 8);
      for (const [n, value] of [g, a, b].entries()) bytes.writeInt32BE(value * 65_536, curve + 12 + 4 * n);
      return bytes;
    };
    const whitened = (bytes: Buffer): Buffer => curved(bytes, 0.4);
    const profiled = (profile: string, format: "jpeg" | "webp" | "avif"): Promise<Buffer> =>
      sharp(menu).resize(500, 640, { fit: "fill" }).withIccProfile(profile).toFormat(format).toBuffer();

    test.each(["jpeg", "webp", "avif"] as const)(
      "reads a %s of quite another picture without it too",
      async (format) => {
        const views = await framesOf(whitened(await profiled("srgb", format)));
        expect(views).toHaveLength(2);
        expect(difference(views[0]!, plain)).toBeGreaterThan(40);
        expect(difference(views[1]!, plain)).toBeLessThan(6);
      },
    );

    test("reads a grey one without it too", async () => {
      const coloured = whitened(await profiled("srgb", "jpeg"));
      const at = coloured.indexOf("ICC_PROFILE") - 4;
      const segment = coloured.subarray(at, at + 2 + coloured.readUInt16BE(at + 2));
      segment.write("GRAY", 18 + 16);
      segment.write("kTRC", segment.indexOf("rTRC"));
      const grey = await sharp(menu).toColourspace("b-w").jpeg().toBuffer();
      const views = await framesOf(Buffer.concat([grey.subarray(0, 2), segment, grey.subarray(2)]));
      expect(views).toHaveLength(2);
      expect(difference(views[1]!, await pixelsOf(grey))).toBe(0);
      expect(difference(views[0]!, views[1]!)).toBeGreaterThan(40);
    });

    test("reads one that hides what lies between two greys without it too", async () => {
      const dark = 30 / 255;
      const bytes = curved(await profiled("srgb", "jpeg"), 2.2, 1 / (1 - dark), -dark / (1 - dark));
      expect(await framesOf(bytes)).toHaveLength(2);
    });

    test.each<[string, (icc: Buffer) => unknown]>([
      ["whose rXYZ, gXYZ and bXYZ", (icc) => icc.writeInt32BE(16 * 65_536, icc.indexOf("XYZ ", 325) + 8)],
      ["whose rTRC rises at most", (icc) => curved(icc, 0.1)],
      ["whose rTRC rises, got", (icc) => curved(icc, 2, -1, 1)],
      ["whose rTRC is within", (icc) => curved(icc, 2, 16)],
      ["without a D2B0", (icc) => icc.write("D2B0", icc.indexOf("wtpt"))],
      ["of an A2B0", (icc) => icc.write("A2B1", icc.indexOf("wtpt"))],
      ["of at most 100 tags", (icc) => icc.write("desc", icc.indexOf("wtpt"))],
    ])("refuses one by which browsers could show another picture: not %s", async (what, change) => {
      const bytes = await profiled("srgb", "jpeg");
      const at = bytes.indexOf("acsp") - 36;
      change(bytes.subarray(at, at + bytes.readUInt32BE(at)));
      await expect(framesOf(bytes)).rejects.toMatchObject({
        code: "UNSUPPORTED_FORMAT",
        message: expect.stringContaining(`a colour profile ${what}`),
      });
    });

    test("refuses one of ink whose table hides colours between those by which it is read", async () => {
      const bytes = await profiled("cmyk", "jpeg");
      const at = bytes.indexOf("mft2") + 52;
      bytes.writeUInt16BE(60_000, at + 2 * 500);
      await expect(framesOf(bytes)).rejects.toMatchObject({
        code: "UNSUPPORTED_FORMAT",
        message: expect.stringContaining("whose A2B"),
      });
    });

    test("refuses a HEIC of quite another picture, whose decoder applies none", async () => {
      const picture = itemOf(heicOf("menu.heic"));
      const told = (jpeg: Buffer): Buffer => {
        const at = jpeg.indexOf("acsp") - 36;
        const icc = jpeg.toString("latin1", at, at + jpeg.readUInt32BE(at));
        const properties = [...picture.properties, box("colr", "prof", icc)];
        return Buffer.from(heif([{ ...picture, properties }]), "latin1");
      };
      await expect(framesOf(told(await profiled("p3", "jpeg")))).resolves.toHaveLength(1);
      await expect(framesOf(told(whitened(await profiled("srgb", "jpeg"))))).rejects.toMatchObject({
        code: "UNSUPPORTED_FORMAT",
        message: expect.stringContaining("could not be applied"),
      });
    });

    test("reads one of ink with its profile and without it", async () => {
      expect(await framesOf(await profiled("cmyk", "jpeg"))).toHaveLength(2);
    });

    test.each(["srgb", "p3"])("reads one of %s once", async (profile) => {
      expect(difference(await pixelsOf(await profiled(profile, "jpeg")), plain)).toBeLessThan(6);
    });
  });

  describe("of a long photo", () => {
    /** One square as bright as 10, 20, and so on after the other. */
    const strip = (squares: number, wide: boolean): Sharp => {
      const [width, height] = wide ? [squares * 60, 60] : [60, squares * 60];
      const layers = Array.from({ length: squares }, (_, n) => {
        const level = 10 * (n + 1);
        const background = { r: level, g: level, b: level };
        const [left, top] = wide ? [n * 60, 0] : [0, n * 60];
        return { input: { create: { width: 60, height: 60, channels: 3 as const, background } }, left, top };
      });
      return sharp({ create: { width, height, channels: 3, background: "white" } }).composite(layers);
    };
    /** The squares that are seen in each view, from its one end to the other. */
    const seen = (views: Uint8Array[], wide: boolean): number[][] =>
      views.map((pixels) => {
        // but for the rims, where one runs into the next
        const line = Array.from(
          { length: 56 },
          (_, n) => pixels[(wide ? 32 * 64 + n + 4 : (n + 4) * 64 + 32) * 3]!,
        );
        return [...new Set(line.map((value) => Math.round(value / 10)))];
      });

    test.each([3, 4] as const)("makes a picture of its own shape, with %s channels", async (channels) => {
      const create = { width: 1_000, height: 200, channels, background: "#5a1e14" };
      const picture = await shrink(
        await sharp({ create }).png().toBuffer(),
        { ...limits, side: 500 },
        heic.decode,
      );
      expect(await sharp(picture).metadata()).toMatchObject({ width: 500, height: 100 });
    });

    test.each([true, false])("reads the whole and then overlapping parts of it (wide: %s)", async (wide) => {
      expect(seen(await framesOf(await strip(3, wide).png().toBuffer()), wide)).toEqual([
        [1, 2, 3],
        [1, 2],
        [2, 3],
      ]);
      const [whole, ...parts] = seen(await framesOf(await strip(10, wide).png().toBuffer()), wide);
      expect(whole).toHaveLength(10);
      expect(parts).toHaveLength(7);
      expect(parts[0]).toEqual([1, 2]);
      expect(parts[6]).toEqual([9, 10]);
      // whoever is cut by the end of one part is whole in the next
      for (const [n, part] of parts.slice(1).entries()) expect(parts[n]).toContain(part[0]);
    });

    test("cuts along the side that is long once it is upright", async () => {
      const bytes = await strip(5, true).withMetadata({ orientation: 6 }).jpeg({ quality: 100 }).toBuffer();
      const views = seen(await framesOf(bytes), false);
      expect(views).toHaveLength(5);
      expect([views[1]![0], views[4]!.at(-1)]).toEqual([1, 5]);
    });

    test("reads one of 2.5 : 1 as a whole, and of its frames fewer where all is too much", async () => {
      const plainly = { create: { width: 100, height: 40, channels: 3, background: "teal" } } as const;
      expect(await framesOf(await sharp(plainly).png().toBuffer())).toHaveLength(1);
      const frames = await Promise.all(
        ["red", "lime", "blue", "teal", "gold"].map((background) =>
          sharp({ create: { width: 300, height: 100, channels: 3, background } })
            .png()
            .toBuffer(),
        ),
      );
      const animated = sharp(frames, { join: { animated: true } });
      // three views of each frame, and six where it is turned too
      expect(await framesOf(await animated.clone().webp().toBuffer())).toHaveLength(15);
      const turned = animated.clone().withMetadata({ orientation: 3 });
      expect(await framesOf(await turned.webp().toBuffer())).toHaveLength(12);
    });

    test("refuses what is no photo any more", async () => {
      const line = { create: { width: 1_700, height: 100, channels: 3, background: "teal" } } as const;
      await expect(framesOf(await sharp(line).png().toBuffer())).rejects.toMatchObject({
        code: "UNSUPPORTED_FORMAT",
        message: expect.stringContaining("at most 16 times as long as wide, got 1700 x 100"),
      });
    });
  });

  test.each(["menu.heic", "menu-rotated.heic"])("reads %s upright", async (file) => {
    const bytes = heicOf(file);
    expect(difference(await pixelsOf(bytes), plain)).toBeLessThan(4);
  });

  describe.each(["avif", "heic"] as const)("of an %s that tells how it is to be shown", (format) => {
    let picture: Item;
    beforeAll(async () => {
      const photo = sharp(menu).resize(500, 640, { fit: "fill" });
      const file =
        format === "avif" ? photo.avif({ quality: 90, effort: 0 }).toBuffer() : heicOf("menu.heic");
      picture = itemOf(await file);
    });
    const told = (...changes: string[]): Buffer =>
      Buffer.from(heif([{ ...picture, properties: [...picture.properties, ...changes] }]), "latin1");
    const shown = (change: (photo: Sharp) => Sharp): Promise<Uint8Array> =>
      change(sharp(menu).resize(500, 640, { fit: "fill" }))
        .png()
        .toBuffer()
        .then(pixelsOf);

    test.each<[string, string[], (photo: Sharp) => Sharp]>([
      ["turned to the left", [turn(1)], (photo) => photo.rotate(-90)],
      ["turned by half", [turn(2)], (photo) => photo.rotate(180)],
      ["turned to the right", [turn(3)], (photo) => photo.rotate(90)],
      ["mirrored from top to bottom", [mirror(0)], (photo) => photo.flip()],
      ["mirrored from left to right", [mirror(1)], (photo) => photo.flop()],
      // sharp mirrors before it turns
      ["turned and then mirrored", [turn(1), mirror(0)], (photo) => photo.flop().rotate(-90)],
      [
        "cropped",
        [crop(460, 600, -40, -40)],
        (photo) => photo.extract({ left: 0, top: 0, width: 460, height: 600 }),
      ],
    ])("reads it %s", async (_how, changes, change) => {
      expect(difference(await pixelsOf(told(...changes)), await shown(change))).toBeLessThan(6);
    });
  });

  test("reads a HEIC cropped to its middle, and refuses a crop to more than is there", async () => {
    const picture = itemOf(heicOf("menu.heic"));
    const cropped = (clap: string): Buffer =>
      Buffer.from(heif([{ ...picture, properties: [...picture.properties, clap] }]), "latin1");
    const middle = sharp(menu)
      .resize(500, 640, { fit: "fill" })
      .extract({ left: 10, top: 20, width: 480, height: 600 });
    const pixels = await pixelsOf(cropped(crop(480, 600, 0, 0)));
    expect(difference(pixels, await pixelsOf(await middle.png().toBuffer()))).toBeLessThan(6);
    // of rows of another length than the file says the decoder would make a picture of stripes
    for (const clap of [crop(510, 630, 0, 0), crop(480, 600, 60, 0)])
      await expect(pixelsOf(cropped(clap))).rejects.toMatchObject({
        code: "CORRUPT",
        message: expect.stringContaining("as it says, got"),
      });
  });

  test.each(["avif", "heic"] as const)(
    "reads an %s of tiles that have twice as many pixels as the limit in all, and refuses more",
    async (format) => {
      const avif = sharp(menu).resize(500, 640, { fit: "fill" }).avif({ effort: 0 });
      const tile = itemOf(format === "avif" ? await avif.toBuffer() : heicOf("menu.heic"));
      const tiled = (tiles: number): Buffer =>
        Buffer.from(
          heif(
            [grid(1, tiles, 64, 64), ...Array<Item>(tiles).fill(tile)],
            refers("dimg", 1, ...Array.from({ length: tiles }, (_, n) => n + 2)),
          ),
          "latin1",
        );
      const atMost = { side: 64, maxPixels: 500 * 640 };
      await expect(framesOf(tiled(2), atMost)).resolves.toHaveLength(1);
      await expect(framesOf(tiled(3), atMost)).rejects.toMatchObject({
        code: "TOO_MANY_PIXELS",
        message: expect.stringContaining("640000 in all tiles of it and its alpha, got 960000"),
      });
    },
  );

  test("of a HEIC of several images reads the one that is shown, which is not the first", async () => {
    const bytes = heicOf("primary-is-second.heic");
    const [red, , blue] = await pixelsOf(bytes);
    expect(red).toBeLessThan(20);
    expect(blue).toBeGreaterThan(235);
  });

  test("names a broken HEIC, and reads the next one", async () => {
    const bytes = heicOf("menu.heic");
    await expect(pixelsOf(bytes.subarray(0, 3_000))).rejects.toMatchObject({ code: "CORRUPT", retry: false });
    await expect(pixelsOf(bytes)).resolves.toHaveLength(64 * 64 * 3);
  });

  test("of a HEIC whose decoder traps says that no thread could read it, and reads the next by another", async ({
    folder,
  }) => {
    // the memory of the first thread's libheif is overwritten
    const libheif = createRequire(import.meta.url).resolve("libheif-js/wasm-bundle.js");
    const [entry, begun] = [join(folder, "heic.mjs"), join(folder, "begun")];
    writeFileSync(
      entry,
      `import { existsSync, writeFileSync } from "node:fs";
      import libheif from ${JSON.stringify(libheif)};
      if (!existsSync(${JSON.stringify(begun)})) libheif.HEAPU8.fill(255);
      writeFileSync(${JSON.stringify(begun)}, "");
      await import(${JSON.stringify(String(HEIC_THREAD))});`,
    );
    const trapping = createHeicDecoder(pathToFileURL(entry), 1);
    const judged = (): Promise<Uint8Array[]> => decode(heicOf("menu.heic"), limits, trapping.decode);
    await expect(judged()).rejects.toMatchObject({
      code: "DECODE_UNAVAILABLE",
      message: expect.stringContaining("memory access"),
    });
    await expect(judged()).resolves.toHaveLength(1);
    await trapping.close();
  });

  test("ends a HEIC thread after a large photo, as it would keep the memory", async ({ folder }) => {
    const [entry, begun] = [join(folder, "heic.mjs"), join(folder, "begun")];
    writeFileSync(
      entry,
      `import { appendFileSync } from "node:fs";
      appendFileSync(${JSON.stringify(begun)}, "+");
      await import(${JSON.stringify(String(HEIC_THREAD))});`,
    );
    const counted = createHeicDecoder(pathToFileURL(entry), 1);
    const tile = itemOf(heicOf("menu.heic"));
    const tiles = Array.from({ length: 82 }, (_, n) => n + 2);
    const large = Buffer.from(
      heif([grid(1, 82, 64, 64), ...tiles.map(() => tile)], refers("dimg", 1, ...tiles)),
      "latin1",
    );
    const threads: string[] = [];
    for (const photo of [heicOf("menu.heic"), large, heicOf("menu.heic"), heicOf("menu.heic")]) {
      await decode(photo, limits, counted.decode);
      threads.push(readFileSync(begun, "utf8"));
    }
    expect(threads).toEqual(["+", "+", "++", "++"]);
    await counted.close();
  });

  test("judges real photos that lost the end when at least half is there, and refuses the others", async () => {
    for (const file of readdirSync(samples)) {
      if (!/business|portrait/.test(file)) continue;
      // about 15 % of each is spared, because bytes and rows are not in proportion
      const bytes = await sharp(readFileSync(join(samples, file)))
        .resize(800, 600)
        .jpeg({ progressive: false })
        .toBuffer();
      await expect(pixelsOf(bytes.subarray(0, bytes.length * 0.8)), `${file} at 80 %`).resolves.toHaveLength(
        64 * 64 * 3,
      );
      await expect(pixelsOf(bytes.subarray(0, bytes.length * 0.2)), `${file} at 20 %`).rejects.toMatchObject({
        code: "CORRUPT",
      });
    }
  });

  test("judges a progressive JPEG that lost its end when all frequencies are told, not from a coarse picture", async () => {
    for (const file of readdirSync(samples)) {
      if (!/business|portrait/.test(file)) continue;
      const bytes = await sharp(readFileSync(join(samples, file)))
        .resize(800, 600)
        .jpeg({ progressive: true })
        .toBuffer();
      for (const share of [0.1, 0.2, 0.3])
        await expect(
          pixelsOf(bytes.subarray(0, bytes.length * share)),
          `${file} at ${share}`,
        ).rejects.toMatchObject({ code: "CORRUPT" });
      const whole = await pixelsOf(bytes);
      const cut = await pixelsOf(bytes.subarray(0, bytes.length * 0.8));
      expect(difference(cut, whole), file).toBeLessThan(3);
    }
  });

  test("refuses a JPEG of very many scans, also where they stand behind markers that have no length", async () => {
    const jpeg = await sharp(menu).resize(64, 64).jpeg({ progressive: true }).toBuffer();
    const last = jpeg.lastIndexOf(Buffer.from([0xff, 0xda]));
    const again = (times: number, ...before: number[]): Buffer => {
      const scan = Buffer.concat([Buffer.from(before), jpeg.subarray(last, -2)]);
      return Buffer.concat([jpeg.subarray(0, -2), ...Array<Buffer>(times).fill(scan), jpeg.subarray(-2)]);
    };
    for (const bytes of [again(100), again(100, 0xff, 0x01), again(100, 0xff, 0xff, 0xff)])
      await expect(pixelsOf(bytes)).rejects.toMatchObject({
        code: "TOO_MANY_PIXELS",
        message: expect.stringMatching(/at most 100 scans, got 1\d\d$/),
      });
    // what follows the end of a picture is none of it
    await expect(pixelsOf(Buffer.concat([jpeg, again(100)]))).resolves.toHaveLength(64 * 64 * 3);
  });

  test("refuses a JPEG that is cut off before its first scan", async () => {
    const scan = menu.indexOf(Buffer.from([0xff, 0xda]));
    await expect(pixelsOf(menu.subarray(0, scan))).rejects.toMatchObject({ code: "CORRUPT" });
    await expect(pixelsOf(menu.subarray(0, 20))).rejects.toMatchObject({ code: "CORRUPT" });
  });

  test("refuses PNG and WebP that are cut off", async () => {
    for (const bytes of [await sharp(menu).png().toBuffer(), await sharp(menu).webp().toBuffer()]) {
      await expect(pixelsOf(bytes.subarray(0, bytes.length / 2))).rejects.toMatchObject({ code: "CORRUPT" });
    }
  });

  test("says that a photo is broken also where its decoder has no word for it", async () => {
    expect(corrupt(new Error("Unknown error"))).toMatchObject({
      code: "CORRUPT",
      message: "the image cannot be decoded",
    });
    const png = await sharp(menu).png().toBuffer();
    await expect(pixelsOf(png.subarray(0, 12))).rejects.toMatchObject({
      message: expect.stringMatching(/[^: ]$/),
    });
  });

  test.each(["avif", "heic"] as const)("says of a broken %s what is wrong with it", async (format) => {
    const bytes = format === "avif" ? await sharp(menu).avif({ effort: 0 }).toBuffer() : heicOf("menu.heic");
    bytes.write("nope", bytes.indexOf("pitm"));
    await expect(pixelsOf(bytes)).rejects.toMatchObject({
      code: "CORRUPT",
      message: expect.stringMatching(/^Input buffer has corrupt header: heif: Invalid input: No 'pitm' box/),
    });
  });

  test("refuses a header that makes no sense", async () => {
    const bytes = Buffer.from(menu);
    bytes.fill(0x55, 4, 600);
    await expect(pixelsOf(bytes)).rejects.toMatchObject({ code: "CORRUPT" });
  });

  test("refuses a bomb on its header, in no time", async () => {
    const since = process.cpuUsage();
    await expect(pixelsOf(pngBomb(20_000, 20_000))).rejects.toMatchObject({ code: "TOO_MANY_PIXELS" });
    await expect(pixelsOf(pngBomb(1_000_000, 10))).rejects.toMatchObject({ code: "TOO_MANY_PIXELS" });
    await expect(pixelsOf(pngBomb(1, 300_000))).rejects.toMatchObject({ code: "TOO_MANY_PIXELS" });
    await expect(pixelsOf(jpegClaiming(65_000, 65_000))).rejects.toMatchObject({ code: "TOO_MANY_PIXELS" });
    expect(cpuMs(since)).toBeLessThan(1_000);
  });

  test("names what is not a photo", async () => {
    const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
    const tiff = await sharp(menu).resize(20, 20).tiff().toBuffer();
    for (const bytes of [svg, tiff, Buffer.from("hello"), Buffer.from("%PDF-1.4\n")]) {
      await expect(pixelsOf(bytes)).rejects.toMatchObject({ code: "UNSUPPORTED_FORMAT" });
    }
    await expect(pixelsOf(new Uint8Array())).rejects.toMatchObject({ code: "EMPTY" });
  });
});

/** What this process has computed since then, which others on the machine hardly change. */
function cpuMs(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1000;
}

function heicOf(file: string): Buffer {
  return readFileSync(join(packageRoot(), "test/photos", file));
}

/** A valid PNG of one bit a pixel, all zero: megabytes of pixels in a few kilobytes. */
function pngBomb(width: number, height: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([1, 0, 0, 0, 0], 8);
  const rows = deflateSync(Buffer.alloc((Math.ceil(width / 8) + 1) * height));
  const signature = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");
  return Buffer.concat([
    signature,
    pngChunk("IHDR", header),
    pngChunk("IDAT", rows),
    pngChunk("IEND", Buffer.alloc(0)),
  ]);
}

function pngChunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type), data]);
  const frame = Buffer.alloc(8);
  frame.writeUInt32BE(data.length, 0);
  frame.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
}

/** A GIF whose frames are all alike: one pixel is told, and the others are left out. */
function gifOf(frames: number, width: number, height: number): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt16LE(width, 0);
  size.writeUInt16LE(height, 2);
  const head = [Buffer.from("GIF89a"), size, Buffer.from([0x80, 0, 0, 255, 0, 0, 0, 0, 255])];
  const one = Buffer.concat([Buffer.from([0x2c, 0, 0, 0, 0]), size, Buffer.from([0, 2, 2, 0x44, 0x01, 0])]);
  return Buffer.concat([...head, ...Array<Buffer>(frames).fill(one), Buffer.from([0x3b])]);
}

function jpegClaiming(width: number, height: number): Buffer {
  const bytes = Buffer.from(menu);
  const frame = bytes.indexOf(Buffer.from([0xff, 0xc0]));
  bytes.writeUInt16BE(height, frame + 5);
  bytes.writeUInt16BE(width, frame + 7);
  return bytes;
}
