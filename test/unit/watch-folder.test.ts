import { statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isLinkedFolder, takeSome } from "../../src/cli/watch-folder.ts";

test("of many files that were touched a page is taken at a time, the oldest first, and each once", () => {
  const touched = new Set(["a", "b", "c"]);
  expect(takeSome(touched, 2)).toEqual(["a", "b"]);
  touched.add("a");
  expect(takeSome(touched, 2)).toEqual(["c", "a"]);
  expect(takeSome(touched, 2)).toEqual([]);
});

test("a folder that went since it was listed is no link", () => {
  expect(isLinkedFolder(join(import.meta.dirname, "gone"), statSync(import.meta.dirname))).toBe(false);
});
