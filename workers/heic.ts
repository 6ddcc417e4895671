/** Thread: bytes of a HEIC photo → its pixels, as `DecodeHeic` has them. libheif (WebAssembly) has applied its rotation. */
import libheif from "libheif-js/wasm-bundle.js";
import sharp from "sharp";
import { asError, PhotoError } from "../src/errors.ts";
import type { HeicTask } from "../src/image/heic.ts";
import { pixelsOf } from "../src/image/views.ts";
import { serveThread } from "../src/thread.ts";

await serveThread(async () => ({
  ready: null,
  async handle({ bytes, size, alpha }: HeicTask) {
    const { data, width, height } = await decode(bytes).catch((cause: unknown) => {
      throw new PhotoError("CORRUPT", `heic: ${asError(cause).message}`, { cause });
    });
    const rgba = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    const pixels = await pixelsOf(sharp(rgba, { raw: { width, height, channels: 4 } }), size, alpha);
    // sharp's buffer may be a window of a shared one, which cannot be transferred
    const result = new Uint8Array(pixels);
    return { result, transfer: [result.buffer] };
  },
}));

/** Of several images the primary one, which is what is shown and need not be the first. */
async function decode(
  bytes: Uint8Array,
): Promise<{ data: Uint8ClampedArray; width: number; height: number }> {
  const file = new libheif.HeifDecoder();
  const images = file.decode(bytes);
  try {
    const image = images.find((each) => each.is_primary());
    if (!image) throw new Error("it has no image that can be read");
    const [width, height] = [image.get_width(), image.get_height()];
    const data = new Uint8ClampedArray(width * height * 4);
    const filled = await new Promise((done) => image.display({ data }, done));
    if (!filled) throw new Error("its pixels cannot be read");
    return { data, width, height };
  } finally {
    for (const image of images) image.free();
    file.decoder?.delete();
  }
}
