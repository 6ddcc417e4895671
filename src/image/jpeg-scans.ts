/**
 * Whether a JPEG of several scans that lost its end still tells every frequency of its brightness, if coarsely: 40 % of its
 * bytes as libjpeg writes them, and up to 90 % as mozjpeg does. Its rows tell nothing, for each scan goes over all of them.
 */
export function tellsBrightness(bytes: Uint8Array): boolean {
  let brightness: number | undefined;
  let told = 0;
  let telling = 0;
  for (let at = 2; at + 4 < bytes.length; ) {
    const marker = bytes[at + 1]!;
    // 00 and the restarts are part of a scan's data
    if (bytes[at] !== 0xff || marker === 0 || marker === 0xff || (marker >= 0xd0 && marker <= 0xd7)) {
      at++;
      continue;
    }
    // only what another marker follows is there to its end
    told += telling;
    telling = 0;
    if (marker >= 0xc0 && marker <= 0xc2) brightness = bytes[at + 10];
    if (marker === 0xda) telling = frequencies(bytes.subarray(at + 4), brightness);
    at += 2 + bytes[at + 2]! * 256 + bytes[at + 3]!;
  }
  return told >= 64;
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
