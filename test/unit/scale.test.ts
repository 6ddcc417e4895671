import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readFigures, scaleTable } from "../../bench/extrapolate.ts";
import { packageRoot } from "../../src/package-root.ts";

test("docs/scale.md has the table that npm run scale prints, and links what it comes from", () => {
  const document = readFileSync(join(packageRoot(), "docs/scale.md"), "utf8");
  const figures = readFigures();
  expect(document).toContain(scaleTable(figures));
  for (const file of Object.values(figures.files))
    if (file) expect(document).toContain(`bench/results/${file}`);
});

test("twice the photos take twice of everything but Redis, and a GPU is only counted where one was measured", () => {
  const figures = {
    linePerCoreS: 10,
    decodePerCoreS: 50,
    feedPerS: 5_000,
    redisBytesAPhoto: 1_000,
    postgresBytesAPhoto: 2_000,
    gpuPerS: undefined,
    files: { cpu: "", scale: "", cuda: undefined },
  };
  const row = (table: string, name: string): string[] =>
    table
      .split("\n")
      .find((line) => line.startsWith(`| ${name}`))!
      .split("|")
      .slice(2, 4)
      .map((cell) => cell.trim());
  const table = scaleTable(figures);
  expect(row(table, "core-days of CPU")).toEqual(["579", "5,790"]);
  expect(row(table, "workers of 2 cores, to be done in 7 days")).toEqual(["42", "414"]);
  expect(row(table, "days of one feeder")).toEqual(["1.2", "11.6"]);
  expect(row(table, "Redis, with 100 workers")).toEqual(["16 MB", "16 MB"]);
  expect(row(table, "Postgres")).toEqual(["1 TB", "10 TB"]);
  expect(row(table, "GPU-days")[0]).toMatch(/not measured/);
  expect(row(scaleTable({ ...figures, gpuPerS: 1_000 }), "GPU-days")).toEqual(["6", "58"]);
});
