import { describe, expect, test } from "vitest";
import { PhotoError, ReplacedError, UpstreamError } from "../../src/errors.ts";
import type { LineModel } from "../../src/moderate/line.ts";
import type { ShadowScore } from "../../src/moderate/shadow.ts";
import type { WorkerDeps } from "../../src/moderate/worker.ts";
import type { PhotoJob } from "../../src/photo.ts";
import { latch } from "../waits.ts";
import { fake, photo, start } from "../workers.ts";

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
});

test("the event knows best of what a photo is, then its object, then its key", async () => {
  const { worker, recorded } = start(fake("m", 2), undefined, {
    async fetch({ key }) {
      if (key === "gone") throw new PhotoError("GONE", "no such key");
      return { bytes: new Uint8Array(1), known: { listing: "object", uploader: "moderator" } };
    },
    knownFromKey: () => ({ listing: "key", uploader: "user", claimed: "key" }),
  });
  for (const id of ["there", "gone"])
    await worker.photo({ ...photo(id), known: { listing: "event" } }, "live", { tries: 2, last: true });
  expect(recorded).toMatchObject([
    { tries: 2, known: { listing: "event", uploader: "moderator", claimed: "key" } },
    { tries: 2, known: { listing: "event", uploader: "user", claimed: "key" } },
  ]);
});

test.each([
  { error: new PhotoError("CORRUPT", "no image"), transient: false },
  { error: new PhotoError("ACCESS_DENIED", "403"), transient: true },
  { error: new UpstreamError("STORE_UNAVAILABLE", "503"), transient: true },
  { error: new Error("a bug"), transient: true },
])("a verdict of before holds ($transient) where a photo fails for: $error.message", async (given) => {
  const { worker, recorded } = start(fake("m", 2), undefined, { fetch: () => Promise.reject(given.error) });
  await worker.photo(photo("1"), "live", { tries: 1, last: true });
  expect(recorded).toMatchObject([{ result: { transient: given.transient } }]);
});

test("what is held for a moderator is told of as that, with why", async () => {
  const held = "ann hid the same bytes";
  const { finished, judge } = start(fake("m", 2), undefined, {
    record: async () => new Map([["1", { changed: true, held }]]),
  });
  await judge("1");
  const decision = { verdict: "review", rule: "hidden-copy", reason: held, category: "m" };
  expect(finished).toMatchObject([{ photoId: "1", result: { decision } }]);
});

describe("photos whose bytes were judged before", () => {
  const known = { photoId: "7", scores: { categories: { old: 1 }, human: 0.25 } };

  test("are looked up in groups under the model's name, are not run, and are decided anew", async () => {
    const asked: [string, number][] = [];
    const first = latch();
    const model = fake("m", 2);
    const { recorded, judge } = start(model, undefined, {
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
  });
});

describe("a photo in whose place the store has another object", () => {
  const away = new UpstreamError("STORE_UNAVAILABLE", "503");
  const looking = (error: Error, look: () => Promise<void> = async () => {}) => {
    const looks: string[] = [];
    const line = start(fake("m", 2), undefined, {
      fetch: () => Promise.reject(error),
      async adoptReplacement({ id }, lane) {
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
  });

  test("is tried again where nobody could look, but for the last time", async () => {
    const { worker, retried, recorded } = looking(new ReplacedError("replaced"), () => Promise.reject(away));
    await expect(worker.photo(photo("1"), "live", { tries: 1, last: false })).rejects.toBe(away);
    expect(retried).toEqual(["503"]);
    await worker.photo(photo("1"), "live", { tries: 2, last: true });
    expect(recorded).toMatchObject([{ result: { failure: "GONE" } }, { result: { failure: "GONE" } }]);
  });
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
