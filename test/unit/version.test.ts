import { expect, test } from "vitest";
import { createdVersion, etagOf, versionOf } from "../../src/version.ts";

test("a version id names a photo before an etag does, unless it is S3's name for none", () => {
  expect(versionOf("3HL4kqt", '"e"')).toBe("3HL4kqt");
  expect([versionOf("null", '"e"'), versionOf("", "e"), versionOf(undefined, "e")]).toEqual(
    Array(3).fill("etag:e"),
  );
  expect([versionOf(null, null), versionOf(undefined, ""), versionOf(undefined, '""')]).toEqual(["", "", ""]);
});

test("a weak etag is the strong one, and only a mark before a quote makes it weak", () => {
  expect(versionOf(undefined, 'W/"d41d8-3"')).toBe("etag:d41d8-3");
  expect([versionOf(undefined, "W/d41d8"), versionOf(undefined, '"W/d41d8"')]).toEqual(
    Array(2).fill("etag:W/d41d8"),
  );
});

test("an upload that nothing tells from the one before is told by its order", () => {
  expect(createdVersion(undefined, undefined, "0b")).toBe("generation:0b");
  expect(createdVersion(undefined, "e", "0b")).toBe("etag:e");
});

test("the etag that an object must have is read back, and none from a version of another kind", () => {
  expect([etagOf("etag:e"), etagOf("3HL4kqt"), etagOf("generation:0b"), etagOf("")]).toEqual([
    "e",
    undefined,
    undefined,
    undefined,
  ]);
});
