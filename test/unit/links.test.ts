import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { packageRoot } from "../../src/package-root.ts";

const root = packageRoot();

/** Files below these folders, or at the top, that say where something is written. */
const files = [
  "docs",
  "training",
  "models",
  "deploy",
  "src",
  "workers",
  "desk/src",
  "migrations",
  ".",
].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: folder !== "." && folder !== "training", encoding: "utf8" })
    .filter((file) => /\.(md|ts|tsx|yaml|yml|sql|json)$/.test(file) && !file.startsWith("package-lock"))
    .map((file) => join(folder, file)),
);

/** The anchors that are made of a page's headings. */
const anchorsOf = (page: string): string[] =>
  [
    ...readFileSync(page, "utf8")
      .replaceAll(/^```.*?^```/gms, "")
      .matchAll(/^#+ (.+)$/gm),
  ].map(([, heading]) =>
    heading!
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );

test("what documents, commands and pages refer to is there", () => {
  const missing: string[] = [];
  let seen = 0;
  for (const file of files) {
    const text = readFileSync(join(root, file), "utf8");
    const links = file.endsWith(".md")
      ? [...text.matchAll(/\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)/g)].map(([, page, anchor]) => ({
          page: page ? join(root, dirname(file), page) : join(root, file),
          anchor,
        }))
      : [...text.matchAll(/\b(docs\/[\w-]+\.md)(?:#([\w-]+))?/g)].map(([, page, anchor]) => ({
          page: join(root, page!),
          anchor,
        }));
    for (const { page, anchor } of links) {
      seen++;
      if (!existsSync(page)) missing.push(`${file}: ${page}`);
      else if (anchor && !anchorsOf(page).includes(anchor)) missing.push(`${file}: ${page}#${anchor}`);
    }
  }
  expect(missing).toEqual([]);
  expect(seen).toBeGreaterThan(200);
});
