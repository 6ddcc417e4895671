import { expect, onTestFinished, test, vi } from "vitest";
import { createProgress, failedLines } from "../../src/cli/progress.ts";
import { sentences } from "../../src/cli/sentences.ts";
import { UpstreamError } from "../../src/errors.ts";
import { createLog } from "../../src/log.ts";
import type { LineOutcome } from "../../src/moderate/outcome.ts";
import type { Decision } from "../../src/photo.ts";
import type { PhotoRow } from "../../src/store/photos.ts";

function terminal(columns = 0) {
  const [said, printed]: [string[], string[]] = [[], []];
  const nothing = (async function* () {})();
  return {
    said,
    printed,
    env: {},
    print: (line: string) => void printed.push(line),
    say: (text: string) => void said.push(text),
    columns,
    stdin: nothing,
  };
}

const photo = { id: "1", store: "s3", bucket: "b", key: "k", version: "", known: {} } as const;
const outcome = { photoId: "1", by: "model:m", policy: "p", known: {}, batch: "b" } as const;
const gone: LineOutcome = {
  ...outcome,
  result: { failure: "GONE", message: "no such key", transient: false },
};

test("a photo that fails again at the next start is not said again, and each is said with its place", () => {
  const screen = terminal();
  const progress = createProgress(screen, false, true);
  const here = { ...photo, store: "folder", bucket: "/srv/photos", key: "a/b.jpg" } as const;
  const result = { failure: "CORRUPT", message: "cut off", transient: false } as const;
  const failed: LineOutcome = { ...outcome, result };
  const line = "failed  /srv/photos/a/b.jpg  CORRUPT: cut off\n";
  progress.events.finished?.(here, "live", failed, true);
  expect(screen.said).toEqual([line]);
  progress.events.finished?.(here, "live", failed, false);
  expect(screen.said).toEqual([line]);
  progress.events.finished?.({ ...here, store: "s3", bucket: "photos" }, "live", failed, true);
  expect(screen.said.at(-1)).toBe("failed  s3://photos/a/b.jpg  CORRUPT: cut off\n");
  // a stranger chose the name
  progress.events.finished?.({ ...here, bucket: "/p", key: "a\nshown  \r\x1b[K.jpg" }, "live", failed, true);
  progress.withdrew("/p", ["b\nc"]);
  expect(screen.said.slice(-2)).toEqual([
    "failed  /p/a\\nshown  \\r\\u001b[K.jpg  CORRUPT: cut off\n",
    "withdrawn  /p/b\\nc\n",
  ]);
  progress.stop();
});

test.each([false, true])(
  "what a backfill proposes is not told as the photo's verdict (as JSON: %s)",
  (json) => {
    const screen = terminal();
    const progress = createProgress(screen, json, true);
    const photo = { id: "1", store: "s3", bucket: "b", key: "k", version: "", known: {}, fed: true } as const;
    const scores = { categories: { food: 0.9 }, human: 0 };
    const decision: Decision = { verdict: "shown", rule: "clear", reason: "r", category: "food", tags: [] };
    const outcome = {
      photoId: "1",
      by: "model:m",
      policy: "p",
      known: {},
      batch: "b",
      result: { scores, decision },
    };
    const told = (): number => screen.said.length + screen.printed.length;
    progress.events.finished?.(photo, "backfill", outcome, false);
    expect(told()).toBe(0);
    expect(progress.summary("m-1", "cpu")).toContain("0 judged");
    progress.events.finished?.(photo, "backfill", outcome, true);
    expect(told()).toBe(1);
    progress.stop();
  },
);

test("a bucket that gives nothing is told of once, until it has given a photo", () => {
  const screen = terminal();
  const progress = createProgress(screen, false, true);
  const away = new UpstreamError("STORE_UNAVAILABLE", "b/k: check the credentials");
  const closing = new UpstreamError("CLOSED", "the process is shutting down");
  for (const id of ["1", "2", "1"]) progress.events.retried?.({ ...photo, id }, "live", away);
  progress.events.retried?.(photo, "live", closing);
  progress.decided(["7", "8", "9"]);
  progress.watches(2);
  const putOff =
    "put off  s3://b/k  STORE_UNAVAILABLE: b/k: check the credentials; tried again, at least every 2 minutes\n";
  expect(screen.said).toEqual([putOff, "0 judged, 0 failed, 3 decided before, 2 put off; watching\n"]);
  progress.events.finished?.(photo, "live", gone, false);
  progress.events.retried?.(photo, "live", away);
  expect(screen.said.slice(2)).toEqual([putOff]);
  progress.stop();
});

test("what a shell writes when all has ended does not stand on the last line", () => {
  const screen = terminal(80);
  const progress = createProgress(screen, false, true);
  progress.expect(["1"]);
  progress.stop();
  expect(screen.said.slice(0, 2)).toEqual([expect.stringContaining("0/1 photos"), "\n"]);
  const quiet = terminal(80);
  createProgress(quiet, false, true).stop();
  expect(quiet.said).toEqual([]);
});

test("a summary counts what failed apart, and gives the speed and the batches of what was judged", () => {
  const progress = createProgress(terminal(), true, false);
  progress.decided(["8", "9"]);
  expect(progress.summary("m-1", "cpu")).toBe("0 judged, 0 failed, 2 decided before, with m-1 on cpu");
  progress.events.stage?.("fetch", "live", 0.01);
  progress.events.finished?.(photo, "live", gone, true);
  expect(progress.summary("m-1", "cpu")).toBe("0 judged, 1 failed, 2 decided before, with m-1 on cpu");
  const scores = { categories: { food: 1 }, human: 0 };
  const decision: Decision = { verdict: "shown", rule: "clear", reason: "", category: "food", tags: [] };
  const shown: LineOutcome = { ...outcome, result: { scores, decision } };
  for (const frames of [1, 2]) progress.events.batch?.("b", frames, 0.01, "cpu");
  progress.events.finished?.({ ...photo, id: "2" }, "live", shown, true);
  expect(progress.summary("m-1", "cpu")).toMatch(
    /^1 judged, 1 failed, 2 decided before, [\d.]+ photos\/s in 2 batches of 1\.5 with m-1 on cpu$/,
  );
  progress.stop();
});

test("a photo counts once that a run before had queued, or decided, and that is judged again", () => {
  const screen = terminal();
  const progress = createProgress(screen, true, false);
  // before its folder is listed, and once more
  progress.events.finished?.(photo, "live", gone, true);
  progress.expect(["1"]);
  progress.events.finished?.(photo, "live", gone, false);
  // after it was listed
  progress.decided(["2", "3"]);
  progress.events.finished?.({ ...photo, id: "2" }, "live", gone, false);
  expect(progress.summary("m-1", "cpu")).toContain("0 judged, 2 failed, 1 decided before");
  expect(screen.printed).toHaveLength(2);
  progress.stop();
});

test("what failed is said last, at most ten of it, and how many more there are", () => {
  const photo = (n: number, state: "shown" | "failed"): PhotoRow => ({
    ...{ id: `${n}`, store: "folder", bucket: "/p", key: `${n}.jpg`, version: "", state },
    ...{ category: null, categoryScore: null, human: null, reason: "cut off", failure: "CORRUPT" },
  });
  const photos = [photo(0, "shown"), ...Array.from({ length: 12 }, (_, n) => photo(n + 1, "failed"))];
  expect(failedLines(photos.slice(0, 3))).toEqual([
    "failed  /p/1.jpg  CORRUPT: cut off",
    "failed  /p/2.jpg  CORRUPT: cut off",
  ]);
  expect(failedLines(photos)).toHaveLength(11);
  expect(failedLines(photos).at(-1)).toBe("and 2 more failed");
});

test("a line of JSON says of a photo all that classify says, with its address in place of its path", () => {
  const screen = terminal();
  const progress = createProgress(screen, true, true);
  const scores = { categories: { food: 0.87654, menu: 0.12346 }, human: 0.01239 };
  const tags = [{ category: "food", score: 0.87654, threshold: 0.4 }];
  const decision: Decision = { verdict: "shown", rule: "clear", reason: "so", category: "food", tags };
  progress.events.finished?.(photo, "live", { ...outcome, result: { scores, decision } }, true);
  expect(screen.printed.map((line) => JSON.parse(line))).toEqual([
    {
      ...{
        id: "1",
        bucket: "b",
        key: "k",
        category: "food",
        scores: { food: 0.8765, menu: 0.1234 },
        human: 0.0123,
      },
      tags: [{ category: "food", score: 0.8765, threshold: 0.4 }],
      ...{ verdict: "shown", rule: "clear", reason: "so", model: "m", policy: "p" },
    },
  ]);
  progress.stop();
});

const nobodyAsks = (): never => {
  throw new Error("nothing has been waited for yet");
};

test("a photo that another worker judges is not waited for, and one that waits when all ends is told of", async () => {
  const screen = terminal();
  const progress = createProgress(screen, true, false);
  progress.expect(["1", "2"]);
  progress.stop();
  expect(screen.said.at(-1)).toBe("2 photos not judged yet: the next start goes on\n");
  const asked: string[] = [];
  await progress.done(
    async (id) => {
      asked.push(id);
      if (asked.length === 1) throw new UpstreamError("QUEUE_UNAVAILABLE", "away");
      return 0;
    },
    nobodyAsks,
    1,
  );
  expect(asked).toEqual(["1", "1", "2"]);
});

/** Waits for one photo, by a clock that goes as it is told. */
function waitingForOne() {
  const begun = performance.now();
  const clock = { afterMs: 0 };
  const now = vi.spyOn(performance, "now").mockImplementation(() => begun + clock.afterMs);
  onTestFinished(() => void now.mockRestore());
  const screen = terminal();
  const progress = createProgress(screen, true, false);
  progress.expect(["1"]);
  return { clock, screen, progress };
}

test("where nothing is judged for ten seconds, it is said why, and again only after ten more", async () => {
  const { clock, screen, progress } = waitingForOne();
  // when it looks whether the photo is held still
  const looks = [9_000, 11_000, 20_000, 22_000, 23_000];
  await progress.done(
    async () => {
      clock.afterMs = looks.shift() ?? clock.afterMs;
      return looks.length === 0 ? 0 : 1;
    },
    async (ids) => {
      if (clock.afterMs > 11_000) throw new Error("away");
      return [`${ids.size} photo in hand`];
    },
    1,
  );
  expect(screen.said).toEqual(["waits for 1 photo in hand\n", "waits for the queue: away\n"]);
  progress.stop();
});

test("while the queue does not answer at all, it is said after ten seconds", async () => {
  const { clock, screen, progress } = waitingForOne();
  const never = new Promise<never>(() => {});
  let looks = 0;
  await progress.done(
    () => {
      clock.afterMs += 11_000;
      return ++looks > 1 ? Promise.resolve(0) : never;
    },
    () => never,
    1,
  );
  expect(screen.said).toEqual(["waits for the queue, which does not answer\n"]);
  progress.stop();
});

test("a log that a person reads says a sentence: what happened, to what, and why", () => {
  const screen = terminal(80);
  const log = createLog("error", sentences(screen));
  const err = new UpstreamError("STORE_UNAVAILABLE", "s3://nowhere: NoSuchBucket");
  log.error({ backfill: "7", err }, "the backfill cannot go on and is paused");
  log.error({ note: "it answered 410" }, "switched off");
  log.warn("not said");
  expect(screen.said.join("")).toBe(
    "\r\x1b[K\rthe backfill cannot go on and is paused (backfill 7): s3://nowhere: NoSuchBucket\n" +
      "\r\x1b[K\rswitched off (note it answered 410)\n",
  );
});
