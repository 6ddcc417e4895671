import { expect, test } from "vitest";
import { createRecent } from "../../src/moderate/recent.ts";

test("figures are of the time since the start, and then of a minute and the seconds that have begun", () => {
  let clock = 2_000;
  const recent = createRecent(() => clock);
  recent.left("live", true);
  recent.batch(8, 0.5);
  recent.stage("fetch", 0.25);
  clock += 3_000;
  recent.left("backfill", true);
  recent.left("live", false);
  recent.batch(8, 0.5);
  recent.retried();
  expect(recent.figures()).toEqual({
    seconds: 3,
    judged: { live: 1, backfill: 1 },
    failed: 1,
    retried: 1,
    stages: { fetch: { photos: 1, seconds: 0.25 } },
    batches: { "8": 2 },
    runSeconds: 1,
    bestPerS: 0,
    shadowed: { judged: 0, dropped: 0, failed: 0 },
  });
  clock = 62_500;
  expect(recent.figures()).toMatchObject({ seconds: 60.5, judged: { live: 1, backfill: 1 } });
  // what began in the first five seconds goes as a whole
  clock = 65_000;
  expect(recent.figures()).toMatchObject({
    seconds: 60,
    judged: { live: 0, backfill: 1 },
    batches: { "8": 1 },
  });
  clock = 900_000;
  expect(recent.figures()).toMatchObject({ seconds: 60, judged: { live: 0, backfill: 0 }, batches: {} });
});

test("a worker that judges for days keeps no more than a minute", () => {
  let clock = 0;
  const recent = createRecent(() => clock);
  for (; clock < 3_600_000; clock += 100) recent.left("live", true);
  const { seconds, judged } = recent.figures();
  expect(judged.live / seconds).toBeCloseTo(10, 1);
  expect(seconds).toBe(60);
});

test("the best rate is that of five busy seconds, whatever is idle around them", () => {
  let clock = 0;
  const recent = createRecent(() => clock);
  const photos = (count: number, everyMs: number): void => {
    for (let photo = 0; photo < count; photo++, clock += everyMs) recent.left("live", photo % 2 === 0);
  };
  photos(9, 1);
  expect(recent.figures().bestPerS).toBe(0);
  clock = 60_000;
  photos(40, 100);
  expect(recent.figures().bestPerS).toBeCloseTo(10, 5);
  clock = 120_000;
  photos(30, 500);
  expect(recent.figures().bestPerS).toBeCloseTo(10, 5);
  // too short a burst to be sure of more than what it is of its five seconds
  clock = 180_000;
  photos(22, 10);
  expect(recent.figures().bestPerS).toBeCloseTo(10, 5);
});
