import sharp, { type Sharp } from "sharp";
import { describe, expect } from "vitest";
import { shrink } from "../../src/image/shrink.ts";
import { cpuMs, framesOf, heic, limits, menu } from "../decoded.ts";
import { test } from "../fixtures.ts";
import { frame, gif } from "../gif.ts";
import { pngChunk } from "../png.ts";

describe("decode", () => {
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

  test("refuses an animated PNG, of which it could read the first frame only", async () => {
    const png = await sharp(menu).resize(64, 64).png().toBuffer();
    // eight frames, for ever
    const control = pngChunk("acTL", [0, 0, 0, 8, 0, 0, 0, 0]);
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
});

/** A GIF whose frames are all alike. */
function gifOf(frames: number, width: number, height: number): Buffer {
  const one = frame([0, 0, width, height], 0);
  return gif(width, height, ["ff0000", "0000ff"], Buffer.alloc(frames * one.length, one));
}
