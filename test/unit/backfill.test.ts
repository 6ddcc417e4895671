import { describe, expect, test } from "vitest";
import { isWithin, parseHours, secondsWithin } from "../../src/backfill/hours.ts";
import { blockedReason, createRate, type Waiting } from "../../src/backfill/progress.ts";
import { describeStored, describe as inWords, parseSelector } from "../../src/backfill/selector.ts";
import { duration } from "../../src/cli/backfill-estimate.ts";
import { progressLine, statusLines } from "../../src/cli/backfill-report.ts";
import type { BackfillRow } from "../../src/store/backfills.ts";

describe("hours", () => {
  const at = (hour: number): Date => new Date(2026, 0, 1, hour, 30);

  test("that go over midnight are in the night", () => {
    const night = parseHours("22-06");
    expect([21, 22, 23, 0, 5, 6, 12].map((hour) => isWithin(night, at(hour)))).toEqual([
      false,
      true,
      true,
      true,
      true,
      false,
      false,
    ]);
  });

  test("of one day end before the last", () => {
    const day = parseHours("9-17");
    expect([8, 9, 16, 17].map((hour) => isWithin(day, at(hour)))).toEqual([false, true, true, false]);
    expect(isWithin(parseHours("20-24"), at(23))).toBe(true);
  });

  test("are waited for once a day by what takes longer", () => {
    const hour = parseHours("02-03");
    expect([60, 3_600, 3_601].map((s) => secondsWithin(hour, s))).toEqual([60, 3_600, 86_401]);
    // a third of the day, so that a day's work is done on the third
    expect(secondsWithin(parseHours("22-06"), 24 * 3_600)).toBe((2 * 24 + 8) * 3_600);
  });

  test.each(["22", "22-25", "7-7", "0-24", "a-b", "22:00-06:00"])("%s is refused", (text) => {
    expect(() => parseHours(text)).toThrow(/expected two hours such as 22-06/);
  });
});

test("the rate of a run is that since it was taken up last, and never below none", () => {
  let now = 0;
  const rate = createRate(() => now);
  const after = (s: number, state: "running" | "paused", fed: number, waiting: number) => {
    now += s * 1_000;
    return rate({ state, fed, waiting });
  };
  expect(after(0, "running", 10, 10)).toBe(0);
  expect(after(10, "running", 200, 100)).toBe(10);
  expect(after(1_000, "paused", 200, 100)).toBe(0);
  expect(after(1_000, "running", 200, 100)).toBe(0);
  expect(after(10, "running", 300, 100)).toBe(10);
  // failed photos are tried again
  expect(after(10, "running", 300, 150)).toBe(0);
  expect(after(10, "running", 300, 130)).toBe(2);
  // nobody looked meanwhile
  expect(after(100, "running", 300, 120)).toBe(0);
  expect(after(10, "running", 300, 110)).toBe(1);
});

test("progress says how much is left as far as that is known, and failures by code", () => {
  const row = {
    state: "running",
    what: { kind: "photos", upTo: "1000" },
    cursor: { after: "250" },
    readAll: false,
    expected: null,
    seen: 250,
    fed: 200,
    waiting: 60,
    judged: 139,
    skipped: 0,
    feeder: "feeds",
    workers: 1,
    able: 1,
  } as BackfillRow;
  const count = { before: "pending", beforeCategory: "", after: "failed", afterCategory: "" };
  const counts = [
    { ...count, code: "CORRUPT", photos: 1 },
    { ...count, code: "INTERNAL", photos: 1 },
    { ...count, after: "shown", code: "", photos: 130 },
    { ...count, before: "hidden", after: "shown", code: "", photos: 4 },
    { ...count, before: "hidden", code: "CORRUPT", photos: 1 },
  ];
  expect(statusLines(row, counts)).toContain(
    "136 judged, 3 failed, 60 waiting, 0 skipped, 1 replaced or forgotten before their turn, 25 % read",
  );
  const line = (but: Partial<BackfillRow>) => progressLine({ ...row, ...but }, counts, 10);
  expect(line({})).toBe(
    "running: 25 % read, 136 judged, 60 waiting, 10.0/s, 1 min 6 s left, 4 changed, failed: 2 CORRUPT, 1 INTERNAL",
  );
  expect(progressLine({ ...row, readAll: true }, counts, 0.0125)).toMatch(/ 0\.013\/s, 1 h 20 min left/);
  expect(line({ readAll: true })).toMatch(/^running: 136 judged, .* 6 s left/);
  expect(line({ what: { kind: "prefix", bucket: "b", prefix: "" } })).not.toMatch(/left|read/);
  expect(line({ cursor: null })).not.toMatch(/left/);
  // of a prefix as somebody counted it, as long as there are no more
  const prefix = { what: { kind: "prefix", bucket: "b", prefix: "" } };
  expect(line({ ...prefix, expected: 1_000 })).toMatch(/^running: 25 % read, .* 1 min 6 s left/);
  expect(line({ ...prefix, expected: 249 })).not.toMatch(/left|read/);
});

test("a first verdict is told apart from another one, and a proposal from what is decided", () => {
  const row = { what: { kind: "photos" }, state: "done", endedAt: new Date() } as unknown as BackfillRow;
  const count = { beforeCategory: "", after: "shown", afterCategory: "food", code: "" };
  const counts = [
    { ...count, before: "pending", photos: 1_000 },
    { ...count, before: "hidden", photos: 3 },
    { ...count, before: "shown", beforeCategory: "food", photos: 40 },
    { ...count, before: "shown", after: "kept", photos: 9 },
    { ...count, before: "pending", after: "failed", code: "CORRUPT", photos: 2 },
  ];
  const line = (but: Partial<BackfillRow>) => statusLines({ ...row, ...but }, counts)[3];
  expect(line({})).toBe("3 got another verdict or category, 1000 their first");
  const proposed = "1043 proposed: 3 would get another verdict or category, 1000 their first";
  expect(line({ propose: true, outcome: null })).toBe(proposed);
  expect(line({ propose: true, outcome: "applied" })).toMatch(/^3 got another/);
  expect(line({ propose: true, outcome: "discarded" })).toMatch(/^1043 proposed: 3 would have got another/);
});

test("a run that waits for its hours says until when, as long as there is something to feed", () => {
  const row = {
    id: "7",
    state: "running",
    what: { kind: "prefix", bucket: "b", prefix: "" },
    hours: "22-06",
    maxRate: 500,
    readAll: false,
    expected: null,
    fed: 0,
    waiting: 0,
    judged: 0,
    skipped: 0,
    unreadable: 0,
  } as BackfillRow;
  const at = (hour: number): Date => new Date(2026, 0, 1, hour, 30);
  expect(progressLine(row, [], 0, at(12))).toMatch(/^running, waits until 22:00: 0 judged/);
  expect(progressLine(row, [], 0, at(23))).toMatch(/^running: 0 judged/);
  expect(statusLines(row, [], at(12))).toEqual([
    "backfill 7: s3://b/",
    "running, waits until 22:00",
    "0 judged, 0 failed, 0 waiting, 0 skipped, more to come",
    "fed at 22-06 of the feeder's clock, at most 500 photos/s",
    "0 got another verdict or category",
  ]);
  expect(statusLines({ ...row, hours: "24-06" }, [], at(12))[1]).toBe("running, waits until 00:00");
  expect(statusLines({ ...row, readAll: true }, [], at(12))[1]).toBe("running");
  expect(statusLines({ ...row, readAll: true, retrying: true }, [], at(12))[1]).toMatch(/until 22:00/);
  expect(statusLines({ ...row, state: "paused" }, [], at(12))[1]).toBe("paused");
});

test("a run that nobody works on says for whom it waits", () => {
  const run = { state: "running" as const, model: "model:m-2", hours: null, readAll: false, retrying: false };
  const held = (but: Partial<Waiting>) =>
    blockedReason({ ...run, waiting: 1, feeder: "feeds", workers: 2, able: 2, ...but }, new Date());
  expect(held({})).toBeUndefined();
  expect(held({ feeder: "nobody", readAll: true })).toBe("waits for maitred feed or maitred up: none runs");
  expect(held({ feeder: "nobody", state: "done" })).toBeUndefined();
  expect(held({ feeder: "stands back" })).toBe(
    "waits for an upload that is older than MAITRED_LIVE_TARGET_MS",
  );
  // nothing more is to be fed
  expect(held({ feeder: "stands back", readAll: true })).toBeUndefined();
  const paused = "waits for the lane backfill, which is paused: maitred queue status says by whom";
  expect(held({ feeder: "lane paused" })).toBe(paused);
  expect(held({ feeder: "lane paused", readAll: true })).toBe(paused);
  expect(held({ feeder: "lane paused", readAll: true, waiting: 0 })).toBeUndefined();
  expect(held({ workers: 0, able: 0 })).toBe("waits for a worker: none runs");
  expect(held({ workers: 0, able: 0, waiting: 0 })).toBeUndefined();
  const other =
    "waits for a worker that runs m-2 or the active model, as none of the 2 here does: maitred model list says why";
  expect(held({ able: 0 })).toBe(other);
  expect(held({ able: 0, readAll: true })).toBe(other);
  expect(held({ able: 0, readAll: true, waiting: 0 })).toBeUndefined();
  expect(held({ able: 1 })).toBeUndefined();
  // what is decided from stored scores no worker judges
  expect(held({ able: 0, model: "" })).toBeUndefined();
});

test("a selector is told in words, and one of another version is refused by name", () => {
  expect(inWords({ kind: "prefix", bucket: "b", prefix: "2019/" })).toBe("s3://b/2019/");
  expect(inWords(parseSelector({ kind: "photos", state: "failed", code: "CORRUPT", upTo: "9" }))).toBe(
    "photos: state failed, code CORRUPT",
  );
  expect(() => parseSelector({ kind: "photos", upTo: "9", colour: "red" })).toThrow(/selector/);
  expect(describeStored({ kind: "view", view: "v" })).toBe("view v");
  expect(describeStored({ kind: "stars" })).toBe('not understood: {"kind":"stars"}');
  expect(() => parseSelector({ kind: "view", view: "x; drop table photos" })).toThrow(/selector: view/);
});

test.each([
  [0, "0 s"],
  [59, "59 s"],
  [3_600, "1 h"],
  [90_061, "1 d 1 h"],
  [125, "2 min 5 s"],
])("%d seconds are %s", (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});
