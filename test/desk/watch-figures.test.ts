import { describe, expect, test } from "vitest";
import { addressOf, rangeOf, timesOf } from "../../desk/src/dashboards/range.ts";
import { byModel, countsBy, hideRate, inOrder } from "../../desk/src/dashboards/series.ts";
import { batchSizes, duration, failedOf, stageTimes, throughput } from "../../desk/src/operate/figures.ts";
import type { Counts, Operating } from "../../desk/src/types.ts";

type Row = Counts["counts"][number];
const row = (at: string, verdict: string, photos: number, more: Partial<Row> = {}): Row => ({
  at,
  verdict,
  photos,
  category: "food",
  forHuman: false,
  ...more,
});

describe("the days of a dashboard", () => {
  const today = "2026-03-01";

  test("are the last thirty unless the address says others", () => {
    expect(rangeOf({}, today)).toEqual({ from: "2026-01-31", to: today, days: 30 });
    expect(rangeOf({ days: "7" }, today)).toEqual({ from: "2026-02-23", to: today, days: 7 });
    const given = { from: "2026-01-01", to: "2026-01-31" };
    expect(rangeOf({ ...given, days: "7" }, today)).toEqual({ ...given, days: undefined });
    for (const wrong of [{ from: "2026-02-01", to: "2026-01-01" }, { from: "x", to: "y" }, { days: "8" }]) {
      expect(rangeOf(wrong, today).days, JSON.stringify(wrong)).toBe(30);
    }
    // the server says that it is too long
    expect(rangeOf({ from: "2020-01-01", to: "2026-01-01" }, today)).toMatchObject({
      from: "2020-01-01",
      days: undefined,
    });
  });

  test("stand in the address with what else was chosen, and nothing that is no choice", () => {
    expect(addressOf({ days: "7", model: "model:a", x: "y" }, { days: "", from: "2026-01-01" })).toBe(
      "/desk/dashboards?model=model%3Aa&from=2026-01-01",
    );
    expect(addressOf({ days: "7" }, { days: "" })).toBe("/desk/dashboards");
  });

  test("have every hour or day, so that a gap is seen as one", () => {
    const days = { from: "2026-02-27", to: "2026-03-01" };
    expect(timesOf(days, "day").map((at) => new Date(at).toISOString().slice(0, 10))).toEqual([
      "2026-02-27",
      "2026-02-28",
      "2026-03-01",
    ]);
    expect(timesOf(days, "hour")).toHaveLength(72);
  });
});

describe("series", () => {
  const days = { from: "2026-01-01", to: "2026-01-03" };
  const times = timesOf(days, "day");
  const rows = [
    row("2026-01-01T00:00:00+00:00", "shown", 6),
    row("2026-01-01T00:00:00+00:00", "hidden", 2, { forHuman: true }),
    row("2026-01-01T00:00:00+00:00", "hidden", 2),
    row("2026-01-03T00:00:00Z", "failed", 5, { category: null }),
    row("2026-01-03T00:00:00Z", "hidden", 1, { forHuman: true, category: "menu" }),
    row("2025-12-31T00:00:00Z", "shown", 99),
  ];

  test("have a value for each time, and those with most photos come first", () => {
    expect(countsBy(rows, times, ({ verdict }) => verdict)).toEqual([
      { name: "shown", values: [6, 0, 0] },
      { name: "hidden", values: [4, 0, 1] },
      { name: "failed", values: [0, 0, 5] },
    ]);
    expect(countsBy(rows, times, ({ category }) => category).map(({ name }) => name)).toEqual([
      "food",
      "menu",
    ]);
  });

  test("keep their place, and so their colour, whatever the days", () => {
    const series = countsBy(rows, times, ({ verdict }) => verdict);
    expect(inOrder(series, ["hidden", "review", "shown"]).map(({ name }) => name)).toEqual([
      "hidden",
      "shown",
      "failed",
    ]);
  });

  test("the share that is hidden is of what was judged, and nothing where nothing was", () => {
    expect(hideRate(rows, times).values).toEqual([0.2, null, 1]);
  });

  test("models come in the order of their photos", () => {
    expect(
      byModel([
        { model: "a", verdict: "shown", photos: 1 },
        { model: "b", verdict: "shown", photos: 1 },
        { model: "b", verdict: "hidden", photos: 3 },
      ]),
    ).toEqual([
      { model: "b", photos: { shown: 1, hidden: 3 } },
      { model: "a", photos: { shown: 1 } },
    ]);
  });
});

describe("figures of workers", () => {
  const worker = (figures: Partial<NonNullable<Operating["workers"][number]["figures"]>> | null) =>
    ({
      figures: figures && {
        seconds: 10,
        judged: { live: 0, backfill: 0 },
        failed: 0,
        retried: 0,
        stages: {},
        batches: {},
        runSeconds: 0,
        ...figures,
      },
    }) as Operating["workers"][number];

  test("are summed, each over its own time; one that has said nothing counts nothing", () => {
    const workers = [
      worker({ judged: { live: 20, backfill: 70 }, failed: 10 }),
      worker({ seconds: 60, judged: { live: 60, backfill: 0 }, retried: 2 }),
      worker(null),
      worker({ seconds: 0 }),
    ];
    expect(throughput(workers)).toEqual({ live: 3, backfill: 7, failed: 10, left: 160, retried: 2 });
    expect(throughput([])).toEqual({ live: 0, backfill: 0, failed: 0, left: 0, retried: 0 });
    expect(failedOf(throughput(workers))).toBe("6.3 %");
    expect(failedOf({ failed: 2, left: 2 })).toBe("2 of 2");
    expect(failedOf(throughput([]))).toBe("–");
  });

  test("give the mean of each stage in their order, and batches by size", () => {
    const workers = [
      worker({
        stages: { decode: { photos: 1, seconds: 0.5 }, fetch: { photos: 1, seconds: 1 } },
        batches: { "8": 1 },
      }),
      worker({ stages: { decode: { photos: 3, seconds: 0.1 } }, batches: { "8": 2, "16": 1, "2": 1 } }),
    ];
    expect(stageTimes(workers)).toEqual([
      { stage: "fetch", ms: 1_000, photos: 1 },
      { stage: "decode", ms: 150, photos: 4 },
    ]);
    expect(batchSizes(workers)).toEqual([
      { size: 2, runs: 1 },
      { size: 8, runs: 3 },
      { size: 16, runs: 1 },
    ]);
  });

  test("durations are short words", () => {
    expect([0, 0.2, 90, 600, 7_300, 200_000].map(duration)).toEqual([
      "0 s",
      "< 1 s",
      "90 s",
      "10 min",
      "2 h",
      "2 d",
    ]);
  });
});
