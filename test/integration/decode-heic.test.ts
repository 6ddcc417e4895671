import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import sharp, { type Sharp } from "sharp";
import { beforeAll, describe, expect } from "vitest";
import { decode } from "../../src/image/decode.ts";
import { createHeicDecoder } from "../../src/image/heic.ts";
import { difference, framesOf, HEIC_THREAD, limits, menu, pixelsOf, plain } from "../decoded.ts";
import { test } from "../fixtures.ts";
import {
  ALPHA,
  box,
  crop,
  grid,
  heicOf,
  heif,
  type Item,
  itemOf,
  mirror,
  refers,
  turn,
  u16,
} from "../heif.ts";

describe("decode", () => {
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
      // the whole says that it is smaller
      await expect(framesOf(tiled(1), { side: 64, maxPixels: 500 * 640 - 1 })).rejects.toMatchObject({
        code: "TOO_MANY_PIXELS",
      });
    },
  );

  test("takes a HEIC for corrupt of which a tile cannot be decoded, and none for its colours", async () => {
    const tile = itemOf(heicOf("menu.heic"));
    const beside = (other: Item): Promise<Uint8Array[]> =>
      framesOf(Buffer.from(heif([grid(1, 2, 1000, 640), tile, other], refers("dimg", 1, 2, 3)), "latin1"));
    const [whole, alpha] = [grid(1, 2, 1000, 640), grid(1, 2, 1000, 640)];
    alpha.properties = [...alpha.properties, ALPHA];
    const refer = [refers("dimg", 1, 2, 3), refers("dimg", 4, 5, 6), refers("auxl", 4, 1)];
    const behind = (other: Item): Promise<Uint8Array[]> =>
      framesOf(Buffer.from(heif([whole, tile, tile, alpha, tile, other], ...refer), "latin1"));
    await expect(beside(tile)).resolves.toHaveLength(1);
    await expect(behind(tile)).resolves.toHaveLength(2);
    for (const damaged of [
      { ...tile, data: tile.data.slice(0, tile.data.length / 2) },
      { ...tile, properties: tile.properties.filter((property) => !property.includes("hvcC")) },
    ])
      for (const damage of [beside, behind])
        await expect(damage(damaged)).rejects.toMatchObject({
          code: "CORRUPT",
          message: "heic: a part of it cannot be decoded",
        });
    const colours = box("colr", "nclx", u16(1, 13, 200), "\x80");
    const unknown = heif([{ ...tile, properties: [...tile.properties, colours] }]);
    await expect(framesOf(Buffer.from(unknown, "latin1"))).resolves.toHaveLength(1);
  });

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
});
