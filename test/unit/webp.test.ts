import { describe, expect, test } from "vitest";
import { saidOpaque } from "../../src/image/webp.ts";
import { riff, webp } from "../webp.ts";

/** Says that it can be seen through: among the flags of a file, and of lossless pixels after a signature and twice 14 bits. */
const head = (transparent: boolean): Buffer =>
  riff("VP8X", [transparent ? 16 : 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
const lossless = (transparent: boolean): Buffer => riff("VP8L", [0x2f, 0, 0, 0, transparent ? 16 : 0, 7, 7]);
const alpha = riff("ALPH", [0]);
const lossy = riff("VP8 ", [0, 0, 0]);
const frame = (...chunks: Buffer[]): Buffer => riff("ANMF", [...Buffer.alloc(16), ...Buffer.concat(chunks)]);

const saidOpaqueIn = (...chunks: Buffer[]): Buffer[] => [...saidOpaque(webp(...chunks))];

describe("a webp that says it is opaque", () => {
  test.each<[string, Buffer[], number]>([
    ["lossless pixels", [lossless(false)], 1],
    ["a head and lossless pixels", [head(false), lossless(false)], 1],
    [
      "frames",
      [head(false), riff("ANIM", [1]), frame(lossless(false)), frame(lossy), frame(lossless(false))],
      2,
    ],
    [
      "frames, and whose head says that it is not",
      [head(true), frame(lossless(true)), frame(lossless(false))],
      1,
    ],
  ])("is looked at where it is of %s", (_what, given, count) => {
    const bytes = webp(...given);
    const before = Buffer.from(bytes);
    expect([...saidOpaque(bytes)]).toEqual(Array(count).fill(webp(lossless(true))));
    expect(bytes).toEqual(before);
  });

  test.each<[string, Buffer[]]>([
    ["a lossy one", [lossy]],
    ["a lossy one with a head", [head(false), riff("EXIF", [1]), lossy]],
    ["of lossy frames", [head(false), frame(lossy), frame(lossy)]],
    ["one that says it is not", [lossless(true)]],
    ["one whose head says it is not", [head(true), lossless(false)]],
    ["a lossy one whose head says it is not", [head(true), alpha, lossy]],
    ["of pixels that are cut off", [riff("VP8L").subarray(0, 4)]],
    ["whose metadata looks like pixels", [head(false), riff("XMP ", lossless(false)), lossy]],
  ])("is believed: %s", (_what, chunks) => {
    expect(saidOpaqueIn(...chunks)).toEqual([]);
  });

  test.each<[string, Buffer[]]>([
    ["lossless pixels", [head(false), lossless(true)]],
    ["an alpha", [head(false), riff("ICCP", [1, 2, 3]), alpha, lossy]],
    ["a frame", [head(false), frame(lossy), frame(alpha, lossy)]],
    ["lossless pixels that have an alpha besides", [lossless(true), alpha]],
  ])("is refused where %s can be seen through", (_what, chunks) => {
    expect(() => saidOpaqueIn(...chunks)).toThrow(
      expect.objectContaining({
        code: "UNSUPPORTED_FORMAT",
        message: expect.stringContaining("opaque where it says so"),
      }),
    );
  });

  test("is refused where it has more chunks than a photo", () => {
    expect(() => saidOpaqueIn(head(false), Buffer.alloc(100_000 * lossy.length, lossy))).toThrow(
      "at most 100000 chunks",
    );
  });
});
