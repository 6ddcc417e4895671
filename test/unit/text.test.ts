import { expect, test } from "vitest";
import { isStorable, storable } from "../../src/text.ts";

test("what Postgres refuses of a text becomes a replacement character", () => {
  expect([isStorable("é🍜"), isStorable("a\0"), isStorable("\ud83c"), isStorable("")]).toEqual([
    true,
    false,
    false,
    true,
  ]);
  expect(storable("no\0pe\ud83c", 100)).toBe("no\uFFFDpe\uFFFD");
});

test("a long text is cut to so many bytes, through no character", () => {
  for (let maxBytes = 4; maxBytes < 20; maxBytes++) {
    for (const text of ["é".repeat(10), "🍜".repeat(5), "a".repeat(20), "日本語".repeat(3)]) {
      const kept = storable(text, maxBytes);
      expect(Buffer.byteLength(kept)).toBeLessThanOrEqual(maxBytes);
      expect(text.startsWith(kept.replace(/\uFFFD$/, ""))).toBe(true);
    }
  }
});
