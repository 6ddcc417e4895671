import type { S3Client } from "@aws-sdk/client-s3";
import { describe, expect } from "vitest";
import { type BucketSweep, sweepBucket } from "../../src/cli/sweep-bucket.ts";
import { connectS3 } from "../../src/image/s3.ts";
import {
  abandonSweep,
  beginSweep,
  finishSweep,
  knownAmong,
  knownObjects,
  lockSweeps,
  sweepStep,
  sweepTotals,
} from "../../src/store/sweeps.ts";
import { counts, found, test } from "../sweeps.ts";
import { register, removeObject } from "../verdicts.ts";

describe("what went wrong is no reason to withdraw:", () => {
  /** Answers some requests with a status, and the rest as the store does. */
  const refusing = (s3: S3Client, command: string, status: number): S3Client =>
    new Proxy(s3, {
      get(target, name) {
        if (name !== "send") return Reflect.get(target, name);
        return async (...args: Parameters<S3Client["send"]>) => {
          if (args[0].constructor.name === command) {
            throw Object.assign(new Error("no"), { name: "Refused", $metadata: { httpStatusCode: status } });
          }
          return target.send(...args);
        };
      },
    });

  test("no bucket, no access to the listing, no answer, no such server", async ({ bench, db }) => {
    const { told, sweep, current, s3, config, bucket, intake } = await bench();
    await told("created", "a", "etag:1", "1");
    const listing = "ListObjectsV2Command";
    await expect(sweep({ s3: refusing(s3, listing, 404) })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await expect(sweep({ s3: refusing(s3, listing, 403) })).rejects.toMatchObject({ code: "ACCESS_DENIED" });
    await expect(sweep({ s3: refusing(s3, listing, 500) })).rejects.toMatchObject({
      code: "STORE_UNAVAILABLE",
    });
    const nowhere = connectS3({ ...config, s3Endpoint: "http://127.0.0.1:1" }, 1);
    await expect(sweep({ s3: nowhere })).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    // every key of a bucket that vanished meanwhile looks absent
    const vanished = refusing(s3, "HeadBucketCommand", 404);
    await expect(sweep({ s3: vanished })).rejects.toThrow(`there is no bucket ${bucket}`);
    for (const dryRun of [true, false]) {
      await expect(
        sweepBucket(
          { bucket: "no-such-bucket", prefix: "" },
          { ...({} as BucketSweep), intake, s3, rate: 100, signal: new AbortController().signal, dryRun },
        ),
      ).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    }
    expect((await sweepTotals(db.pool)).map(({ bucket }) => bucket)).toEqual([bucket]);
    expect(await current()).toEqual(["a etag:1"]);
  });

  test("an object that may not be looked at", async ({ bench }) => {
    const { told, sweep, current, s3 } = await bench();
    await told("created", "a", "etag:1", "1");
    expect(counts(await sweep({ s3: refusing(s3, "HeadObjectCommand", 403) }))).toEqual(
      found({ unclear: 1 }),
    );
    expect(await current()).toEqual(["a etag:1"]);
  });

  test("more than a few and a tenth of what is known, unless it is allowed", async ({ bench }) => {
    const { sweep, current, db, bucket, put } = await bench();
    const register = (count: number, from = 0) =>
      db.pool.query(
        `insert into photos (store, bucket, key, version)
          select 's3', $1, 'k' || lpad(n::text, 6, '0'), 'etag:1' from generate_series($2::int, $3::int) n`,
        [bucket, from, from + count - 1],
      );
    await put("z");
    await register(100);
    expect(await sweep()).toMatchObject({ gone: 100, finished: true });
    await register(101, 1_000);
    const refused = await sweep();
    expect(refused).toMatchObject({ gone: 0, finished: false });
    expect(refused.stopped).toContain("101 of 102 known photos are gone");
    expect(await current()).toHaveLength(102);
    expect(await sweep({ allowRemovals: true })).toMatchObject({ gone: 101, finished: true });
    expect(await current()).toHaveLength(1);
  });
});

describe("a sweep that is interrupted", () => {
  test("goes on where it was, with what it had counted", async ({ bench }) => {
    const { put, sweep, waiting, db } = await bench();
    for (let n = 0; n < 7; n++) await put(`k${n}`);
    const stop = new AbortController();
    const listed: number[] = [];
    const interrupted = sweep({
      pageSize: 2,
      signal: stop.signal,
      progress: (totals) => {
        listed.push(totals.listed);
        if (totals.listed === 4) stop.abort();
      },
    });
    await expect(interrupted).rejects.toThrow();
    expect(await waiting()).toBe(4);
    expect((await db.pool.query("select state, cursor, missed from sweeps")).rows).toEqual([
      { state: "running", cursor: "k3", missed: "4" },
    ]);
    const said: string[] = [];
    expect(counts(await sweep({ pageSize: 2, say: (text) => void said.push(text) }))).toEqual(
      found({ listed: 7, missed: 7 }),
    );
    expect(said).toEqual(['goes on behind "k3"']);
    expect(await waiting()).toBe(7);
  });

  test("begins anew where that is asked for", async ({ bench }) => {
    const { put, sweep, db } = await bench();
    await put("a");
    await put("b");
    const stop = new AbortController();
    await expect(sweep({ pageSize: 1, signal: stop.signal, progress: () => stop.abort() })).rejects.toThrow();
    expect(counts(await sweep({ restart: true }))).toEqual(found({ listed: 2, known: 1, missed: 1 }));
    expect((await db.pool.query("select state from sweeps order by id")).rows).toEqual([
      { state: "abandoned" },
      { state: "done" },
    ]);
  });

  test("between its commit and the queue has lost nothing: the next one queues it", async ({ bench }) => {
    const { put, sweep, waiting, intake, db } = await bench();
    await put("a");
    const away = {
      ...intake.queues,
      add: async () => {
        throw new Error("away");
      },
    };
    await expect(sweep({ intake: { ...intake, queues: away } })).rejects.toThrow("away");
    expect(await waiting()).toBe(0);
    await db.pool.query("update unqueued set since = since - interval '1 minute'");
    expect(counts(await sweep())).toMatchObject({ missed: 1 });
    expect(await waiting()).toBe(1);
    expect((await intake.queues.depth("live")).waiting).toBe(0);
  });

  test("is not gone on with by two: the second says so, and one that lost its place stops", async ({
    bench,
  }) => {
    const { put, sweep, db, bucket, intake } = await bench();
    await put("a");
    await put("b");
    const lock = await lockSweeps(db.pool, bucket);
    expect(await sweep()).toMatchObject({
      finished: false,
      stopped: expect.stringContaining("another sweep"),
    });
    await lock!.close();
    const queues = {
      ...intake.queues,
      async depth(lane: "live" | "backfill") {
        await db.pool.query("update sweeps set cursor = 'elsewhere'");
        return intake.queues.depth(lane);
      },
    };
    const robbed = sweep({ intake: { ...intake, queues } });
    await expect(robbed).rejects.toThrow("somebody else went on with it");
  });
});

test("a sweep that was abandoned or is done takes no step more, also where it had not begun", async ({
  db,
}) => {
  const counts = { listed: 1, known: 1, young: 0, unclear: 0, seconds: 1 };
  const step = (id: string) =>
    sweepStep(
      db.pool,
      id,
      { from: "", to: "a", counts, items: [] },
      { pad: "right", erase: false, lane: "backfill" },
    );
  const { id } = await beginSweep(db.pool, "b", "");
  await abandonSweep(db.pool, "b", "");
  await expect(step(id)).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
  const next = await beginSweep(db.pool, "b", "");
  await finishSweep(db.pool, next.id, 1);
  await expect(step(next.id)).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
});

test("a sweep that begins anew leaves those of other prefixes where they are", async ({ db }) => {
  const { id } = await beginSweep(db.pool, "b", "p/");
  await abandonSweep(db.pool, "b", "");
  expect(await beginSweep(db.pool, "b", "p/")).toMatchObject({ id });
});

test("what is known is read in the order of keys, behind one of them, and without what is gone", async ({
  db,
}) => {
  for (const key of ["c", "a", "b", "gone"]) await register(db, key);
  await removeObject(db, "gone");
  const known = async (after: string, limit: number) =>
    (await knownObjects(db.pool, "photos", { after, upTo: undefined, prefix: "" }, limit)).map(
      ({ key }) => key,
    );
  expect(await known("", 2)).toEqual(["a", "b"]);
  expect(await known("b", 2)).toEqual(["c"]);
  const among = await knownAmong(db.pool, "photos", ["a", "gone"]);
  expect(among).toEqual([{ key: "a", versions: ["etag:1"] }]);
});

test("a sweep waits while its lane is full", async ({ bench }) => {
  const { put, sweep, waiting, intake, config } = await bench();
  for (const key of ["a", "b", "c"]) await put(key);
  const stop = new AbortController();
  const said: string[] = [];
  const waits = sweep({
    pageSize: 2,
    config: { ...config, feedLimit: 1 },
    queueLimit: 1,
    signal: stop.signal,
    say(text) {
      said.push(text);
      stop.abort();
    },
  });
  await expect(waits).rejects.toThrow();
  expect(said).toEqual([expect.stringContaining("waits: 2 photos are in the lane backfill")]);
  expect(await waiting()).toBe(2);
  expect((await intake.queues.depth("live")).waiting).toBe(0);
});

test("a sweep does not wait for what a feeder keeps in its lane", async ({ bench }) => {
  const { put, remove, told, sweep, intake, bucket, config } = await bench();
  await told("created", "gone", await put("gone"), "1");
  await remove("gone");
  await put("missed");
  const ref = { store: "s3", bucket, key: "old", version: "", known: {}, fed: true } as const;
  const fed = Array.from({ length: 5 }, (_, n) => ({ ...ref, id: String(1_000 + n) }));
  await intake.queues.add("backfill", fed);
  const swept = await sweep({
    config: { ...config, feedLimit: 5 },
    queueLimit: 1,
    say(text) {
      throw new Error(text);
    },
  });
  expect(counts(swept)).toEqual(found({ listed: 1, missed: 1, gone: 1 }));
});
