import sharp from "sharp";
import { PhotoError } from "../errors.ts";
import { unsupported } from "./boxes.ts";
import { optionsOf, pixelsOf } from "./views.ts";

/**
 * Refuses a WebP of which a part says that it is opaque, and is not. Each browser lays it on what is behind in a way of its own, and the
 * decoder here in another one: on a dark page there come to light colours that are clear on a bright one, and of an animation a frame may
 * hide those before it, or not.
 *
 * @throws {PhotoError} UNSUPPORTED_FORMAT; TOO_MANY_PIXELS of very many lossless frames; and whatever the decoder throws.
 */
export async function checkOpaque(bytes: Uint8Array, maxPixels: number): Promise<void> {
  let frames = 0;
  let pixels = 0;
  for (const lossless of saidOpaque(bytes)) {
    const { width, height } = sizeOf(lossless);
    pixels += width * height;
    if (++frames > MOST_LOSSLESS || width * height > maxPixels || pixels > 4 * maxPixels)
      throw new PhotoError(
        "TOO_MANY_PIXELS",
        `expected a webp of at most ${MOST_LOSSLESS} lossless frames, and ${4 * maxPixels} pixels in all of them (MAITRED_MAX_PIXELS)`,
      );
    const seen = { width: Math.min(width, MOST_SEEN), height: Math.min(height, MOST_SEEN) };
    const rgba = await pixelsOf(sharp(lossless, optionsOf("none")), seen, true);
    if (rgba.some((value, at) => at % 4 === 3 && value < 255)) throw notOpaque();
  }
}

/**
 * The lossless pictures of a WebP that say they are opaque, each as a WebP of its own that says it is not: or the decoder would make it so.
 * Of a single picture with a head that head is believed by all.
 *
 * @throws {PhotoError} UNSUPPORTED_FORMAT where of its parts some say that it is opaque, and others that it is not; or of very many chunks.
 */
export function* saidOpaque(bytes: Uint8Array): Generator<Buffer> {
  const webp = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const first = webp.toString("latin1", FIRST, FIRST + 4);
  const said = SAID_AT.get(first);
  if (said === undefined) return;
  const transparent = (webp[said]! & TRANSPARENT) !== 0;
  const believed = transparent && first === "VP8X";
  let moves = false;
  let chunks = 0;
  for (let at = FIRST; at + 8 <= webp.length; ) {
    // millions of empty ones held the thread for seconds
    if (++chunks > MOST_CHUNKS) throw unsupported(`a webp of at most ${MOST_CHUNKS} chunks`);
    const type = webp.readUInt32BE(at);
    const size = webp.readUInt32LE(at + 4);
    const end = at + 8 + size + (size % 2);
    moves ||= type === ANMF;
    const opaque = type === VP8L && (webp[at + HINT]! & TRANSPARENT) === 0;
    // without a head the decoder takes for opaque what has an alpha besides
    if (!believed && (type === ALPH || (type === VP8L && !opaque && !transparent))) throw notOpaque();
    if (opaque && (!believed || moves)) yield asTransparent(webp.subarray(at, end));
    // the chunks of a frame stand behind its head
    at = type === ANMF ? at + 8 + FRAME_HEAD : end;
  }
}

function asTransparent(lossless: Buffer): Buffer {
  const head = Buffer.from("RIFF\0\0\0\0WEBP");
  head.writeUInt32LE(4 + lossless.length, 4);
  const still = Buffer.concat([head, lossless]);
  if (still.length > FIRST + HINT) still[FIRST + HINT]! |= TRANSPARENT;
  return still;
}

/** As its first 28 bits behind the signature say, from the lowest. */
function sizeOf(lossless: Buffer): { width: number; height: number } {
  if (lossless.length < FIRST + HINT + 1)
    throw new PhotoError("CORRUPT", "a lossless picture of it is cut off");
  const bits = lossless.readUInt32LE(FIRST + HINT - 3);
  return { width: (bits & 0x3fff) + 1, height: ((bits >> 14) & 0x3fff) + 1 };
}

function notOpaque(): PhotoError {
  return unsupported(
    "a webp that is opaque where it says so, got one that can be seen through, of which nobody knows what browsers show: save it anew",
  );
}

/** Where the first chunk is, after RIFF, a length and WEBP. */
const FIRST = 12;
const VP8L = 0x5650384c;
const ALPH = 0x414c5048;
const ANMF = 0x414e4d46;
const FRAME_HEAD = 16;
/** Where in lossless pixels it is said, after a signature and twice 14 bits. */
const HINT = 12;
/** Where it is said of a whole file, by its first chunk: of one that others follow among its flags. */
const SAID_AT = new Map([
  ["VP8X", FIRST + 8],
  ["VP8L", FIRST + HINT],
]);
/** The bit that says it. */
const TRANSPARENT = 16;
/** Of as many frames as are decoded at all, within seconds. */
const MOST_CHUNKS = 100_000;
/** In each part of which one clear pixel in 500 is seen. */
const MOST_SEEN = 256;
/** Each takes half a millisecond, however small it is. */
const MOST_LOSSLESS = 10_000;
