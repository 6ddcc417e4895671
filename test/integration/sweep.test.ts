import type { S3Client } from "@aws-sdk/client-s3";
import { describe, expect } from "vitest";
import type { Config } from "../../src/config.ts";
import type { ObjectState } from "../../src/intake/reconcile-range.ts";
import { recordEvents } from "../../src/store/events.ts";
import { registerPhotos } from "../../src/store/photos.ts";
import { objectStates, sweepTotals } from "../../src/store/sweeps.ts";
import { BACKENDS } from "../fixtures.ts";
import { ended, maitred } from "../maitred.ts";
import { event, record, removed } from "../recorded.ts";
import { counts, found, test } from "../sweeps.ts";
import { until } from "../waits.ts";

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

test("the state of an object is another one whatever is told of it, and tells whether it was ever known", async ({
  db,
}) => {
  const told: string[] = [];
  const state = async () => {
    const [{ state, seen }] = (await objectStates(db.pool, "b", ["a"])) as [ObjectState];
    told.push(state);
    return seen;
  };
  expect(await state()).toBe(false);
  for (const next of [
    removed(null),
    event({ version: "v1", order: "10" }),
    event({ version: "v1", order: "11" }),
    removed("20", "v1"),
  ]) {
    await record(db, next);
    expect(await state()).toBe(true);
  }
  expect(new Set(told).size).toBe(5);
  await registerPhotos(
    db.pool,
    [{ store: "s3", bucket: "b", key: "z", version: "etag:1", known: {} }],
    "live",
  );
  expect(await objectStates(db.pool, "b", ["z"])).toMatchObject([{ seen: true }]);
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
