import { readFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { expect, test } from "vitest";
import { isWhole } from "../../src/image/whole.ts";
import { packageRoot } from "../../src/package-root.ts";
import { jpegSegment, withSegments } from "../jpeg.ts";

const noise = sharp({
  create: { width: 64, height: 48, channels: 3, background: "white", noise: { type: "gaussian", sigma: 60 } },
});
const jpeg = (progressive: boolean): Promise<Buffer> => noise.clone().jpeg({ progressive }).toBuffer();

test.for(["png", "gif", "webp", "avif", "heic"] as const)(
  "tells a %s from one that is cut off",
  async (format) => {
    const whole =
      format === "heic"
        ? readFileSync(join(packageRoot(), "test/photos/menu.heic"))
        : await noise.clone().toFormat(format).toBuffer();
    expect(isWhole(whole)).toBe(true);
    // of noise one byte in 256 is a semicolon, by which a GIF ends
    const half = whole.indexOf("\x80", whole.length >> 1, "latin1") + 1;
    for (const left of [whole.length - 1, half, 12, 4, 0])
      expect.soft(isWhole(whole.subarray(0, left)), `${left} of ${whole.length}`).toBe(false);
  },
);

test.for([false, true])(
  "tells a JPEG (progressive: %s) wherever it is cut off, and whatever is behind it",
  async (way) => {
    const plain = await jpeg(way);
    // the end of a thumbnail is none of the photo, unless the photo ends there: then there is nothing of it
    const photo = withSegments(
      plain,
      jpegSegment(0xe1, Buffer.concat([Buffer.from("Exif\0\0"), await jpeg(false)])),
    );
    const thumbnailEnd = photo.indexOf("\xff\xd9", 0, "latin1") + 2;
    for (const behind of ["", "\0\0\0\0", "\0\0\0\x18ftypmp42 and a video"])
      expect(isWhole(Buffer.concat([photo, Buffer.from(behind, "latin1")]))).toBe(true);
    for (let left = 0; left < photo.length; left++)
      expect.soft(isWhole(photo.subarray(0, left)), `${left}`).toBe(left === thumbnailEnd);
  },
);
