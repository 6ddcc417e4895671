import { expect, test } from "vitest";
import { Bucket } from "../../src/queue/bucket.ts";

function refusedBy(bucket: Bucket, photos: number): boolean {
  for (let id = 1; id <= photos; id++) bucket.refused(String(id));
  return bucket.away;
}

test("a bucket is away that refused five photos since it gave one, and not one photo five times", () => {
  const bucket = new Bucket();
  for (let time = 1; time <= 5; time++) bucket.refused("1");
  expect(bucket.away).toBe(false);
  expect(refusedBy(bucket, 4)).toBe(false);
  bucket.gave(1_000);
  expect(refusedBy(bucket, 4)).toBe(false);
  expect(refusedBy(bucket, 5)).toBe(true);
  bucket.gave(2_000);
  expect(bucket.away).toBe(false);
});

test("what a bucket gave counts from when it was asked for, in whatever order it came", () => {
  const bucket = new Bucket();
  expect(bucket.gaveNoneSince(0)).toBe(true);
  bucket.gave(2_000);
  bucket.gave(1_000);
  expect([bucket.gaveNoneSince(1_999), bucket.gaveNoneSince(2_000)]).toEqual([false, true]);
});
