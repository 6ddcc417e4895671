import type { PhotoError } from "../errors.ts";
import { unsupported } from "./boxes.ts";

/**
 * A copy of a WebP that says it can be seen through, or undefined where it says so itself, or has nothing that could be. The decoder here
 * makes opaque what says that it is. Browsers lay it on what is behind all the same, and each in a way of its own: on a dark page
 * there come to light colours that are clear on a bright one.
 *
 * @throws {PhotoError} UNSUPPORTED_FORMAT where of its parts some say so and others that it is opaque, or of very many chunks.
 */
export function asTransparent(bytes: Uint8Array): Buffer | undefined {
  const webp = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const first = webp.toString("latin1", FIRST, FIRST + 4);
  const said = SAID_AT.get(first);
  if (said === undefined) return undefined;
  const transparent = (webp[said]! & TRANSPARENT) !== 0;
  // of a head it is believed; without one the decoder takes for opaque what has an alpha besides
  if (transparent && first === "VP8X") return undefined;
  const lossless: number[] = [];
  let chunks = 0;
  for (let at = FIRST; at + 8 <= webp.length; ) {
    // millions of empty ones held the thread for seconds
    if (++chunks > MOST_CHUNKS) throw unsupported(`a webp of at most ${MOST_CHUNKS} chunks`);
    const type = webp.readUInt32BE(at);
    const size = webp.readUInt32LE(at + 4);
    if (type === ALPH || (type === VP8L && !transparent && webp[at + HINT]! & TRANSPARENT)) throw notOpaque();
    if (type === VP8L) lossless.push(at + HINT);
    // the chunks of a frame stand behind its head
    at += 8 + (type === ANMF ? FRAME_HEAD : size + (size % 2));
  }
  if (transparent || lossless.length === 0) return undefined;
  const copy = Buffer.from(webp);
  for (const at of [said, ...lossless]) copy[at]! |= TRANSPARENT;
  return copy;
}

/** Each lossless picture of such a copy as a WebP of its own. */
export function* losslessIn(webp: Buffer): Generator<Buffer> {
  for (let at = FIRST; at + 8 <= webp.length; ) {
    const type = webp.readUInt32BE(at);
    const size = webp.readUInt32LE(at + 4);
    const chunk = webp.subarray(at, at + 8 + size + (size % 2));
    const head = Buffer.from("RIFF\0\0\0\0WEBP");
    head.writeUInt32LE(4 + chunk.length, 4);
    if (type === VP8L) yield Buffer.concat([head, chunk]);
    at += 8 + (type === ANMF ? FRAME_HEAD : size + (size % 2));
  }
}

export function notOpaque(): PhotoError {
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
