/** A chunk of a WebP. */
export function riff(type: string, data: Uint8Array | readonly number[] = []): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(data.length);
  return Buffer.concat([Buffer.from(type), size, Buffer.from(data), Buffer.alloc(data.length % 2)]);
}

export function webp(...chunks: Buffer[]): Buffer {
  return riff("RIFF", Buffer.concat([Buffer.from("WEBP"), ...chunks]));
}
