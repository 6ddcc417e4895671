import { crc32 } from "node:zlib";
import sharp from "sharp";
import { chunksOf, PALETTE, pixelsOf } from "./png.ts";
import { optionsOf, scaled } from "./views.ts";

/**
 * Whether more than a few pixels of a PNG have a number beyond its palette. The decoder here shows them in black, Chromium in the last
 * colour that there is, and the format says that there are none. Reading it again takes as long as once, and nothing where its palette is full.
 */
export async function exceedsPalette(bytes: Uint8Array): Promise<boolean> {
  const { depth, colour } = pixelsOf(bytes);
  if (colour !== PALETTE) return false;
  let colours = 0;
  let pixelsAt = bytes.length;
  for (const { type, data, at } of chunksOf(bytes)) {
    if (type === "PLTE") colours = Math.floor(data.length / 3);
    if (type === "IDAT") pixelsAt = at;
  }
  const most = 2 ** depth;
  if (colours >= most) return false;
  // its own colours in black, and what is beyond them in white
  const palette = Buffer.alloc(3 * most).fill(255, 3 * colours);
  const marked = Buffer.concat([
    bytes.subarray(0, HEADER_BYTES),
    chunkOf("PLTE", palette),
    bytes.subarray(pixelsAt),
  ]);
  const seen = await scaled(sharp(marked, optionsOf("none")), SIZE)
    .raw()
    .toBuffer();
  return seen.some((value) => value > 0);
}

function chunkOf(type: string, data: Buffer): Buffer {
  const chunk = Buffer.alloc(12 + data.length);
  chunk.writeUInt32BE(data.length, 0);
  chunk.write(type, 4, "latin1");
  chunk.set(data, 8);
  chunk.writeUInt32BE(crc32(chunk.subarray(4, 8 + data.length)), 8 + data.length);
  return chunk;
}

/** The signature, and IHDR. */
const HEADER_BYTES = 33;
/** In each part of which one pixel in 500 is seen. */
const SIZE = { width: 256, height: 256 };
