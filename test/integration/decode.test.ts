import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { deflateSync } from "node:zlib";
import sharp, { type Sharp } from "sharp";
import { describe, expect, inject } from "vitest";
import { corrupt } from "../../src/image/decode.ts";
import { cpuMs, difference, framesOf, menu, pixelsOf, plain } from "../decoded.ts";
import { test } from "../fixtures.ts";
import { heicOf } from "../heif.ts";
import { withSegments } from "../jpeg.ts";
import { pngChunk } from "../png.ts";

const samples = inject("samples");

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
    const [first] = await framesOf(bytes);
    expect(difference(first!, plain)).toBeLessThan(6);
  });

  test("reads grey JPEG as three equal channels", async () => {
    const pixels = await pixelsOf(await sharp(menu).greyscale().jpeg().toBuffer());
    expect(pixels.length).toBe(64 * 64 * 3);
    expect(pixels.every((value, index) => index % 3 === 0 || value === pixels[index - 1])).toBe(true);
  });

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
  test.each([1, 2, 3, 4, 5, 6, 7, 8])("applies orientation %i", async (orientation) => {
    // stored so that the orientation turns it upright again
    const stored = async (photo: Buffer): Promise<Sharp> =>
      sharp(await undo[orientation]!(sharp(photo)).png().toBuffer()).withMetadata({ orientation });
    const bytes = await (await stored(menu)).jpeg({ quality: 95 }).toBuffer();
    expect(difference(await pixelsOf(bytes), plain)).toBeLessThan(3);
    const small = await sharp(menu).resize(48, 60, { fit: "fill" }).png().toBuffer();
    const enlarged = await pixelsOf(await (await stored(small)).png().toBuffer());
    expect(difference(enlarged, await pixelsOf(small))).toBeLessThan(0.5);
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

  test("takes half of the rows for enough, and less for too little", async () => {
    // of noise each row takes as many bytes
    const noise = { type: "gaussian", mean: 128, sigma: 40 } as const;
    const create = { width: 512, height: 1024, channels: 3, background: "white", noise } as const;
    const bytes = await sharp({ create }).jpeg().toBuffer();
    await expect(framesOf(bytes.subarray(0, bytes.length * 0.55))).resolves.toHaveLength(1);
    await expect(framesOf(bytes.subarray(0, bytes.length * 0.45))).rejects.toMatchObject({ code: "CORRUPT" });
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

  test("refuses a JPEG of very many segments", async () => {
    const comments = Buffer.alloc(10_000 * 4, Buffer.from([0xff, 0xfe, 0, 2]));
    await expect(pixelsOf(withSegments(menu, comments))).rejects.toMatchObject({
      code: "UNSUPPORTED_FORMAT",
      message: "expected a jpeg of at most 10000 segments",
    });
  });

  test.each([0xff, 0x01, 0xd0])(
    "refuses a JPEG of very many markers %i without a segment",
    async (marker) => {
      const markers = Buffer.alloc(8_000_002, Buffer.from([0xff, marker]));
      await expect(pixelsOf(withSegments(menu, markers))).rejects.toMatchObject({
        code: "UNSUPPORTED_FORMAT",
        message: "expected a jpeg of at most 4000000 markers without a segment",
      });
    },
  );

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

  test("cuts off colours beyond black before it takes means of a WebP, as browsers do", async () => {
    // stripes whose colours are black as a mean, were they not cut off
    const pixels = await pixelsOf(heicOf("beyond-black.webp"));
    expect(pixels.reduce((sum, value) => sum + value, 0) / pixels.length).toBeGreaterThan(80);
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

  test.each(["jpeg", "png"] as const)(
    "reads a %s that is decoded row by row of four times as many pixels as the limit, and none that is held whole",
    async (format) => {
      const tooMany = { code: "TOO_MANY_PIXELS" };
      const [whole, streamed] = await Promise.all(
        [true, false].map((progressive) =>
          sharp(menu).resize(64, 64).toFormat(format, { progressive }).toBuffer(),
        ),
      );
      await expect(framesOf(streamed!, { side: 64, maxPixels: 1024 })).resolves.toHaveLength(1);
      await expect(framesOf(streamed!, { side: 64, maxPixels: 1023 })).rejects.toMatchObject(tooMany);
      await expect(framesOf(whole!, { side: 64, maxPixels: 4096 })).resolves.toHaveLength(1);
      await expect(framesOf(whole!, { side: 64, maxPixels: 4095 })).rejects.toMatchObject(tooMany);
    },
  );

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
  const signature = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");
  return Buffer.concat([signature, pngChunk("IHDR", header), pngChunk("IDAT", rows), pngChunk("IEND")]);
}

function jpegClaiming(width: number, height: number): Buffer {
  const bytes = Buffer.from(menu);
  const frame = bytes.indexOf(Buffer.from([0xff, 0xc0]));
  bytes.writeUInt16BE(height, frame + 5);
  bytes.writeUInt16BE(width, frame + 7);
  return bytes;
}
