import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import sharp from "sharp";

/** A photo that `colourGraph` judges as it is painted. */
export interface Painted {
  file: string;
  /** Of the whole frame, 0..255 each. */
  colour: readonly [red: number, green: number, blue: number];
  /** A square that stands for a human: its middle, 0..1 of the frame, and how bright it is, 0..1. */
  light?: { x: number; y: number; bright: number };
}

/** Paints a photo as a lossless PNG below a folder. */
export async function paint(folder: string, { file, colour, light }: Painted, size = 256): Promise<void> {
  const [r, g, b] = colour;
  const path = join(folder, file);
  mkdirSync(dirname(path), { recursive: true });
  const frame = sharp({ create: { width: size, height: size, channels: 3, background: { r, g, b } } });
  const edge = size / 4;
  const level = Math.round((light?.bright ?? 0) * 255);
  const square = {
    create: {
      width: edge,
      height: edge,
      channels: 3 as const,
      background: { r: level, g: level, b: level },
    },
  };
  const at = (share: number): number => Math.round(share * size - edge / 2);
  // a photo like another is no copy of it
  const exif = { IFD0: { ImageDescription: file } };
  const layers = light ? [{ input: square, left: at(light.x), top: at(light.y) }] : [];
  writeFileSync(path, await frame.composite(layers).withExif(exif).png().toBuffer());
}
