import sharp from "sharp";
import { describe, expect } from "vitest";
import { difference, framesOf, menu, pixelsOf, plain } from "../decoded.ts";
import { test } from "../fixtures.ts";
import { box, heicOf, heif, itemOf } from "../heif.ts";
import { jpegSegment, withSegments } from "../jpeg.ts";

describe("decode", () => {
  test("refuses a JPEG that browsers make another picture of by its gain map, and no other that has one", async () => {
    const said = (hdr: string): Buffer =>
      Buffer.concat([
        withSegments(menu, jpegSegment(0xe2, "MPF\0MM\0*")),
        withSegments(
          menu,
          jpegSegment(0xe1, `http://ns.adobe.com/xap/1.0/\0<x hdrgm:BaseRenditionIsHDR="${hdr}"/>`),
        ),
      ]);
    await expect(framesOf(said("False"))).resolves.toHaveLength(1);
    await expect(framesOf(said("True"))).rejects.toMatchObject({
      code: "UNSUPPORTED_FORMAT",
      message: expect.stringContaining("gain map"),
    });
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

    describe("that is grey", () => {
      const segmentOf = (jpeg: Buffer): Buffer => {
        const at = jpeg.indexOf("ICC_PROFILE") - 4;
        return jpeg.subarray(at, at + 2 + jpeg.readUInt16BE(at + 2));
      };
      const grey = (): Promise<Buffer> => sharp(menu).toColourspace("b-w").jpeg().toBuffer();
      const told = async (segment: Buffer): Promise<Buffer> => {
        const jpeg = await grey();
        return Buffer.concat([jpeg.subarray(0, 2), segment, jpeg.subarray(2)]);
      };

      test("reads one of quite another picture without it too", async () => {
        const segment = segmentOf(whitened(await profiled("srgb", "jpeg")));
        segment.write("GRAY", 18 + 16);
        segment.write("kTRC", segment.indexOf("rTRC"));
        const views = await framesOf(await told(segment));
        expect(views).toHaveLength(2);
        expect(difference(views[1]!, await pixelsOf(await grey()))).toBe(0);
        expect(difference(views[0]!, views[1]!)).toBeGreaterThan(40);
      });

      test("refuses one of quite another picture by a profile of colours, which browsers alone apply", async () => {
        await expect(framesOf(await told(segmentOf(await profiled("srgb", "jpeg"))))).resolves.toHaveLength(
          1,
        );
        await expect(
          framesOf(await told(segmentOf(whitened(await profiled("srgb", "jpeg"))))),
        ).rejects.toMatchObject({
          code: "UNSUPPORTED_FORMAT",
          message: expect.stringContaining("could not be applied"),
        });
      });
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
      ["of class mntr", (icc) => icc.write("abst", 12)],
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

    test("reads ink with a profile, and as it is mixed without one", async () => {
      expect(await framesOf(await profiled("cmyk", "jpeg"))).toHaveLength(2);
    });

    test.each(["srgb", "p3"])("reads one of %s once", async (profile) => {
      expect(difference(await pixelsOf(await profiled(profile, "jpeg")), plain)).toBeLessThan(6);
    });
  });
});
