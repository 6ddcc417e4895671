import { expect, test } from "vitest";
import {
  between,
  choiceOption,
  choicesOption,
  codeOption,
  numberOption,
  timeOption,
  whole,
} from "../../src/cli/options.ts";

test.each([
  ["2026-02-28", "2026-02-28T00:00:00.000Z"],
  ["2024-02-29", "2024-02-29T00:00:00.000Z"],
  ["2026-01-31T08:30", "2026-01-31T08:30:00.000Z"],
  ["2026-01-31T08:30:05.25Z", "2026-01-31T08:30:05.250Z"],
  ["2026-01-01T01:00+02:00", "2025-12-31T23:00:00.000Z"],
])("%s is %s, wherever it is read", (given, meant) => {
  expect(timeOption({ since: given }, "since")!.toISOString()).toBe(meant);
});

test("a time that was not given is none", () => {
  expect(timeOption({}, "since")).toBeUndefined();
});

test.each([
  "2026-02-31",
  "2026-02-29",
  "2026-13-01",
  "2026-00-10",
  "2026-01-00",
  "2026-01-31T25:00",
  "1",
  "",
  "soon",
  "31.1.2026",
])("%j is refused with what is expected", (given) => {
  expect(() => timeOption({ until: given }, "until")).toThrow("--until: expected a day such as 2026-01-31");
});

test("a number that was not given is the fallback, or none", () => {
  expect(numberOption({}, "most", whole(0)) ?? 20).toBe(20);
  expect(numberOption({}, "most", whole(0))).toBeUndefined();
});

test.each([
  ["0", whole(0), 0],
  ["1e3", whole(0), 1_000],
  ["1", between(0, 1), 1],
  ["-0.5", between(-1, 1), -0.5],
])("%j is a number", (given, numbers, meant) => {
  expect(numberOption({ most: given }, "most", numbers)).toBe(meant);
});

test.each([
  ["-1", whole(0), "a whole number from 0 up"],
  ["1.5", whole(0, 2), "a whole number 0 to 2"],
  ["1.01", between(0, 1), "a number 0 to 1"],
  ["Infinity", whole(1), "a whole number from 1 up"],
  ["many", between(0, 1), "a number 0 to 1"],
])("%j is refused with which numbers are expected", (given, numbers, words) => {
  expect(() => numberOption({ most: given }, "most", numbers)).toThrow(
    `--most: expected ${words}, got ${JSON.stringify(given)}`,
  );
});

test("a choice is one of those that there are, or some with commas between", () => {
  const lanes = ["live", "backfill", "none"] as const;
  expect([choiceOption({ lane: "live" }, "lane", lanes), choiceOption({}, "lane", lanes)]).toEqual([
    "live",
    undefined,
  ]);
  expect(choicesOption({ lane: "none,live" }, "lane", lanes)).toEqual(["none", "live"]);
  const refused = '--lane: expected live, backfill or none, got "slow"';
  expect(() => choiceOption({ lane: "slow" }, "lane", lanes)).toThrow(refused);
  const some = '--lane: expected some of live, backfill, none, got ""';
  expect(() => choicesOption({ lane: "live," }, "lane", lanes)).toThrow(some);
});

test("a code is one that a photo may fail with", () => {
  expect([codeOption({ code: "CORRUPT" }), codeOption({})]).toEqual(["CORRUPT", undefined]);
  const refused = '--code: no photo fails with "CONFIG_INVALID"; docs/operations.md lists them';
  expect(() => codeOption({ code: "CONFIG_INVALID" })).toThrow(refused);
});
