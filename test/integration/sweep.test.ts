import {
  CreateBucketCommand,
  DeleteObjectCommand,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import fc from "fast-check";
import { startFauxqs } from "fauxqs";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { type Intake, openIntake } from "../../src/cli/intake.ts";
import { type BucketSweep, type Result, sweepBucket } from "../../src/cli/sweep-bucket.ts";
import type { Config } from "../../src/config.ts";
import { connectS3 } from "../../src/image/s3.ts";
import { Scope } from "../../src/lifecycle.ts";
import { recordEvents } from "../../src/store/events.ts";
import { sweepTotals } from "../../src/store/sweep-totals.ts";
import { lockSweeps } from "../../src/store/sweeps.ts";
import { versionOf } from "../../src/version.ts";
import { BACKENDS, type Backend, test as base, type Database } from "../fixtures.ts";
import { ended, maitred } from "../maitred.ts";
import { HAS_MOTO, startMoto } from "../moto.ts";
import { until } from "../waits.ts";

interface Bench {
  db: Database;
  config: Config;
  intake: Intake;
  s3: S3Client;
  bucket: string;
  put(key: string, body?: string): Promise<string>;
  remove(key: string): Promise<void>;
  /** Tells of what was put, as an event would. */
  told(kind: "created" | "removed", key: string, version: string, order?: string | null): Promise<void>;
  sweep(over?: Partial<BucketSweep> & { prefix?: string }): Promise<Result>;
  current(): Promise<string[]>;
  waiting(): Promise<number>;
}

const servers: Record<"fauxqs" | "moto", string> = { fauxqs: "", moto: "" };
const stops: (() => Promise<unknown>)[] = [];
let buckets = 0;

beforeAll(async () => {
  const fauxqs = await startFauxqs({ port: 0, logger: false });
  servers.fauxqs = fauxqs.address;
  stops.push(() => fauxqs.stop());
  if (!HAS_MOTO) return;
  const moto = await startMoto();
  servers.moto = moto.url;
  stops.push(moto.stop);
});
afterAll(async () => {
  for (const stop of stops) await stop();
});

const test = base.extend<{
  bench(server?: keyof typeof servers, versions?: boolean, backend?: Backend): Promise<Bench>;
}>({
  bench: async ({ db, configFor }, use) => {
    const scope = new Scope();
    await use(async (server = "fauxqs", versions = false, backend = BACKENDS[0]!) => {
      const config = configFor(backend, { MAITRED_S3_ENDPOINT: servers[server] });
      const intake = openIntake(config, scope, () => {});
      const s3 = connectS3(config, 8);
      scope.onClose("S3", () => s3.destroy());
      const bucket = `sweep-${buckets++}`;
      await s3.send(new CreateBucketCommand({ Bucket: bucket }));
      if (versions) {
        const on = { Bucket: bucket, VersioningConfiguration: { Status: "Enabled" } } as const;
        await s3.send(new PutBucketVersioningCommand(on));
      }
      return {
        db,
        config,
        intake,
        s3,
        bucket,
        async put(key, body = key) {
          const { VersionId, ETag } = await s3.send(
            new PutObjectCommand({ Bucket: bucket, Key: key, Body: body }),
          );
          return versionOf(VersionId, ETag);
        },
        async remove(key) {
          await s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }));
        },
        async told(kind, key, version, order = null) {
          const event = { kind, store: "s3", bucket, key, version, order, known: {} } as const;
          await recordEvents(db.pool, [event], "right");
        },
        sweep: ({ prefix = "", ...over } = {}) =>
          sweepBucket(
            { bucket, prefix },
            {
              intake,
              s3,
              config,
              signal: new AbortController().signal,
              dryRun: false,
              restart: false,
              allowRemovals: false,
              lane: "backfill",
              graceMs: 0,
              rate: 10_000,
              queueLimit: 10_000,
              progress: () => {},
              say: () => {},
              ...over,
            },
          ),
        current: async () =>
          (
            await db.pool.query(
              `select key || ' ' || version as photo from photos where superseded_at is null order by key collate "C"`,
            )
          ).rows.map(({ photo }) => photo),
        waiting: async () => (await intake.queues.depth("backfill")).waiting,
      };
    });
    await scope.close();
  },
});

const counts = ({ listed, known, missed, gone, young, unclear }: Result) => ({
  listed,
  known,
  missed,
  gone,
  young,
  unclear,
});
const found = (over: Partial<Result> = {}) => ({
  listed: 0,
  known: 0,
  missed: 0,
  gone: 0,
  young: 0,
  unclear: 0,
  ...over,
});

describe("a sweep", () => {
  test.for(BACKENDS)(
    "queues on %s what no event told of, once, and then finds nothing",
    async (backend, { bench }) => {
      const { put, told, sweep, current, waiting, db, bucket } = await bench("fauxqs", false, backend);
      await told("created", "a", await put("a"), "1");
      const missed = await put("b");
      await put("folder/");
      expect(counts(await sweep())).toEqual(found({ listed: 2, known: 1, missed: 1 }));
      expect(await current()).toContain(`b ${missed}`);
      expect(await waiting()).toBe(1);
      expect((await db.pool.query("select lane, state from photos where key = 'b'")).rows).toEqual([
        { lane: "backfill", state: "pending" },
      ]);
      expect(
        (
          await db.pool.query(
            "select photo_id from unqueued u join photos p on p.id = u.photo_id where key = 'b'",
          )
        ).rows,
      ).toEqual([]);
      expect(counts(await sweep())).toEqual(found({ listed: 2, known: 2 }));
      expect(await sweepTotals(db.pool)).toMatchObject([
        { bucket, missed: 1, gone: 0, last: { listed: 2, missed: 0, prefix: "" } },
      ]);
    },
  );

  test("withdraws what is gone, and gives what was replaced its new version", async ({ bench }) => {
    const { put, remove, told, sweep, current, db } = await bench();
    for (const key of ["a", "b", "c"]) await told("created", key, await put(key), "1");
    await remove("a");
    const next = await put("b", "another");
    expect(counts(await sweep())).toEqual(found({ listed: 2, known: 1, missed: 1, gone: 1 }));
    expect(await current()).toEqual([`b ${next}`, expect.stringMatching(/^c /)]);
    expect((await db.pool.query("select removed, latest from object_order where key = 'a'")).rows).toEqual([
      { removed: true, latest: "1" },
    ]);
    // the event that made it known comes again
    await told("created", "a", "etag:a", "1");
    expect(await current()).toHaveLength(2);
  });

  test("goes no further than its prefix", async ({ bench }) => {
    const { put, told, sweep, current, db } = await bench();
    await told("created", "a/gone", "etag:1", "1");
    await told("created", "b/gone", "etag:1", "1");
    await told("created", "b0", "etag:1", "1");
    await put("b/new");
    await put("c/new");
    expect(counts(await sweep({ prefix: "b/" }))).toEqual(found({ listed: 1, missed: 1, gone: 1 }));
    expect((await current()).map((photo) => photo.split(" ")[0])).toEqual(["a/gone", "b/new", "b0"]);
    expect((await db.pool.query("select prefix, state from sweeps")).rows).toEqual([
      { prefix: "b/", state: "done" },
    ]);
  });

  test("leaves alone what is so new that its event may still come", async ({ bench }) => {
    const { put, told, sweep, current } = await bench();
    await put("new");
    await told("created", "replaced", "etag:before", "1");
    await put("replaced");
    expect(counts(await sweep({ graceMs: 600_000 }))).toEqual(found({ listed: 2, young: 2 }));
    expect(await current()).toEqual(["replaced etag:before"]);
  });

  test("believes what was told without a version, and a version id that a plain listing does not give", async ({
    bench,
  }) => {
    const { put, told, sweep, current } = await bench();
    for (const [key, version] of Object.entries({ a: "", b: "generation:7", c: "v1" })) {
      await put(key);
      await told("created", key, version, "1");
    }
    expect(counts(await sweep())).toEqual(found({ listed: 3, known: 3 }));
    expect(await current()).toEqual(["a ", "b generation:7", "c v1"]);
  });

  test("finds again an object whose removal was told, and whose new upload was not", async ({ bench }) => {
    const { put, told, sweep, current } = await bench();
    const version = await put("a");
    await told("created", "a", version, "1");
    await told("removed", "a", "", "2");
    expect(await current()).toEqual([]);
    expect(counts(await sweep())).toEqual(found({ listed: 1, missed: 1 }));
    expect(await current()).toEqual([`a ${version}`]);
  });

  test("lists keys of control characters, plus and percent signs as they are", async ({ bench }) => {
    const { put, sweep, db } = await bench();
    const keys = ["a b", "a\nb", "a%20b", "a%b", "a+b"];
    for (const key of keys) await put(key);
    expect(counts(await sweep())).toMatchObject({ listed: 5, missed: 5 });
    const { rows } = await db.pool.query("select key from photos");
    expect(rows.map(({ key }) => key).sort()).toEqual(keys.sort());
    expect(counts(await sweep())).toEqual(found({ listed: 5, known: 5 }));
  });

  test("changes nothing when it is only to say what it would do", async ({ bench }) => {
    const { put, told, sweep, current, waiting, db } = await bench();
    await put("a");
    await told("created", "z", "etag:1", "1");
    const result = await sweep({ dryRun: true });
    expect(counts(result)).toEqual(found({ listed: 1, missed: 1, gone: 1 }));
    expect(result.samples).toEqual({ missed: ["a"], gone: ["z"] });
    expect(await current()).toEqual(["z etag:1"]);
    expect(await waiting()).toBe(0);
    expect((await db.pool.query("select from sweeps")).rowCount).toBe(0);
  });
});

describe("a sweep beside events", () => {
  test("leaves an object of which something is told between its look at the store and its commit", async ({
    bench,
  }) => {
    const { put, remove, told, sweep, current, intake, db } = await bench();
    await told("created", "gone", await put("gone"), "1");
    await remove("gone");
    await told("created", "replaced", await put("replaced"), "1");
    const second = await put("replaced", "second");
    const first = await put("unknown");
    // the sweep asks for room in the queue after it has looked, and before it commits
    const queues = {
      ...intake.queues,
      async depth(lane: "live" | "backfill") {
        await told("created", "gone", "etag:again", "2");
        await told("created", "replaced", second, "2");
        await told("created", "unknown", first, "2");
        await told("removed", "unknown", "", "3");
        return intake.queues.depth(lane);
      },
    };
    expect(counts(await sweep({ intake: { ...intake, queues } }))).toEqual(found({ listed: 2, unclear: 3 }));
    expect(await current()).toEqual(["gone etag:again", `replaced ${second}`]);
    const { rows } = await db.pool.query("select removed from object_order where key = 'unknown'");
    expect(rows).toEqual([{ removed: true }]);
  });

  /** The store, with a listing that is not of now. */
  const listing = (s3: S3Client, contents: object[]): S3Client =>
    new Proxy(s3, {
      get(target, name) {
        if (name !== "send") return Reflect.get(target, name);
        return async (...args: Parameters<S3Client["send"]>) => {
          const answer = (await target.send(...args)) as unknown as object;
          return args[0].constructor.name === "ListObjectsV2Command"
            ? { ...answer, Contents: contents }
            : answer;
        };
      },
    });

  test("brings back nothing that was removed after it was listed, whether its removal was told or not", async ({
    bench,
  }) => {
    const { told, sweep, current, s3 } = await bench();
    await told("created", "told", "etag:1", "1");
    await told("removed", "told", "", "2");
    await told("created", "untold", "etag:1", "1");
    const before = ["told", "untold"].map((Key) => ({ Key, ETag: '"2"', LastModified: new Date(0) }));
    expect(counts(await sweep({ s3: listing(s3, before) }))).toEqual(
      found({ listed: 2, unclear: 1, gone: 1 }),
    );
    expect(await current()).toEqual([]);
  });

  test("does not withdraw what is in the bucket, whatever the listing had", async ({ bench }) => {
    const { put, told, sweep, current, s3 } = await bench();
    const version = await put("a");
    await told("created", "a", version, "1");
    // a listing that was taken before the upload
    const stale = listing(s3, []);
    expect(counts(await sweep({ s3: stale }))).toEqual(found({ known: 1 }));
    expect(await current()).toEqual([`a ${version}`]);
  });
});

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

test("a store that does not list in the order of bytes is swept all the same, and says so", async ({
  bench,
}) => {
  const { put, remove, sweep, current } = await bench();
  // this server sorts as people do: signs before letters, and a ligature of them among them
  for (const key of ["😀", "\uFB00"]) await put(key);
  const pageSize = 1;
  expect(await sweep({ pageSize })).toMatchObject({
    ...{ finished: true, listed: 2, missed: 2, gone: 0, unclear: 0 },
    unordered: { keys: 1, such: "\uFB00" },
  });
  expect(await sweep({ pageSize })).toMatchObject({ finished: true, missed: 0, gone: 0, unclear: 0 });
  await remove("😀");
  const version = await put("\uFB00", "another");
  await put("é");
  expect(await sweep({ pageSize })).toMatchObject({ finished: true, missed: 2, gone: 1 });
  expect(await current()).toContain(`\uFB00 ${version}`);
  expect(await current()).toHaveLength(2);
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

test("a worker's role sweeps, also where removals erase, and a dashboard's does not", async ({ db }) => {
  const photo = {
    kind: "created",
    store: "s3",
    bucket: "b",
    key: "gone",
    version: "etag:1",
    order: null,
  } as const;
  await recordEvents(db.pool, [{ ...photo, known: {} }], "right");
  const client = await db.pool.connect();
  try {
    await client.query("set role maitred_dashboard");
    const begin = "insert into sweeps (bucket) values ('b') returning id";
    await expect(client.query(begin)).rejects.toMatchObject({ code: "42501" });
    await client.query("set role maitred_worker");
    const { rows } = await client.query(begin);
    const { rows: states } = await client.query("select state from object_states('b', array['gone'])");
    const items = [
      { kind: "removed", key: "gone", version: "", state: states[0].state },
      { kind: "created", key: "new", version: "etag:2", state: "|f|" },
    ];
    const counts = { listed: 1, known: 0, young: 0, unclear: 0, seconds: 1 };
    const step = "select outcome from sweep_step($1, '', 'new', $2, $3, 'right', true, 'backfill')";
    expect((await client.query(step, [rows[0].id, counts, JSON.stringify(items)])).rows).toEqual([
      { outcome: "removed" },
      { outcome: "accepted" },
    ]);
    expect((await client.query("select key from photos")).rows).toEqual([{ key: "new" }]);
  } finally {
    await client.query("reset role");
    client.release();
  }
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

describe.skipIf(!HAS_MOTO)("in a bucket that keeps versions", () => {
  test("a photo is its version: a marker withdraws it, and an older version that is the latest again replaces it", async ({
    bench,
  }) => {
    const { put, remove, told, sweep, current, s3, bucket } = await bench("moto", true);
    const [one, two] = [await put("a", "1"), await put("a", "2")];
    expect(one).not.toMatch(/^etag:/);
    await told("created", "a", one, "1");
    expect(counts(await sweep())).toEqual(found({ listed: 1, missed: 1 }));
    expect(await current()).toEqual([`a ${two}`]);
    expect(counts(await sweep())).toEqual(found({ listed: 1, known: 1 }));
    await s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: "a", VersionId: two }));
    expect(counts(await sweep())).toEqual(found({ listed: 1, missed: 1 }));
    expect(await current()).toEqual([`a ${one}`]);
    await remove("a");
    expect(counts(await sweep())).toEqual(found({ gone: 1 }));
    expect(await current()).toEqual([]);
    const answer = await s3.send(new ListObjectVersionsCommand({ Bucket: bucket }));
    expect(answer.DeleteMarkers).toHaveLength(1);
  });

  test("objects from before, and photos that are known by their etag, are the same ones", async ({
    bench,
  }) => {
    const { put, told, sweep, s3, bucket } = await bench("moto", false);
    const before = await put("before");
    await told("created", "before", before, "1");
    expect(before).toMatch(/^etag:/);
    const on = { Bucket: bucket, VersioningConfiguration: { Status: "Enabled" } } as const;
    await s3.send(new PutBucketVersioningCommand(on));
    const { ETag } = await s3.send(new PutObjectCommand({ Bucket: bucket, Key: "etag", Body: "x" }));
    await told("created", "etag", versionOf(undefined, ETag), "1");
    expect(counts(await sweep())).toEqual(found({ listed: 2, known: 2 }));
  });
});

describe.skipIf(!HAS_MOTO)("keys of any kind", () => {
  test("are swept in the order of their bytes, in pages that end anywhere", async ({ bench }) => {
    const { put, sweep, db } = await bench("moto");
    const keys = [
      "a+b",
      "a b",
      "a%b",
      "a%20b",
      "a\u0001b",
      "a\rb",
      "é",
      "f",
      "🍜",
      "\uffee",
      "z&<>'\"",
      "日本/語",
    ];
    for (const key of keys) await put(key);
    expect(counts(await sweep({ pageSize: 2 }))).toEqual(found({ listed: keys.length, missed: keys.length }));
    const { rows } = await db.pool.query(`select key from photos`);
    expect(rows.map(({ key }) => key).sort()).toEqual(keys.sort());
    expect(counts(await sweep({ pageSize: 5 }))).toEqual(found({ listed: keys.length, known: keys.length }));
  });
});

describe("maitred sweep", () => {
  const envOf = (config: Config): Record<string, string> => ({
    DATABASE_URL: config.databaseUrl,
    MAITRED_QUEUE_URL: config.queueUrl,
    MAITRED_QUEUE_PREFIX: config.queuePrefix,
    MAITRED_S3_ENDPOINT: config.s3Endpoint,
  });

  test("says what it found, and exits 1 where it stopped before removals", async ({ bench }) => {
    const { config, bucket, put, db } = await bench();
    await put("new");
    const command = await ended(["sweep", "--json", "--grace", "0s", bucket], envOf(config));
    expect(command.code).toBe(0);
    expect(JSON.parse(command.out)).toMatchObject({ bucket, prefix: "", missed: 1, finished: true });
    await db.pool.query(
      "insert into photos (store, bucket, key) select 's3', $1, 'k' || n from generate_series(1, 200) n",
      [bucket],
    );
    const stopped = await ended(["sweep", `s3://${bucket}/k`], envOf(config));
    expect(stopped.code).toBe(1);
    expect(stopped.out).toContain("200 of 200 known photos are gone");
    const allowed = await ended(["sweep", "--allow-removals", `${bucket}/k`], envOf(config));
    expect(allowed.code).toBe(0);
    expect(allowed.out).toContain("gone 200");
  });

  test("with --every stays after a sweep, also after one that failed, until it is told to end", async ({
    bench,
  }) => {
    const { config, bucket, put, current } = await bench();
    const stays = maitred(
      ["sweep", "--every", "1s", "--grace", "0s", "no-such-bucket", bucket],
      envOf(config),
    );
    await stays.says("there is no bucket no-such-bucket");
    await put("new");
    await until(current, ({ length }) => length > 0);
    stays.child.kill("SIGTERM");
    expect(await stays.exit).toBe(0);
  });

  test.for([
    [["sweep"], "expected at least one BUCKET"],
    [["sweep", "--grace", "soon", "b"], "--grace: expected a time"],
    [["sweep", "--rate", "0", "b"], "--rate: expected a number"],
    [["sweep", "--lane", "fast", "b"], "expected live or backfill"],
    [["forget", "photos"], "expected BUCKET/KEY"],
  ] as const)("%j exits 2 and says what was expected", async ([args, message]) => {
    const command = await ended([...args]);
    expect(command.code).toBe(2);
    expect(command.err).toContain(message);
  });
});

describe("after any history of which events were lost", () => {
  type Op = { key: string; what: "put" | "remove"; body: string; lost: boolean };
  const history: fc.Arbitrary<Op[]> = fc.array(
    fc.record({
      key: fc.constantFrom("a", "b", "c", "d/e", "d/f", "g"),
      what: fc.constantFrom("put", "put", "remove"),
      body: fc.constantFrom("1", "2", "3"),
      lost: fc.boolean(),
    }),
    { minLength: 1, maxLength: 15 },
  );

  test.for([["fauxqs", false] as const, ...(HAS_MOTO ? ([["moto", true]] as const) : [])])(
    "a sweep of %s (versions: %s) brings Postgres to what the bucket holds, and a second finds nothing",
    { timeout: 120_000 },
    async ([server, versions], { bench }) => {
      const { put, remove, told, sweep, current } = await bench(server, versions);
      const holds = new Map<string, string>();
      let order = 1;
      await fc.assert(
        fc.asyncProperty(history, fc.constantFrom(1, 2, 1_000), async (ops, pageSize) => {
          for (const { key, what, body, lost } of ops) {
            const number = (order++).toString(16).padStart(8, "0");
            if (what === "put") {
              const version = await put(key, body);
              holds.set(key, version);
              if (!lost) await told("created", key, version, number);
            } else {
              await remove(key);
              holds.delete(key);
              if (!lost) await told("removed", key, "", number);
            }
          }
          const first = await sweep({ pageSize });
          expect(first).toMatchObject({ finished: true, unclear: 0, young: 0 });
          expect(await current()).toEqual(
            [...holds].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, version]) => `${key} ${version}`),
          );
          expect(counts(await sweep())).toEqual(found({ listed: holds.size, known: holds.size }));
        }),
        { numRuns: 12 },
      );
    },
  );
});
