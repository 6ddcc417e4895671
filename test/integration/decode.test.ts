import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { deflateSync } from "node:zlib";
import sharp, { type Sharp } from "sharp";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { corrupt, decode, restrictSharp } from "../../src/image/decode.ts";
import { createHeicDecoder } from "../../src/image/heic.ts";
import { packageRoot } from "../../src/package-root.ts";

const limits = { side: 64, maxPixels: 50_000_000 };
const heic = createHeicDecoder(new URL(`file://${packageRoot()}/dist/workers/heic.js`), limits.side, 1);
const pixelsOf = (bytes: Uint8Array): Promise<Uint8Array> => decode(bytes, limits, heic.decode);
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

  test.each(["gif", "webp"] as const)("reads the first frame of an animated %s", async (format) => {
    const frame = (background: string) =>
      sharp({ create: { width: 40, height: 40, channels: 3, background } })
        .png()
        .toBuffer();
    const frames = [await frame("#ff0000"), await frame("#0000ff")];
    const bytes = await sharp(frames, { join: { animated: true } })
      .toFormat(format)
      .toBuffer();
    const [red, , blue] = await pixelsOf(bytes);
    expect(red).toBeGreaterThan(200);
    expect(blue).toBeLessThan(50);
  });

  test("lays transparency on white", async () => {
    const clear = { create: { width: 40, height: 40, channels: 4, background: "#00000000" } } as const;
    expect((await pixelsOf(await sharp(clear).png().toBuffer())).every((value) => value === 255)).toBe(true);
  });

  test.each(["menu.heic", "menu-rotated.heic"])("reads %s upright", async (file) => {
    const bytes = readFileSync(join(packageRoot(), "test/photos", file));
    expect(difference(await pixelsOf(bytes), plain)).toBeLessThan(4);
  });

  test("names a broken HEIC, and reads the next one", async () => {
    const bytes = readFileSync(join(packageRoot(), "test/photos/menu.heic"));
    await expect(pixelsOf(bytes.subarray(0, 3_000))).rejects.toMatchObject({ code: "CORRUPT", retry: false });
    await expect(pixelsOf(bytes)).resolves.toHaveLength(64 * 64 * 3);
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

  test("refuses a header that makes no sense", async () => {
    const bytes = Buffer.from(menu);
    bytes.fill(0x55, 4, 600);
    await expect(pixelsOf(bytes)).rejects.toMatchObject({ code: "CORRUPT" });
  });

  test("refuses a bomb on its header, in no time", async () => {
    const since = performance.now();
    await expect(pixelsOf(pngBomb(20_000, 20_000))).rejects.toMatchObject({ code: "TOO_MANY_PIXELS" });
    await expect(pixelsOf(jpegClaiming(65_000, 65_000))).rejects.toMatchObject({ code: "TOO_MANY_PIXELS" });
    expect(performance.now() - since).toBeLessThan(1_000);
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

/** A valid PNG of one bit a pixel, all zero: megabytes of pixels in a few kilobytes. */
function pngBomb(width: number, height: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([1, 0, 0, 0, 0], 8);
  const rows = deflateSync(Buffer.alloc((Math.ceil(width / 8) + 1) * height));
  const chunk = (type: string, data: Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const frame = Buffer.alloc(8);
    frame.writeUInt32BE(data.length, 0);
    frame.writeUInt32BE(crc32(body), 4);
    return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
  };
  const signature = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");
  return Buffer.concat([
    signature,
    chunk("IHDR", header),
    chunk("IDAT", rows),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

function jpegClaiming(width: number, height: number): Buffer {
  const bytes = Buffer.from(menu);
  const frame = bytes.indexOf(Buffer.from([0xff, 0xc0]));
  bytes.writeUInt16BE(height, frame + 5);
  bytes.writeUInt16BE(width, frame + 7);
  return bytes;
}

function crc32(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
