import { describe, expect } from "vitest";
import { whyWaiting } from "../../src/cli/waits.ts";
import { BACKENDS } from "../fixtures.ts";
import { job, test } from "../queues.ts";
import { latch } from "../waits.ts";

describe.each(BACKENDS)("on %s", (backend) => {
  test("photos are waited for that are in hand, put off, or in a lane that is paused, and until when is said", async ({
    db,
    open,
  }) => {
    const { queues, take } = open(backend);
    await queues.add("live", [job(1), job(2), job(3)]);
    const begun = latch();
    const finish = latch();
    await take("live", async ({ id }, { last }) => {
      if (id !== "1") throw new Error("a bug");
      if (last) throw new Error("tried once");
      begun.resolve();
      await finish.promise;
    });
    await begun.promise;
    await expect.poll(() => queues.depth("live")).toMatchObject({ active: 1, delayed: 2 });
    await queues.pause("live");
    await queues.add("live", [job(4), job(5)]);
    const inAMinute = new Date(Date.now() + 60_000).toISOString().slice(11, 16);
    const said = await whyWaiting({ db: db.pool, queues }, 40_000, new Set(["1", "2", "4"]));
    finish.resolve();
    expect(said).toEqual([
      expect.stringMatching(
        /^1 photo in hand; of a worker that was killed, they are taken up here by \d\d:\d\d:\d\d UTC$/,
      ),
      expect.stringMatching(/^1 photo put off, and tried again by \d\d:\d\d:\d\d UTC$/),
      "1 photo until maitred queue resume live, which is paused, and nobody wrote down who did it",
    ]);
    expect(said[0]!.slice(-12, -7) >= inAMinute || inAMinute.startsWith("23:59")).toBe(true);
    await queues.resume("live");
  });

  test("photos that were queued wait for a worker where their own lane is not paused, whatever the other one is", async ({
    db,
    open,
  }) => {
    const { queues } = open(backend);
    await queues.add("live", [job(1), job(2)]);
    await queues.pause("backfill");
    const said = await whyWaiting({ db: db.pool, queues }, 40_000, new Set(["1", "2"]));
    expect(said).toEqual(["2 photos queued, until a worker takes them"]);
    await queues.resume("backfill");
  });
});
