import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { PhotoError, UpstreamError } from "../../src/errors.ts";
import { frameWithTopHuman } from "../../src/moderate/frames.ts";
import type { LineModel, Weight } from "../../src/moderate/line.ts";
import { createShadow, type ShadowScore } from "../../src/moderate/shadow.ts";
import type { PhotoJob } from "../../src/photo.ts";
import { latch } from "../waits.ts";
import { bySigner, type Fake, fake, photo, start } from "../workers.ts";

test("photos that one model began with are judged by it, later ones by the next, which is of another side", async () => {
  const [old, next] = [fake("old", 2, { held: true }), fake("next", 3)];
  const { worker, recorded, retried, judge } = start(old);
  const before = [judge("1"), judge("2"), judge("3")];
  // each has left for the model that is active as it comes
  await new Promise(setImmediate);
  const replaced = worker.replace(next);
  await judge("4");
  expect(old.closed).toBe(false);
  old.release();
  await Promise.all([...before, replaced]);
  expect(old.closed).toBe(true);
  expect(retried).toEqual([]);
  const expected = { 1: "model:old", 2: "model:old", 3: "model:old", 4: "model:next" };
  expect(bySigner(recorded)).toEqual(expected);
  await worker.close();
  expect(next.closed).toBe(true);
});

test("a large photo that waits for another, also of the next model, keeps no slow one waiting", async () => {
  const [held, begun]: [ReturnType<typeof latch>, string[]] = [latch(), []];
  const weighing = (name: string, weight: Weight, until = Promise.resolve()): Fake => ({
    ...fake(name, 2),
    decode: (_bytes, turn) =>
      turn(async () => {
        begun.push(name);
        await until;
        return [new Uint8Array(12)];
      }, weight),
  });
  const { worker, judge } = start(weighing("first", "large", held.promise));
  const first = judge("1");
  await new Promise(setImmediate);
  const replaced = [worker.replace(weighing("second", "large"))];
  const second = judge("2");
  await new Promise(setImmediate);
  replaced.push(worker.replace(weighing("slow", "slow")));
  await judge("3");
  expect(begun).toEqual(["first", "slow"]);
  held.resolve();
  await Promise.all([first, second, ...replaced]);
  expect(begun).toEqual(["first", "slow", "second"]);
});

test("closing during a replacement ends both models, after their last photos", async () => {
  const [old, next] = [fake("old", 2, { held: true }), fake("next", 2, { held: true })];
  const { worker, recorded, judge } = start(old);
  const first = judge("1");
  await new Promise(setImmediate);
  const replaced = worker.replace(next);
  const second = judge("2");
  await new Promise(setImmediate);
  const closed = [worker.close(), worker.close()];
  for (const model of [old, next]) model.release();
  await Promise.all([first, second, replaced, ...closed]);
  expect([old.closed, next.closed]).toEqual([true, true]);
  expect(bySigner(recorded)).toEqual({ 1: "model:old", 2: "model:next" });
});

test("a model that was replaced is open until the last of its photos has left, not the first", async () => {
  const [old, quick, slow] = [fake("old", 2), latch(), latch()];
  old.decode = async (bytes) => {
    await (bytes.length === 1 ? quick : slow).promise;
    return [new Uint8Array(2 * 2 * 3)];
  };
  const { worker, recorded, judge } = start(old, undefined, {
    fetch: async ({ key }) => ({ bytes: new Uint8Array(Number(key)), known: {} }),
  });
  const both = [judge("1"), judge("2")];
  await new Promise(setImmediate);
  const replaced = worker.replace(fake("next", 2));
  quick.resolve();
  await both[0];
  await new Promise(setImmediate);
  expect(old.closed).toBe(false);
  slow.resolve();
  await Promise.all([...both, replaced]);
  expect([old.closed, recorded.length]).toEqual([true, 2]);
});

test("a model that was replaced is open until the frames of a photo that failed have left, too", async () => {
  const [old, second] = [fake("old", 2, { maxBatch: 1 }), latch()];
  old.decode = async () => [new Uint8Array(12), new Uint8Array(12)];
  let runs = 0;
  old.run = async () => {
    if (++runs === 1) throw new UpstreamError("INFERENCE_UNAVAILABLE", "the thread died");
    await second.promise;
    return [{ categories: {}, human: 0 }];
  };
  const { worker, judge } = start(old);
  await expect(judge("1")).rejects.toThrow("the thread died");
  const replaced = worker.replace(fake("next", 2));
  await new Promise(setImmediate);
  expect([runs, old.closed]).toEqual([2, false]);
  second.resolve();
  await replaced;
  expect(old.closed).toBe(true);
});

test("a photo's bytes are freed once it is judged, unless a shadow reads them too", async () => {
  const fetched: Uint8Array[] = [];
  const { worker, judge } = start(fake("m", 2), undefined, {
    async fetch() {
      const bytes = new Uint8Array(7);
      fetched.push(bytes);
      return { bytes, known: {} };
    },
  });
  await judge("1");
  await worker.shadow(fake("next", 2), 1);
  await judge("2");
  expect(fetched.map(({ length }) => length)).toEqual([0, 7]);
});

test("an upload is fetched and judged however many photos of the archive are in hand", async () => {
  const stalled = latch();
  const { recorded, judge } = start(fake("m", 2), undefined, {
    async fetch({ key }) {
      if (key !== "upload") await stalled.promise;
      return { bytes: new Uint8Array(1), known: {} };
    },
  });
  const archive = Array.from({ length: 1_000 }, (_, n) => judge(String(n), "backfill"));
  await judge("upload");
  expect(recorded).toMatchObject([{ photoId: "upload" }]);
  stalled.resolve();
  await Promise.all(archive);
});

test.each([
  ["cpu", ["upload"]],
  ["cuda", ["upload", "archive"]],
])("while an upload is in hand, a model on %s begins with %j", async (provider, begun) => {
  const [held, decoded]: [ReturnType<typeof latch>, string[]] = [latch(), []];
  const model: LineModel = {
    ...fake("m", 2),
    provider,
    async decode(bytes) {
      decoded.push(bytes[0] === 1 ? "upload" : "archive");
      await held.promise;
      return [new Uint8Array(2 * 2 * 3)];
    },
  };
  const { judge } = start(model, undefined, {
    fetch: async ({ key }) => ({ bytes: Uint8Array.of(Number(key)), known: {} }),
  });
  const both = [judge("1"), judge("2", "backfill")];
  await new Promise(setImmediate);
  expect(decoded).toEqual(begun);
  held.resolve();
  await Promise.all(both);
  expect(decoded).toEqual(["upload", "archive"]);
});

test("an upload goes first into a batch, and into what is committed together", async () => {
  const [running, recording] = [latch(), latch()];
  const [judged, committed]: [number[], string[][]] = [[], []];
  const model: LineModel = {
    ...fake("m", 1, { maxBatch: 1 }),
    provider: "cuda",
    decode: async (bytes) => [Uint8Array.from(bytes)],
    async run([frame]) {
      await running.promise;
      judged.push(frame![0]!);
      return [{ categories: { m: 1 }, human: 0 }];
    },
  };
  const { judge } = start(model, undefined, {
    fetch: async ({ key }) => ({ bytes: Uint8Array.of(Number(key)), known: {} }),
    async record(outcomes) {
      committed.push(outcomes.map(({ photoId }) => photoId));
      if (committed.length === 1) await recording.promise;
      return new Map();
    },
  });
  const all = ["1", "2", "3", "4"].map((id) => judge(id, "backfill"));
  await new Promise(setImmediate);
  all.push(judge("9"));
  await new Promise(setImmediate);
  running.resolve();
  await expect.poll(() => judged).toEqual([1, 2, 9, 3, 4]);
  recording.resolve();
  await Promise.all(all);
  expect(committed).toEqual([["1"], ["9", "2", "3", "4"]]);
});

test("an upload that is decoded slowly goes before slow ones of the archive, and holds up none that is quick", async () => {
  const [slow, quick] = [1, 0];
  const order: string[] = [];
  let release = (): void => {};
  const first = new Promise<void>((resolve) => {
    release = resolve;
  });
  const model: LineModel = {
    ...fake("m", 2),
    provider: "cuda",
    decode: (bytes, turn) =>
      turn(
        async () => {
          order.push(String(bytes));
          if (order.length === 1) await first;
          return [new Uint8Array(2 * 2 * 3)];
        },
        bytes[0] === slow ? "slow" : "ordinary",
      ),
  };
  const { judge } = start(model, undefined, {
    fetch: async ({ key }) => ({
      bytes: Uint8Array.of(key === "quick" ? quick : slow, Number(key)),
      known: {},
    }),
  });
  const archive = ["1", "2", "3"].map((id) => judge(id, "backfill"));
  await new Promise(setImmediate);
  const upload = judge("4");
  await judge("quick");
  release();
  await Promise.all([...archive, upload]);
  expect(order).toEqual(["1,1", "0,0", "1,4", "1,2", "1,3"]);
});

test("a shadow that hangs delays no verdict: a few photos wait for it, and the rest is dropped", async () => {
  const scores: ShadowScore[] = [];
  const behind = fake("behind", 3, { held: true });
  const { worker, recorded, shadowed, judge } = start(
    fake("active", 2),
    async (some) => void scores.push(...some),
  );
  await worker.shadow(behind, 1);
  for (let n = 0; n < 20; n++) await judge(String(n));
  await judge("archive", "backfill");
  expect(recorded).toHaveLength(21);
  const dropped = shadowed["dropped"] ?? 0;
  // of a batch of at most two and four that wait
  expect(dropped).toBeGreaterThanOrEqual(14);
  behind.release();
  await expect.poll(() => scores.length).toBe(20 - dropped);
  expect(scores[0]).toMatchObject({ photoId: "0", by: "model:behind", beside: { by: "model:active" } });
  expect(shadowed["judged"]).toBe(20 - dropped);
  await worker.shadow(undefined, 0);
  expect(behind.closed).toBe(true);
});

test("a shadow decodes once no photo of the line waits for that", async () => {
  const [held, order]: [ReturnType<typeof latch>, string[]] = [latch(), []];
  const decoding = (model: Fake, slow: (id: string) => boolean): Fake => ({
    ...model,
    provider: "cuda",
    decode: (bytes, turn) => {
      const id = String(bytes[0]);
      return turn(
        async () => {
          order.push(`${model.by} ${id}`);
          if (id === "1") await held.promise;
          return [new Uint8Array(model.side ** 2 * 3)];
        },
        slow(id) ? "slow" : "ordinary",
      );
    },
  });
  const { worker, judge } = start(
    decoding(fake("m", 2), (id) => id !== "9"),
    undefined,
    {
      fetch: async ({ key }) => ({ bytes: Uint8Array.of(Number(key)), known: {} }),
    },
  );
  await worker.shadow(
    decoding(fake("behind", 3), () => true),
    1,
  );
  const first = judge("1", "backfill");
  await new Promise(setImmediate);
  await judge("9");
  const second = judge("2", "backfill");
  await new Promise(setImmediate);
  held.resolve();
  await Promise.all([first, second]);
  await expect.poll(() => order).toEqual(["model:m 1", "model:m 9", "model:m 2", "model:behind 9"]);
});

test("what fails in a shadow is counted, and fails nothing else", async () => {
  const { worker, recorded, shadowed, retried, judge } = start(fake("active", 2), async () => {
    throw new Error("Postgres is away");
  });
  await worker.shadow(fake("behind", 2), 1);
  await judge("1");
  await expect.poll(() => shadowed).toEqual({ failed: 1 });
  expect([recorded.length, retried]).toEqual([1, []]);
});

test("a shadow that ends drops what waits, runs to the end of its batch, and begins no other", async () => {
  const model = fake("behind", 2, { held: true });
  const told: [string, number][] = [];
  const shadow = createShadow(
    { model, share: 1, turn: (work) => work(), record: async () => {} },
    { shadowed: (outcome, photos) => void told.push([outcome, photos]) },
  );
  const scores = { categories: {}, human: 0 };
  const beside = { by: "model:active", scores, decision: model.decide(scores) };
  const offer = (photoId: string): void =>
    shadow.offer({ photoId, bytes: new Uint8Array(1), pixels: [new Uint8Array(12)], beside });
  for (const id of ["1", "2", "3"]) offer(id);
  const closed = shadow.close();
  offer("4");
  await new Promise(setImmediate);
  expect(model.closed).toBe(false);
  model.release();
  await closed;
  offer("5");
  expect([model.closed, model.runs]).toEqual([true, [1]]);
  expect(told).toEqual([
    ["dropped", 2],
    ["dropped", 1],
    ["judged", 1],
    ["dropped", 1],
  ]);
});

test("a shadow's share is of the same photos in every worker", () => {
  const ids = Array.from({ length: 1_000 }, (_, n) => String(n));
  const wantedBy = (): string[] => {
    const deps = {
      model: fake("behind", 2),
      turn: <T>(work: () => Promise<T>) => work(),
      record: async () => {},
    };
    return ids.filter(createShadow({ ...deps, share: 0.25 }, { shadowed: () => {} }).wants);
  };
  expect(wantedBy()).toEqual(wantedBy());
  expect(wantedBy().length).toBeGreaterThan(200);
  expect(wantedBy().length).toBeLessThan(300);
});

test("a photo that waits for its store has no last try of it, and has one of everything else", async () => {
  const away = new UpstreamError("STORE_UNAVAILABLE", "503");
  const which = { tries: 3, last: true, waitsFor: (error: Error) => error === away };
  const waiting = start(fake("m", 2), undefined, { fetch: () => Promise.reject(away) });
  await expect(waiting.worker.photo(photo("1"), "live", which)).rejects.toBe(away);
  expect([waiting.recorded, waiting.retried]).toEqual([[], [away.message]]);
  const broken = start(fake("m", 2), undefined, { fetch: () => Promise.reject(new Error("a bug")) });
  await broken.worker.photo(photo("1"), "live", which);
  expect(broken.recorded).toMatchObject([{ result: { failure: "INTERNAL" } }]);
  await Promise.all([waiting.worker.close(), broken.worker.close()]);
});

test.each([
  { what: "verdict", fetch: async () => ({ bytes: new Uint8Array(1), known: {} }) },
  { what: "failure", fetch: () => Promise.reject(new PhotoError("GONE", "it is gone")) },
])("a photo whose $what cannot be committed is told of as one that is tried again", async ({ fetch }) => {
  const error = new UpstreamError("DATABASE_UNAVAILABLE", "Postgres is read-only");
  const { retried, judge } = start(fake("m", 2), undefined, {
    fetch,
    record: () => Promise.reject(error),
  });
  await expect(judge("1")).rejects.toBe(error);
  expect(retried).toEqual([error.message]);
});

const alone = [["2"], ["3"], ["4"]];
test.each([
  ["what Postgres refuses fails alone", new Error("invalid input"), alone, [true, true, false, true]],
  ["all fail that it was away for", new UpstreamError("CLOSED", "away"), [], [true, false, false, false]],
])("of photos that are committed together %s", async (_what, error, after, committed) => {
  const begun = latch();
  const groups: string[][] = [];
  const { judge } = start(fake("m", 2), undefined, {
    async record(outcomes) {
      const ids = outcomes.map(({ photoId }) => photoId);
      groups.push(ids);
      if (groups.length === 1) await begun.promise;
      if (ids.includes("3")) throw error;
      return new Map(ids.map((id) => [id, { changed: true }]));
    },
  });
  const all = Promise.allSettled(["1", "2", "3", "4"].map((id) => judge(id)));
  await expect.poll(() => groups).toEqual([["1"]]);
  await new Promise(setImmediate);
  begun.resolve();
  expect((await all).map(({ status }) => status === "fulfilled")).toEqual(committed);
  expect(groups).toEqual([["1"], ["2", "3", "4"], ...after]);
});

describe("a failure says which bytes it is of", () => {
  const digest = createHash("sha256").update(new Uint8Array(1)).digest("hex");

  test.each([
    { error: new PhotoError("CORRUPT", "no image"), deps: { knownScores: async () => new Map() } },
    { error: new PhotoError("CORRUPT", "no image"), deps: {} },
    { error: new UpstreamError("DECODE_UNAVAILABLE", "the thread died"), deps: {} },
  ])("where they could not be decoded: $error.code", async ({ error, deps }) => {
    const broken = fake("m", 2);
    broken.decode = () => Promise.reject(error);
    const { worker, recorded } = start(broken, undefined, deps);
    await worker.photo(photo("1"), "live", { tries: 1, last: true });
    expect(recorded).toMatchObject([{ result: { failure: error.code, digest } }]);
  });

  test("and for whom it was read, where workers died of what a backfill had fed", async () => {
    const { worker, recorded, finished } = start(fake("m", 2));
    const fed: PhotoJob = { ...photo("1"), fed: true };
    await worker.fail(fed, "backfill", "WORKER_CRASHED", "4 workers", { again: true, patient: false });
    expect(recorded).toMatchObject([{ photoId: "1", fed: true, object: { bucket: "b", key: "1" } }]);
    expect(finished).toEqual(recorded);
  });

  test("where workers died of them, unless they cannot be had", async () => {
    const away = new UpstreamError("STORE_UNAVAILABLE", "no answer");
    let error: Error | undefined;
    const { worker, recorded } = start(fake("m", 2), undefined, {
      fetch: async () => {
        if (error) throw error;
        return { bytes: new Uint8Array(1), known: {} };
      },
    });
    const fail = (how = { again: false, patient: true }) =>
      worker.fail(photo("1"), "live", "WORKER_CRASHED", "4 workers", how);
    await fail();
    // that workers die of being asked for them
    await fail({ again: true, patient: true });
    error = away;
    // its bytes may be had later, and say whether a verdict of before holds
    await expect(fail()).rejects.toBe(away);
    await fail({ again: false, patient: false });
    error = new PhotoError("GONE", "no such key");
    await fail();
    const result = { failure: "WORKER_CRASHED", message: "4 workers", transient: true };
    expect(recorded.map((outcome) => outcome.result)).toEqual([
      { ...result, digest },
      result,
      result,
      result,
    ]);
  });
});

test.each([true, false])(
  "a verdict says which bytes it is of where each is judged, if others may have its scores (%s)",
  async (keepsDigests) => {
    const { recorded, judge } = start(fake("m", 2), undefined, { keepsDigests });
    for (const id of ["1", "2"]) await judge(id);
    expect(recorded.map(({ result }) => "digest" in result)).toEqual([keepsDigests, keepsDigests]);
  },
);

test("of several frames the first says the category and the strongest whether a human is there, to a shadow too", async () => {
  const seeing = (name: string) => {
    const model = fake(name, 1, { maxBatch: 2 });
    // a frame of one pixel, which says of each what it is
    model.decode = async () => [20, 90, 10].map((human, n) => new Uint8Array([human, n, 0]));
    model.run = async (frames) => {
      model.runs.push(frames.length);
      return frames.map(([human, n]) => ({ categories: { food: n! / 10 }, human: human! / 100 }));
    };
    return model;
  };
  const shadowed: ShadowScore[] = [];
  const line = start(seeing("m"), async (scores) => void shadowed.push(...scores));
  const shadow = seeing("shadow");
  await line.worker.shadow(shadow, 1);
  await line.judge("1");
  await line.worker.close();
  const scores = { categories: { food: 0 }, human: 0.9 };
  expect(line.recorded).toHaveLength(1);
  expect(line.recorded[0]!.result).toMatchObject({ scores });
  expect(shadowed).toMatchObject([{ photoId: "1", scores }]);
  expect([shadow.runs, shadow.closed]).toEqual([[2, 1], true]);
});

test("a score of any frame that is no number is none of the photo", async () => {
  const frames = [0.2, Number.NaN, 0.1].map((human) => ({ scores: { categories: { food: 1 }, human } }));
  expect(frameWithTopHuman(frames)).toEqual({
    scores: { categories: { food: 1 }, human: Number.NaN },
    frame: 0,
  });
});
