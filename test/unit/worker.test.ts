import { describe, expect, test } from "vitest";
import { PhotoError, ReplacedError, UpstreamError } from "../../src/errors.ts";
import { strongest } from "../../src/moderate/frames.ts";
import type { LineModel, Weight } from "../../src/moderate/line.ts";
import { createShadow, type ShadowScore } from "../../src/moderate/shadow.ts";
import { createModerationWorker, type RecordedOutcome, type WorkerDeps } from "../../src/moderate/worker.ts";
import type { Lane, PhotoJob, Scores } from "../../src/photo.ts";
import { latch } from "../waits.ts";

interface Fake extends LineModel {
  /** Lets the runs go on that wait. */
  release(): void;
  runs: number[];
  closed: boolean;
}

/** A model that judges by the number of bytes it is given; `held`: its runs wait for `release`. */
function fake(name: string, side: number, { held = false, maxBatch = 2 } = {}): Fake {
  const gate = latch();
  if (!held) gate.resolve();
  const model: Fake = {
    by: `model:${name}`,
    provider: "cpu",
    side,
    maxBatch,
    threads: 1,
    runs: [],
    closed: false,
    release: gate.resolve,
    decode: (_bytes, turn) => turn(async () => [new Uint8Array(side * side * 3)]),
    async run(photos) {
      await gate.promise;
      if (photos.some((photo) => photo.length !== side * side * 3)) throw new Error("pixels of another side");
      model.runs.push(photos.length);
      return photos.map((): Scores => ({ categories: { [name]: 1 }, human: 0 }));
    },
    decide: () => ({ verdict: "shown", rule: "clear", reason: "", category: name, tags: [] }),
    async close() {
      model.closed = true;
    },
  };
  return model;
}

function start(
  first: LineModel,
  recordShadow: (scores: readonly ShadowScore[]) => Promise<void> = async () => {},
  deps: Partial<WorkerDeps> = {},
) {
  const recorded: RecordedOutcome[] = [];
  const shadowed: Record<string, number> = {};
  const retried: string[] = [];
  const passedOver: string[] = [];
  const worker = createModerationWorker(
    {
      fetch: async () => ({ bytes: new Uint8Array(1), known: {} }),
      time: async () => "now",
      async record(outcomes) {
        recorded.push(...outcomes);
        return new Map(outcomes.map(({ photoId }) => [photoId, true]));
      },
      lookAgain: async () => {},
      recordShadow,
      knownFromKey: () => ({}),
      policyText: "",
      ...deps,
    },
    first,
    { maxWaitMs: 0, decoders: 2, slowDecoders: 1 },
    {
      stage: () => {},
      batch: () => {},
      left: () => {},
      retried: (_photo, _lane, _code, error) => void retried.push(error.message),
      same: () => {},
      passedOver: (_photo, error) => void passedOver.push(error.message),
      shadowed(outcome, photos) {
        shadowed[outcome] = (shadowed[outcome] ?? 0) + photos;
      },
    },
  );
  const judge = (id: string, lane: Lane = "live") => worker.photo(photo(id), lane, { tries: 1, last: false });
  return { worker, recorded, shadowed, retried, passedOver, judge };
}

const photo = (id: string): PhotoJob => ({ id, store: "s3", bucket: "b", key: id, version: "", known: {} });

const bySigner = (recorded: RecordedOutcome[]) =>
  Object.fromEntries(recorded.map(({ photoId, by }) => [photoId, by]));

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
  await worker.close();
});

test("closing during a replacement ends both models, after their last photos", async () => {
  const [old, next] = [fake("old", 2, { held: true }), fake("next", 2)];
  const { worker, recorded, judge } = start(old);
  const first = judge("1");
  await new Promise(setImmediate);
  const replaced = worker.replace(next);
  const closed = worker.close();
  old.release();
  await Promise.all([first, replaced, closed]);
  expect([old.closed, next.closed]).toEqual([true, true]);
  expect(bySigner(recorded)).toEqual({ 1: "model:old" });
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
  await worker.close();
});

test("an upload is fetched and judged however many photos of the archive are in hand", async () => {
  const stalled = latch();
  const { worker, recorded, judge } = start(fake("m", 2), undefined, {
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
  await worker.close();
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
  const { worker, judge } = start(model, undefined, {
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
  await worker.close();
});

test("the time is asked for before a photo is fetched whose bytes may be others by now, or that a backfill may propose a verdict of", async () => {
  const steps: string[] = [];
  const { worker, recorded } = start(fake("m", 2), undefined, {
    async fetch({ key }) {
      steps.push(`fetch ${key}`);
      return { bytes: new Uint8Array(1), known: {} };
    },
    time: async () => `T${steps.push("time")}`,
  });
  const photos: PhotoJob[] = [
    photo("keyed"),
    { ...photo("ordered"), version: "generation:1" },
    { ...photo("fed"), version: "etag:1", fed: true },
    { ...photo("named"), version: "etag:1" },
  ];
  for (const each of photos) await worker.photo(each, "live", { tries: 1, last: false });
  expect(steps).toEqual(["time", "fetch keyed", "time", "fetch ordered", "time", "fetch fed", "fetch named"]);
  expect(recorded.map(({ looked }) => looked)).toEqual(["T1", "T3", "T5", undefined]);
  await worker.close();
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
  await worker.close();
});

test("what fails in a shadow is counted, and fails nothing else", async () => {
  const { worker, recorded, shadowed, retried, judge } = start(fake("active", 2), async () => {
    throw new Error("Postgres is away");
  });
  await worker.shadow(fake("behind", 2), 1);
  await judge("1");
  await expect.poll(() => shadowed).toEqual({ failed: 1 });
  expect([recorded.length, retried]).toEqual([1, []]);
  await worker.close();
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

describe("photos whose bytes were judged before", () => {
  const known = { photoId: "7", scores: { categories: { old: 1 }, human: 0.25 } };

  test("are looked up in groups under the model's name, are not run, and are decided anew", async () => {
    const asked: [string, number][] = [];
    const first = latch();
    const model = fake("m", 2);
    const { worker, recorded, judge } = start(model, undefined, {
      fetch: async ({ key }) => ({ bytes: new TextEncoder().encode(key), known: { claimed: key } }),
      async knownScores(by, digests) {
        asked.push([by, digests.length]);
        if (asked.length === 1) await first.promise;
        return new Map(digests.map((digest) => [digest, known]));
      },
    });
    const all = Promise.all(Array.from({ length: 20 }, (_, n) => judge(String(n))));
    await expect.poll(() => asked.length).toBe(1);
    first.resolve();
    await all;
    expect(asked).toEqual([
      ["model:m", 1],
      ["model:m", 19],
    ]);
    expect(model.runs).toEqual([]);
    expect(recorded).toHaveLength(20);
    expect(recorded.find(({ photoId }) => photoId === "3")).toMatchObject({
      by: "model:m",
      batch: "same-7",
      known: { claimed: "3" },
      result: { scores: known.scores, decision: { category: "m" } },
    });
    expect(recorded.filter(({ result }) => "digest" in result)).toEqual([]);
    await worker.close();
  });

  test("are decoded for the shadow, which has to judge them itself", async () => {
    const shadowed: ShadowScore[] = [];
    const deps: Partial<WorkerDeps> = {
      knownScores: async (_by, digests) => new Map(digests.map((digest) => [digest, known])),
    };
    const { worker, judge } = start(fake("m", 2), async (some) => void shadowed.push(...some), deps);
    await worker.shadow(fake("behind", 3), 1);
    await judge("1");
    await expect.poll(() => shadowed.length).toBe(1);
    expect(shadowed[0]).toMatchObject({
      scores: { categories: { behind: 1 } },
      beside: { scores: known.scores },
    });
    await worker.close();
  });

  test.each([
    new UpstreamError("DATABASE_UNAVAILABLE", "Postgres is away"),
    new UpstreamError("DATABASE_FORBIDDEN", "permission denied for table verdicts"),
  ])("wait where $message, which is no fault of theirs even at the last try", async (error) => {
    const { worker, recorded, retried } = start(fake("m", 2), undefined, {
      knownScores: () => Promise.reject(error),
    });
    await expect(worker.photo(photo("1"), "live", { tries: 1, last: true })).rejects.toBe(error);
    expect([recorded, retried]).toEqual([[], [error.message]]);
    await worker.close();
  });
});

describe("a photo in whose place the store has another object", () => {
  const away = new UpstreamError("STORE_UNAVAILABLE", "503");
  const looking = (error: Error, look: () => Promise<void> = async () => {}) => {
    const looks: string[] = [];
    const line = start(fake("m", 2), undefined, {
      fetch: () => Promise.reject(error),
      async lookAgain({ id }, lane) {
        // what is gone is off the page by now
        looks.push(`${id} ${lane} ${line.recorded.length}`);
        await look();
      },
    });
    return { ...line, looks };
  };

  test("is looked for once it is recorded, in its lane; one that is deleted is not", async () => {
    const { worker, looks, judge } = looking(new ReplacedError("replaced"));
    await judge("1");
    await judge("2", "backfill");
    expect(looks).toEqual(["1 live 1", "2 backfill 2"]);
    await worker.close();
    const deleted = looking(new PhotoError("GONE", "NoSuchKey"));
    await deleted.judge("1");
    expect(deleted.looks).toEqual([]);
    await deleted.worker.close();
  });

  test("is not where it had itself been found so, as its key may be overwritten all the time", async () => {
    const { worker, looks, recorded } = looking(new ReplacedError("replaced"));
    await worker.photo({ ...photo("1"), found: true }, "live", { tries: 1, last: false });
    expect([looks, recorded.length]).toEqual([[], 1]);
    await worker.close();
  });

  test("is tried again where nobody could look, but for the last time", async () => {
    const { worker, retried, recorded } = looking(new ReplacedError("replaced"), () => Promise.reject(away));
    await expect(worker.photo(photo("1"), "live", { tries: 1, last: false })).rejects.toBe(away);
    expect(retried).toEqual(["503"]);
    await worker.photo(photo("1"), "live", { tries: 2, last: true });
    expect(recorded).toMatchObject([{ result: { failure: "GONE" } }, { result: { failure: "GONE" } }]);
    await worker.close();
  });
});

test("a photo that waits for its store has no last try of it, and has one of everything else", async () => {
  const away = new UpstreamError("STORE_UNAVAILABLE", "503");
  const which = { tries: 3, last: true, waits: true };
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
  const { worker, retried, judge } = start(fake("m", 2), undefined, {
    fetch,
    record: () => Promise.reject(error),
  });
  await expect(judge("1")).rejects.toBe(error);
  expect(retried).toEqual([error.message]);
  await worker.close();
});

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
  expect(shadow.runs).toEqual([2, 1]);
});

test("a score of any frame that is no number is none of the photo", async () => {
  const frames = [0.2, Number.NaN, 0.1].map((human) => ({ scores: { categories: { food: 1 }, human } }));
  expect(strongest(frames)).toEqual({ scores: { categories: { food: 1 }, human: Number.NaN }, frame: 0 });
});

describe("a rendition", () => {
  const small = { store: "s3", bucket: "thumbs", key: "small", version: "" } as const;
  const reading = (rendition: () => Promise<Uint8Array>, decode?: LineModel["decode"]) => {
    const fetched: string[] = [];
    const model = fake("m", 2);
    if (decode) model.decode = decode;
    const line = start(model, undefined, {
      async fetch({ bucket, key }) {
        fetched.push(`${bucket}/${key}`);
        return { bytes: bucket === "thumbs" ? await rendition() : new Uint8Array(9), known: {} };
      },
    });
    const judge = (last = false) =>
      line.worker
        .photo({ ...photo("1"), rendition: small }, "backfill", { tries: 1, last })
        .finally(line.worker.close);
    return { ...line, fetched, judge };
  };

  test("is judged in place of the photo, and the verdict says so", async () => {
    const { judge, fetched, recorded, passedOver } = reading(async () => new Uint8Array(1));
    await judge();
    expect([fetched, passedOver]).toEqual([["thumbs/small"], []]);
    expect(recorded[0]).toMatchObject({ photoId: "1", result: { rendition: true } });
  });

  test("that is not there, or no image, leaves the photo to be read itself", async () => {
    const gone = reading(() => Promise.reject(new PhotoError("GONE", "no such key")));
    await gone.judge();
    const broken = reading(
      async () => new Uint8Array(1),
      async (bytes) => {
        if (bytes.length === 1) throw new PhotoError("CORRUPT", "no image");
        return [new Uint8Array(12)];
      },
    );
    await broken.judge();
    for (const { fetched, recorded, passedOver, retried } of [gone, broken]) {
      expect(fetched).toEqual(["thumbs/small", "b/1"]);
      expect(recorded).toHaveLength(1);
      expect(recorded[0]!.result).not.toHaveProperty("rendition");
      expect([passedOver.length, retried]).toEqual([1, []]);
    }
  });

  test("whose store does not answer is tried again, and left at the last try", async () => {
    const away = new UpstreamError("STORE_UNAVAILABLE", "503");
    const before = reading(() => Promise.reject(away));
    await expect(before.judge()).rejects.toBe(away);
    expect([before.fetched, before.recorded]).toEqual([["thumbs/small"], []]);
    const last = reading(() => Promise.reject(away));
    await last.judge(true);
    expect(last.fetched).toEqual(["thumbs/small", "b/1"]);
    expect(last.recorded[0]!.result).toHaveProperty("decision");
  });
});
