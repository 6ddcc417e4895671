/** Left, top, width and height, in pixels. */
export type Place = readonly [number, number, number, number];

/** What a frame is drawn with, where it differs. */
interface Drawing {
  /** A table of its own, each colour as six digits. */
  colours?: readonly string[];
  /** Of each pixel, at least as its colours need (default: 2). */
  bits?: number;
  interlaced?: boolean;
}

/** A GIF of a table of colours for all frames, which are two to a power, and of whatever blocks. */
export const gif = (
  width: number,
  height: number,
  colours: readonly string[],
  ...blocks: Uint8Array[]
): Buffer =>
  Buffer.concat([
    Buffer.from("GIF89a"),
    u16(width, height),
    Buffer.from([flagsOf(colours), 0, 0]),
    tableOf(colours),
    ...blocks,
    Buffer.from([0x3b]),
  ]);

/** @param disposal 1: stays, 2: is cleared, 3: what was there before is restored. */
export const control = (disposal: number, clear?: number): Buffer =>
  Buffer.from([0x21, 0xf9, 4, (disposal << 2) | (clear === undefined ? 0 : 1), 10, 0, clear ?? 0, 0]);

/** @param pixels each the number of its colour, or that of all. */
export function frame(
  [left, top, width, height]: Place,
  pixels: number | readonly number[],
  { colours = [], bits = 2, interlaced = false }: Drawing = {},
): Buffer {
  const all = typeof pixels === "number" ? Array<number>(width * height).fill(pixels) : pixels;
  const flags = flagsOf(colours) | (interlaced ? 0x40 : 0);
  return Buffer.concat([
    Buffer.from([0x2c]),
    u16(left, top, width, height),
    Buffer.from([flags]),
    tableOf(colours),
    lzw(all, bits),
  ]);
}

const u16 = (...values: number[]): Buffer =>
  Buffer.from(values.flatMap((value) => [value & 255, value >> 8]));
const tableOf = (colours: readonly string[]): Buffer => Buffer.from(colours.join(""), "hex");
const flagsOf = (colours: readonly string[]): number =>
  colours.length === 0 ? 0 : 0x80 | (Math.log2(colours.length) - 1);

/** Pixels as LZW of at most 12 bits, begun anew before its table is full. */
function lzw(pixels: readonly number[], bits: number): Buffer {
  const clear = 1 << bits;
  const known = new Map<string, number>();
  const codes = [clear];
  const codeOf = (text: string): number => known.get(text) ?? text.charCodeAt(0);
  let text = "";
  for (const pixel of pixels) {
    const longer = text + String.fromCharCode(pixel);
    if (longer.length > 1 && !known.has(longer)) {
      codes.push(codeOf(text));
      known.set(longer, clear + 2 + known.size);
      if (clear + 2 + known.size > 4094) {
        codes.push(clear);
        known.clear();
      }
      text = longer.slice(-1);
    } else text = longer;
  }
  return coded(bits, ...codes, ...(text ? [codeOf(text)] : []), clear + 1);
}

/** The size of its codes, which grow as whoever reads them knows more, and blocks up to the one that is empty. */
export function coded(bits: number, ...codes: readonly number[]): Buffer {
  const clear = 1 << bits;
  const bytes: number[] = [];
  let [size, held, count, known] = [bits + 1, 0, 0, 0];
  for (const code of codes) {
    if (known === 1 << size && size < 12) size++;
    held |= code << count;
    count += size;
    for (; count >= 8; count -= 8, held >>= 8) bytes.push(held & 255);
    if (code === clear) [size, known] = [bits + 1, clear + 1];
    // the first code names nothing, and each after it one more
    else known++;
  }
  bytes.push(held & 255);
  const blocks: number[] = [bits];
  for (let at = 0; at < bytes.length; at += 255) {
    const block = bytes.slice(at, at + 255);
    blocks.push(block.length, ...block);
  }
  return Buffer.from([...blocks, 0]);
}
