import { expect, test } from "vitest";
import { scansOf, tellsBrightness } from "../../src/image/jpeg-scans.ts";
import { jpegSegment } from "../jpeg.ts";

const BRIGHTNESS = 1;
/** Of frequencies of one component, coarsely, or their further digits. */
const scan = (component: number, first: number, last: number, further = false): Buffer =>
  Buffer.concat([
    jpegSegment(0xda, Buffer.from([1, component, 0, first, last, further ? 0x10 : 0])),
    Buffer.from([1, 2, 3]),
  ]);
const codes = jpegSegment(0xc4, "of no matter here");
const end = Buffer.from([0xff, 0xd9, 0, 0, 0]);
const jpeg = (...parts: Buffer[]): Buffer =>
  Buffer.concat([
    Buffer.from([0xff, 0xd8]),
    jpegSegment(0xc2, Buffer.from([8, 0, 8, 0, 8, 1, BRIGHTNESS, 0x11, 0])),
    ...parts,
  ]);
const coarse = [scan(BRIGHTNESS, 0, 0), codes, scan(BRIGHTNESS, 1, 40), codes];

test.each<[string, boolean, Buffer[]]>([
  ["all that there are", true, [...coarse, scan(BRIGHTNESS, 41, 63), end]],
  ["all but the last", false, [...coarse, scan(BRIGHTNESS, 41, 62), end]],
  ["some, and the end of the others is lost", false, [...coarse, scan(BRIGHTNESS, 41, 63)]],
  ["some, and further digits of these", false, [...coarse, scan(BRIGHTNESS, 1, 40, true), end]],
  ["some, and the others of its colours", false, [...coarse, scan(2, 1, 63), end]],
])("of the frequencies of a JPEG's brightness it tells %s", (_which, all, parts) => {
  expect(tellsBrightness(jpeg(...parts))).toBe(all);
});

test("what stands behind a JPEG's end is not of it", () => {
  expect(scansOf(jpeg(scan(BRIGHTNESS, 0, 63), end, scan(BRIGHTNESS, 0, 63), end))).toBe(1);
});
