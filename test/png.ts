import { crc32, deflateSync } from "node:zlib";

export function pngChunk(type: string, data: Uint8Array | readonly number[] = []): Buffer {
  const body = Buffer.concat([Buffer.from(type), Buffer.from(data)]);
  return Buffer.concat([u32(data.length), body, u32(crc32(body))]);
}

/** A chunk of numbers of 32 bits. */
export const pngChunkOf = (type: string, ...values: number[]): Buffer =>
  pngChunk(type, Buffer.concat(values.map(u32)));

/** Of a depth and a colour type, up to its first pixels. */
export const pngHead = (depth: number, colour: number, size: number, ...chunks: Buffer[]): Buffer =>
  Buffer.concat([
    Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
    pngChunk("IHDR", [...u32(size), ...u32(size), depth, colour, 0, 0, 0]),
    ...chunks,
  ]);

/** A square; what a pixel is of, is told for each as values of its depth. */
export function pngOf(
  depth: number,
  colour: number,
  size: number,
  pixel: (x: number, y: number) => number[],
  ...chunks: Buffer[]
): Buffer {
  const rows = Array.from({ length: size }, (_, y) => {
    const values = Array.from({ length: size }, (_, x) => pixel(x, y)).flat();
    const bits = values.map((value) => value.toString(2).padStart(depth, "0")).join("");
    return [0, ...(bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2))];
  });
  const pixels = deflateSync(Buffer.from(rows.flat()));
  return pngHead(depth, colour, size, ...chunks, pngChunk("IDAT", pixels), pngChunk("IEND"));
}

/** With a checksum that is another. */
export function damaged(chunk: Buffer): Buffer {
  const copy = Buffer.from(chunk);
  copy[copy.length - 1]! ^= 1;
  return copy;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
