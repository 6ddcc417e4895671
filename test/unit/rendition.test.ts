import { describe, expect, test } from "vitest";
import { parseRendition, withRenditions } from "../../src/backfill/rendition.ts";
import { createSample } from "../../src/cli/rendition-sample.ts";
import { ConfigError } from "../../src/errors.ts";
import type { PhotoRef } from "../../src/photo.ts";

const photo: PhotoRef = { store: "s3", bucket: "photos", key: "2019/a.b/dinner.JPG", version: "etag:1" };

describe("a rendition template", () => {
  test.each([
    ["resized/{key}.jpg", "photos", "resized/2019/a.b/dinner.JPG.jpg"],
    ["{stem}_500.webp", "photos", "2019/a.b/dinner_500.webp"],
    ["s3://thumbs/{key}", "thumbs", "2019/a.b/dinner.JPG"],
    ["s3://{bucket}-resized/{bucket}/{stem}", "photos-resized", "photos/2019/a.b/dinner"],
  ])("%s names the copy, whatever its version", (template, bucket, key) => {
    expect(parseRendition(template)(photo)).toEqual({ store: "s3", bucket, key, version: "" });
  });

  test("takes the key as it is: no field in it is filled in, nor a dot of a folder for an extension", () => {
    const odd = { ...photo, key: "x.y/{bucket} $& plain" };
    expect(parseRendition("{stem}/{key}")(odd)?.key).toBe("x.y/{bucket} $& plain/x.y/{bucket} $& plain");
  });

  test("of a folder stays in it, unless it names a bucket", () => {
    const local: PhotoRef = { ...photo, store: "folder", bucket: "/srv/photos" };
    expect(parseRendition("small/{key}")(local)).toMatchObject({ store: "folder", bucket: "/srv/photos" });
    expect(parseRendition("s3://thumbs/{key}")(local)).toMatchObject({ store: "s3", bucket: "thumbs" });
  });

  test("gives none where that would be the photo itself, or a key longer than S3 has", () => {
    expect(parseRendition("s3://photos/{key}")(photo)).toBeUndefined();
    expect(parseRendition("small/{key}")({ ...photo, key: "ü".repeat(510) })).toBeUndefined();
    expect(parseRendition("small/{key}")({ ...photo, key: "ü".repeat(509) })).toBeDefined();
  });

  test.each([
    ["", /expected a key such as/],
    ["s3://thumbs", /expected a key such as/],
    ["s3://thumbs/", /expected a key such as/],
    ["s3:///{key}", /expected a key such as/],
    ["https://cdn/{key}", /expected a key such as/],
    ["small/{name}.jpg", /not \{name\}/],
    ["small/{key", /not \{key/],
    ["small/key}", /not \}/],
    ["small/key.jpg", /expected \{key\} or \{stem\} in the key/],
    ["s3://{key}/small.jpg", /expected \{bucket\} as the only field in the name of the bucket/],
    ["s3://thumbs/{bucket}", /expected \{key\} or \{stem\} in the key/],
    ["{key}", /expected another object than the photo itself/],
    ["s3://{bucket}/{key}", /expected another object than the photo itself/],
  ])("%j is refused, and the message says what is wrong", (template, why) => {
    expect(() => parseRendition(template)).toThrow(why);
    expect(() => parseRendition(template)).toThrow(ConfigError);
  });

  test("goes with each photo to the queue, and without one nothing does", () => {
    const job = { ...photo, id: "1", known: {} };
    expect(withRenditions([job], "small/{stem}")).toEqual([
      { ...job, rendition: { store: "s3", bucket: "photos", key: "small/2019/a.b/dinner", version: "" } },
    ]);
    expect(withRenditions([job], null)).toEqual([job]);
    // of a backfill that was cancelled for it; nobody else's photos wait until it is mended
    expect(withRenditions([job], "small.jpg")).toEqual([job]);
  });
});

test("a sample keeps every item of few, and any item of many", () => {
  const few = createSample<number>(3);
  for (const item of [1, 2]) few.offer(item);
  expect(few.kept).toEqual([1, 2]);
  // draws the first place, the last, and one beyond the sample
  const drawn = [0, 0.999, 0.4];
  const many = createSample<number>(2, () => drawn.shift()!);
  for (const item of [1, 2, 3, 4, 5]) many.offer(item);
  // the third of three goes to place 0; the fourth of four to 3, and is left out; the fifth of five to 2, and too
  expect(many.kept).toEqual([3, 2]);
});
