import { unsupported } from "./boxes.ts";

/**
 * Whether a JPEG of several scans that lost its end still tells every frequency of its brightness, if coarsely: 40 % of its
 * bytes as libjpeg writes them, and up to 90 % as mozjpeg does. Its rows tell nothing, for each scan goes over all of them.
 */
export function tellsBrightness(bytes: Uint8Array): boolean {
  let brightness: number | undefined;
  let told = 0;
  let telling = 0;
  for (const { marker, at } of markersOf(bytes)) {
    // only what another marker follows is there to its end
    told += telling;
    telling = 0;
    if (marker >= 0xc0 && marker <= 0xc2) brightness = bytes[at + 10];
    if (marker === SCAN) telling = frequencies(bytes.subarray(at + 4), brightness);
  }
  return told >= 64;
}

/** In how many scans a JPEG is told: encoders write about ten, and each takes a walk over all of the picture. */
export function scansOf(bytes: Uint8Array): number {
  let scans = 0;
  for (const { marker } of markersOf(bytes)) if (marker === SCAN) scans++;
  return scans;
}

/**
 * Up to the end of the picture; as libjpeg walks over them, or a scan could be hidden from who counts.
 *
 * @throws {PhotoError} UNSUPPORTED_FORMAT of very many.
 */
export function* markersOf(jpeg: Uint8Array): Generator<{ marker: number; at: number }> {
  // a Buffer looks for a byte several times as fast as walking to it does, but for the few next ones
  const bytes = Buffer.from(jpeg.buffer, jpeg.byteOffset, jpeg.length);
  let segments = 0;
  let empty = 0;
  for (let at = 2; at + 4 < bytes.length; ) {
    if (bytes[at] !== 0xff) {
      for (const near = at + 4; at < near && bytes[at] !== 0xff; ) at++;
      if (bytes[at] !== 0xff) at = bytes.indexOf(0xff, at);
      if (at < 0) return;
      continue;
    }
    const marker = bytes[at + 1]!;
    // 00 and the restarts are part of a scan's data, 01 has no length, and before a marker there may be any number of ff
    if (marker <= 1 || marker === 0xff || (marker >= 0xd0 && marker <= 0xd7)) {
      // sixty million of them held the thread for two thirds of a second
      if (++empty > MOST_EMPTY)
        throw unsupported(`a jpeg of at most ${MOST_EMPTY} markers without a segment`);
      at += marker === 0xff ? 1 : 2;
      continue;
    }
    // six million empty ones held the thread for a second
    if (++segments > MOST_SEGMENTS) throw unsupported(`a jpeg of at most ${MOST_SEGMENTS} segments`);
    yield { marker, at };
    if (marker === END) return;
    at += 2 + bytes.readUInt16BE(at + 2);
  }
}

/** How many frequencies of a component a scan is the first to tell. */
function frequencies(scan: Uint8Array, component: number | undefined): number {
  const components = scan[0]!;
  const [first, last, precision] = scan.subarray(1 + 2 * components, 4 + 2 * components);
  const isFirst = precision !== undefined && precision >> 4 === 0;
  for (let n = 0; n < components; n++)
    if (scan[1 + 2 * n] === component && isFirst) return last! - first! + 1;
  return 0;
}

export const SCAN = 0xda;
export const END = 0xd9;
/** Those of 64 kB that 60 MB of metadata take are a thousand. */
const MOST_SEGMENTS = 10_000;
/** In the data of scans there is one in 100 to 256 bytes. */
const MOST_EMPTY = 4_000_000;
