/** Thread: bytes of a HEIC photo → side * side * 3 bytes of RGB. libheif (WebAssembly) has applied its rotation. */
import decodeHeic from "heic-decode";
import sharp from "sharp";
import { asError, PhotoError } from "../src/errors.ts";
import { pixelsOf } from "../src/image/decode.ts";
import type { HeicTask } from "../src/image/heic.ts";
import { serveThread } from "../src/thread.ts";

await serveThread(async () => ({
  ready: null,
  async handle({ bytes, side }: HeicTask) {
    const photo = await decodeHeic({ buffer: bytes }).catch((cause: unknown) => {
      throw new PhotoError("CORRUPT", `heic: ${asError(cause).message}`, { cause });
    });
    const { width, height, data } = photo;
    const rgba = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    const pixels = await pixelsOf(sharp(rgba, { raw: { width, height, channels: 4 } }), side);
    // sharp's buffer may be a window of a shared one, which cannot be transferred
    const result = new Uint8Array(pixels);
    return { result, transfer: [result.buffer] };
  },
}));
