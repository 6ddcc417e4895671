/** Thread: bytes of a HEIC photo → its pixels, as `DecodeHeic` has them. libheif (WebAssembly) has applied its rotation. */
import libheif, { type DecodedImage, type HeifImage } from "libheif-js/wasm-bundle.js";
import sharp from "sharp";
import { PhotoError } from "../src/errors.ts";
import type { HeicTask } from "../src/image/heic.ts";
import { pixelsOf } from "../src/image/views.ts";
import { serveThread } from "../src/thread.ts";

await serveThread(async () => ({
  ready: null,
  async handle({ bytes, size, alpha }: HeicTask) {
    const { rgba, width, height } = await decodeOrEnd(bytes);
    const pixels = await pixelsOf(sharp(rgba, { raw: { width, height, channels: 4 } }), size, alpha);
    // sharp's buffer may be a window of a shared one, which cannot be transferred
    const result = new Uint8Array(pixels);
    return { result, transfer: [result.buffer] };
  },
}));

interface Pixels {
  rgba: Uint8Array;
  width: number;
  height: number;
}

/**
 * That a photo is broken libheif answers. What it throws is a trap, such as the end of its memory, and leaves that memory in
 * disorder, in which the next photo would be read: not caught, it ends the thread.
 */
function decodeOrEnd(bytes: Uint8Array): Pixels | Promise<never> {
  try {
    return decode(bytes);
  } catch (thrown) {
    if (thrown instanceof PhotoError) throw thrown;
    queueMicrotask(() => {
      throw thrown;
    });
    return new Promise<never>(() => {});
  }
}

/** Of several images the primary one, which is what is shown and need not be the first. */
function decode(bytes: Uint8Array): Pixels {
  const file = new libheif.HeifDecoder();
  let images: HeifImage[] = [];
  try {
    images = file.decode(bytes);
    const image = images.find((each) => each.is_primary());
    if (!image) throw corrupt("it has no image that can be read");
    return pixelsIn(image);
  } finally {
    for (const image of images) image.free();
    file.decoder?.delete();
  }
}

function pixelsIn(image: HeifImage): Pixels {
  const decoded = libheif.heif_js_decode_image2(
    image.handle,
    libheif.heif_colorspace.heif_colorspace_RGB,
    libheif.heif_chroma.heif_chroma_interleaved_RGBA,
  );
  if ("message" in decoded) throw corrupt(decoded.message.trim());
  const { width, height, stride, data } = decoded.channels[0];
  try {
    if (isDamaged(decoded.image)) throw corrupt("a part of it cannot be decoded");
    // a crop that goes beyond the picture is cut off there, and viewers that leave it out show more
    if (width !== image.get_width() || height !== image.get_height())
      throw corrupt(
        `expected ${image.get_width()} x ${image.get_height()} pixels, as it says, got ${width} x ${height}`,
      );
    const rgba = new Uint8Array(width * height * 4);
    for (let row = 0; row < height; row++)
      rgba.set(data.subarray(row * stride, row * stride + width * 4), row * width * 4);
    return { rgba, width, height };
  } finally {
    libheif.heif_image_release(decoded.image);
  }
}

/**
 * Whether it is decoded in part: of tiles libheif leaves green those that it cannot decode, and tells of them as warnings. So it does of
 * colours that it does not know, which are no damage.
 */
function isDamaged({ $$: { ptr } }: DecodedImage): boolean {
  const count = libheif._heif_image_get_decoding_warnings(ptr, 0, 0, 0);
  const at = libheif._malloc(count * WARNING_BYTES);
  libheif._heif_image_get_decoding_warnings(ptr, 0, at, count);
  const subcodes = Array.from(
    { length: count },
    (_, n) => libheif.HEAPU32[(at + n * WARNING_BYTES) / 4 + 1]!,
  );
  libheif._free(at);
  return subcodes.some((subcode) => !OF_COLOURS.has(subcode));
}

function corrupt(why: string): PhotoError {
  return new PhotoError("CORRUPT", `heic: ${why}`);
}

/** A code, a subcode and where its text is. */
const WARNING_BYTES = 12;
const { heif_suberror_code: subcodes } = libheif;
const OF_COLOURS = new Set([
  subcodes.heif_suberror_Unknown_NCLX_color_primaries.value,
  subcodes.heif_suberror_Unknown_NCLX_transfer_characteristics.value,
  subcodes.heif_suberror_Unknown_NCLX_matrix_coefficients.value,
  subcodes.heif_suberror_NCLX_colr_VUI_mismatch.value,
]);
