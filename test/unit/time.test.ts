import { expect, test } from "vitest";
import { timeOption } from "../../src/cli/time.ts";

test.each([
  ["2026-02-28", "2026-02-28T00:00:00.000Z"],
  ["2024-02-29", "2024-02-29T00:00:00.000Z"],
  ["2026-01-31T08:30", "2026-01-31T08:30:00.000Z"],
  ["2026-01-31T08:30:05.25Z", "2026-01-31T08:30:05.250Z"],
  ["2026-01-01T01:00+02:00", "2025-12-31T23:00:00.000Z"],
])("%s is %s, wherever it is read", (given, meant) => {
  expect(timeOption(given, "since")!.toISOString()).toBe(meant);
});

test("a time that was not given is none", () => {
  expect(timeOption(undefined, "since")).toBeUndefined();
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
  expect(() => timeOption(given, "until")).toThrow("--until: expected a day such as 2026-01-31");
});
