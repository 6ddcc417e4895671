import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createBatcher } from "../../src/batcher.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A batcher whose runs end when told to. */
function controlled({ maxSize = 4, maxWaitMs = 1_000, workers = 1, maxRunning = 2 } = {}) {
  const runs: { items: string[]; end(results?: (string | Error)[]): void; fail(error: Error): void }[] = [];
  const batcher = createBatcher<string, string>(
    (items) =>
      new Promise((resolve, reject) => {
        const end = (results?: (string | Error)[]): void =>
          resolve(results ?? items.map((item) => item.toUpperCase()));
        runs.push({ items, end, fail: reject });
      }),
    { maxSize, maxWaitMs, workers, maxRunning },
  );
  return { batcher, runs, batches: () => runs.map((run) => run.items.join("")) };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("createBatcher", () => {
  test.each([
    ["sends the first item at once when nothing runs", {}, "a", ["a"]],
    ["sends at once as long as a worker is idle", { workers: 2 }, "abc", ["a", "b"]],
    ["gathers while a batch runs, and sends when it is full", { maxSize: 3 }, "abcdefg", ["a", "bcd"]],
  ])("%s", (_what, limits, items, sent) => {
    const { batcher, batches } = controlled(limits);
    for (const item of items) void batcher.add(item, "live");
    expect(batches()).toEqual(sent);
  });

  test("sends what has waited long enough although a batch runs", () => {
    const { batcher, batches } = controlled({ maxSize: 3, maxWaitMs: 20 });
    void batcher.add("a", "live");
    void batcher.add("b", "live");
    vi.advanceTimersByTime(19);
    expect(batches()).toEqual(["a"]);
    vi.advanceTimersByTime(1);
    expect(batches()).toEqual(["a", "b"]);
  });

  test("never runs more at once than it may, however long items wait", () => {
    const { batcher, batches } = controlled({ maxSize: 1, maxWaitMs: 0 });
    for (const item of "abcd") void batcher.add(item, "live");
    vi.advanceTimersByTime(1_000);
    expect(batches()).toEqual(["a", "b"]);
  });

  test("puts live items first into every batch, and lets backfill fill what is left", async () => {
    const { batcher, runs, batches } = controlled({ maxRunning: 1 });
    void batcher.add("x", "backfill");
    for (const item of "abcdef") void batcher.add(item, "backfill");
    for (const item of "LM") void batcher.add(item, "live");
    runs[0]!.end();
    await settled();
    runs[1]!.end();
    await settled();
    expect(batches()).toEqual(["x", "LMab", "cdef"]);
  });

  test("answers each item with its own result, in whatever order batches end", async () => {
    const { batcher, runs } = controlled({ maxSize: 2, maxWaitMs: 0 });
    const answers = ["a", "b", "c"].map((item) => batcher.add(item, "live"));
    runs[1]!.end();
    await settled();
    runs[2]!.end();
    await settled();
    runs[0]!.end();
    expect(await Promise.all(answers)).toEqual(["A", "B", "C"]);
  });

  test("fails one item alone when its slot holds an error", async () => {
    const { batcher, runs } = controlled({ maxSize: 2, maxWaitMs: 0, maxRunning: 1 });
    const first = batcher.add("a", "live");
    const [second, third] = [batcher.add("b", "live"), batcher.add("c", "live")];
    runs[0]!.end();
    await first;
    await settled();
    runs[1]!.end([new Error("bad"), "C"]);
    await expect(second).rejects.toThrow("bad");
    await expect(third).resolves.toBe("C");
  });

  test("fails a whole batch whose run throws or answers too few, and goes on with the next", async () => {
    const { batcher, runs } = controlled({ maxSize: 1, maxWaitMs: 0, maxRunning: 1 });
    const answers = ["a", "b", "c"].map((item) => batcher.add(item, "live"));
    const outcome = Promise.allSettled(answers);
    runs[0]!.fail(new Error("down"));
    await settled();
    runs[1]!.end([]);
    await settled();
    runs[2]!.end();
    const [a, b, c] = await outcome;
    expect(a).toMatchObject({ reason: { message: "down" } });
    expect(b).toMatchObject({ reason: { message: "expected 1 results, got 0" } });
    expect(c).toMatchObject({ value: "C" });
  });

  test("close sends what waits, waits for what runs, and refuses what comes later", async () => {
    const { batcher, runs, batches } = controlled();
    const answers = ["a", "b"].map((item) => batcher.add(item, "live"));
    let closed = false;
    const closing = batcher.close().then(() => {
      closed = true;
    });
    expect(batches()).toEqual(["a", "b"]);
    await new Promise(setImmediate);
    expect(closed).toBe(false);
    for (const run of runs) run.end();
    await Promise.all([closing, ...answers]);
    await expect(batcher.add("c", "live")).rejects.toMatchObject({ code: "CLOSED" });
  });

  test("close waits for what may begin only once others have ended", async () => {
    const { batcher, runs, batches } = controlled({ maxSize: 2 });
    const answers = Promise.all(["a", "b", "c", "d"].map((item) => batcher.add(item, "live")));
    const ended: string[] = [];
    const closing = batcher.close().then(() => ended.push("closed"));
    expect(batches()).toEqual(["a", "bc"]);
    for (const run of runs) run.end();
    await settled();
    expect([batches(), ended]).toEqual([["a", "bc", "d"], []]);
    runs[2]!.end();
    expect(await answers).toEqual(["A", "B", "C", "D"]);
    await closing;
  });
});
