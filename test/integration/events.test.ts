import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import fc from "fast-check";
import { startFauxqs } from "fauxqs";
import { describe, expect } from "vitest";
import { createS3Fetch } from "../../src/image/s3.ts";
import type { PhotoEvent } from "../../src/intake/event.ts";
import { parseEventBridge } from "../../src/intake/eventbridge.ts";
import { parseGcs } from "../../src/intake/gcs.ts";
import { takeIn } from "../../src/intake/intake.ts";
import { parseS3 } from "../../src/intake/s3.ts";
import { type EventDeps, queueForgotten, takeEvents } from "../../src/intake/take-events.ts";

import type { Lane, PhotoJob, Recorded } from "../../src/photo.ts";
import { markQueued, recordEvents, unqueuedPhotos } from "../../src/store/events.ts";
import { readPhotoOf } from "../../src/store/photo-details.ts";

import { databaseTime, registerPhotos } from "../../src/store/photos.ts";
import { connect } from "../../src/store/pool.ts";
import { type Outcome, recordOutcomes } from "../../src/store/verdicts.ts";
import { anyKey, eventBridge, gcsPush, minioMessage, s3Record } from "../events.ts";
import { type Database, rows, test } from "../fixtures.ts";
import { until } from "../waits.ts";

const event = (over: Partial<PhotoEvent> = {}): PhotoEvent => ({
  kind: "created",
  store: "s3",
  bucket: "b",
  key: "a",
  version: "etag:1",
  order: "10",
  receivedAt: new Date(0),
  known: {},
  ...over,
});
const removed = (order: string | null, version = ""): PhotoEvent =>
  event({ kind: "removed", version, order });
const record = (db: Database, ...events: PhotoEvent[]): Promise<Recorded[]> =>
  recordEvents(db.pool, events, "right");
const one = async (db: Database, each: PhotoEvent): Promise<Recorded> => (await record(db, each))[0]!;
const outcomes = async (db: Database, ...events: PhotoEvent[]) =>
  (await record(db, ...events)).map(({ outcome }) => outcome);
const shown = (photoId: string): Outcome => ({
  photoId,
  known: {},
  batch: "t-1",
  by: "model:m-1",
  policy: "p1",
  result: {
    scores: { categories: { food: 1 }, human: 0 },
    decision: { verdict: "shown", rule: "clear", reason: "because", category: "food", tags: [] },
  },
});
const publicVersions = async (db: Database): Promise<string[]> =>
  (await rows(db, "select version from public_photos order by 1")).map((row) => row.version);
const current = async (db: Database): Promise<string[]> =>
  (await rows(db, "select version from photos where superseded_at is null order by 1")).map(
    (row) => row.version,
  );

describe("an event", () => {
  test("of a new object makes a photo that is pending, current, and wants to be queued", async ({ db }) => {
    const { photoId, outcome, queue } = await one(db, event({ known: { listing: "42", claimed: "food" } }));
    expect({ outcome, queue }).toEqual({ outcome: "accepted", queue: true });
    expect(await rows(db, "select id, state, version, listing, claimed, lane from photos")).toEqual([
      { id: photoId, state: "pending", version: "etag:1", listing: "42", claimed: "food", lane: "live" },
    ]);
  });

  test("that comes again changes nothing, and answers with the same photo", async ({ db }) => {
    const first = await one(db, event());
    await markQueued(db.pool, [first.photoId!]);
    await recordOutcomes(db.pool, [shown(first.photoId!)]);
    const before = await rows(db, "select * from photos, object_order");
    expect(await one(db, event())).toEqual({ photoId: first.photoId, outcome: "duplicate", queue: false });
    expect(await rows(db, "select * from photos, object_order")).toEqual(before);
  });

  test("of an overwrite makes a new version, which takes the old verdict with it", async ({ db }) => {
    const old = await one(db, event());
    await recordOutcomes(db.pool, [shown(old.photoId!)]);
    expect(await publicVersions(db)).toEqual(["etag:1"]);
    const { outcome, queue, photoId } = await one(db, event({ version: "etag:2", order: "11" }));
    expect({ outcome, queue }).toEqual({ outcome: "accepted", queue: true });
    expect(photoId).not.toBe(old.photoId);
    expect(await publicVersions(db)).toEqual([]);
    await recordOutcomes(db.pool, [shown(old.photoId!), shown(photoId!)]);
    expect(await publicVersions(db)).toEqual(["etag:2"]);
  });

  test("of an overwrite with the same bytes keeps the verdict", async ({ db }) => {
    const { photoId } = await one(db, event());
    await recordOutcomes(db.pool, [shown(photoId!)]);
    expect(await one(db, event({ order: "11" }))).toMatchObject({ photoId, outcome: "known" });
    expect(await publicVersions(db)).toEqual(["etag:1"]);
  });

  test("that is older than what was seen changes nothing", async ({ db }) => {
    await record(db, event({ order: "20", version: "etag:2" }));
    expect(await one(db, event({ order: "15", version: "etag:1" }))).toEqual({
      photoId: null,
      outcome: "stale",
      queue: false,
    });
    expect(await outcomes(db, removed("19"))).toEqual(["stale"]);
    expect(await current(db)).toEqual(["etag:2"]);
  });

  test("of one object says nothing about another", async ({ db }) => {
    await record(db, event({ key: "z", order: "20" }));
    expect(
      await outcomes(
        db,
        event(),
        event({ bucket: "c" }),
        event({ key: "y" }),
        event({ key: "z", order: "1" }),
      ),
    ).toEqual(["accepted", "accepted", "accepted", "stale"]);
  });

  test("without an order was told no later than now, so that a clock that is ahead makes no old word of the next one", async ({
    db,
  }) => {
    const told = (version: string, receivedAt: Date | "now") =>
      one(db, { ...event({ order: null, version }), receivedAt });
    await told("etag:1", new Date(Date.now() + 180_000));
    expect(await told("etag:2", new Date())).toMatchObject({ outcome: "accepted" });
    expect(await told("etag:3", "now")).toMatchObject({ outcome: "accepted" });
    expect(await told("etag:4", new Date(Date.now() - 180_000))).toMatchObject({ outcome: "stale" });
    expect(await current(db)).toEqual(["etag:3"]);
  });

  test("without an order counts as it comes, and does not lower what was seen", async ({ db }) => {
    await record(db, event({ order: "20" }));
    expect(await outcomes(db, event({ order: null }), event({ order: null, version: "etag:2" }))).toEqual([
      "known",
      "accepted",
    ]);
    expect(await outcomes(db, removed(null), event({ order: "15", version: "etag:0" }))).toEqual([
      "removed",
      "stale",
    ]);
    expect(await current(db)).toEqual([]);
  });
});

describe("a removal", () => {
  test("takes a photo off the page, and no verdict brings it back", async ({ db }) => {
    const { photoId } = await one(db, event());
    await recordOutcomes(db.pool, [shown(photoId!)]);
    expect(await one(db, removed("11"))).toEqual({ photoId, outcome: "removed", queue: false });
    expect(await publicVersions(db)).toEqual([]);
    await recordOutcomes(db.pool, [{ ...shown(photoId!), by: "model:m-2" }]);
    await rows(db, "select record_review($1, 'ann', 'shown', 'food', false)", photoId);
    expect(await rows(db, "select state from photos")).toEqual([{ state: "shown" }]);
    expect(await publicVersions(db)).toEqual([]);
    expect(await rows(db, "select verdict from verdicts")).toHaveLength(3);
  });

  test("before the upload that it follows lets that upload resurrect nothing", async ({ db }) => {
    expect(await one(db, removed("11"))).toEqual({ photoId: null, outcome: "removed", queue: false });
    expect(await outcomes(db, event({ order: "10" }))).toEqual(["stale"]);
    expect(await rows(db, "select from photos")).toEqual([]);
    expect(await outcomes(db, removed("11"))).toEqual(["duplicate"]);
  });

  test("without an order that comes late takes nothing that was uploaded after it was said", async ({
    db,
  }) => {
    const ago = (hours: number) => new Date(Date.now() - hours * 3_600_000).toISOString();
    const expired = (hours: number) => {
      const [said, time] = [{ bucket: "b", key: "a", sequencer: null }, ago(hours)];
      return [
        parseS3({ Records: [s3Record("LifecycleExpiration:Delete", said, { eventTime: time })] }, new Date()),
        parseEventBridge({ ...eventBridge("Object Deleted", said), time }, new Date()),
      ].flatMap(({ events }) => events);
    };
    await record(db, event({ receivedAt: new Date(ago(2)) }));
    expect(await outcomes(db, ...expired(3))).toEqual(["stale", "stale"]);
    expect(await current(db)).toEqual(["etag:1"]);
    expect(await outcomes(db, ...expired(1))).toEqual(["removed", "known"]);
    expect(await current(db)).toEqual([]);
  });

  test("without an order counts although the upload before it came late, with one", async ({ db }) => {
    const ago = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString();
    const said = (name: string, minutes: number, sequencer: string | null) =>
      parseS3(
        {
          Records: [
            s3Record(name, { bucket: "b", key: "a", etag: "1", sequencer }, { eventTime: ago(minutes) }),
          ],
        },
        new Date(),
      ).events;
    await record(db, ...said("ObjectCreated:Put", 20, "0a"));
    expect(await outcomes(db, ...said("LifecycleExpiration:Delete", 10, null))).toEqual(["removed"]);
  });

  test("gives way to a later upload, with the verdict that those bytes had", async ({ db }) => {
    const { photoId } = await one(db, event());
    await recordOutcomes(db.pool, [shown(photoId!)]);
    await record(db, removed("11"));
    expect(await one(db, event({ order: "12" }))).toEqual({ photoId, outcome: "accepted", queue: false });
    expect(await publicVersions(db)).toEqual(["etag:1"]);
    expect(await outcomes(db, removed("11"))).toEqual(["stale"]);
    expect(await publicVersions(db)).toEqual(["etag:1"]);
  });

  test("of one version leaves the others, and that version never comes back", async ({ db }) => {
    await record(db, event({ version: "v1", order: "10" }));
    const two = await one(db, event({ version: "v2", order: "11" }));
    await recordOutcomes(db.pool, [shown(two.photoId!)]);
    expect(await outcomes(db, removed("20", "v1"), removed("20", "v1"))).toEqual(["removed", "duplicate"]);
    expect(await publicVersions(db)).toEqual(["v2"]);
    expect(await outcomes(db, removed("21", "v2"))).toEqual(["removed"]);
    expect(await publicVersions(db)).toEqual([]);
    expect(await outcomes(db, event({ version: "v2", order: "30" }))).toEqual(["stale"]);
    expect(await outcomes(db, removed("31", "v9"), event({ version: "v9", order: "25" }))).toEqual([
      "removed",
      "stale",
    ]);
    expect(await current(db)).toEqual([]);
    expect(await outcomes(db, event({ version: "v3", order: "18" }))).toEqual(["accepted"]);
  });

  test("of a version has a photo that is shown without a version id looked at again, as it may be that one", async ({
    db,
  }) => {
    const listed = async (key: string, version: string, by: string, verdict = "shown") => {
      const photo = { store: "s3", bucket: "b", key, version, known: {} } as const;
      const id = (await registerPhotos(db.pool, [photo], "backfill"))[0]!.id;
      await markQueued(db.pool, [id]);
      if (by === "model:m-1") await recordOutcomes(db.pool, [shown(id)]);
      else await rows(db, "select record_review($1, 'ann', $2, 'food', false)", id, verdict);
      return id;
    };
    const model = await listed("model", "etag:1", "model:m-1");
    const told = await listed("told", "", "model:m-1");
    await listed("moderator", "etag:1", "moderator:ann");
    const hidden = await listed("hidden", "etag:1", "moderator:ann", "hidden");
    const elsewhere = await listed("elsewhere", "etag:1", "model:m-1");
    for (const key of ["model", "told", "moderator", "hidden"]) {
      expect(await outcomes(db, { ...removed("20", "v1"), key })).toEqual(["removed"]);
    }
    const waiting = await unqueuedPhotos(db.pool, 0, 10);
    expect(waiting.map(({ id, lane }) => [id, lane])).toEqual([
      [model, "live"],
      [told, "live"],
    ]);
    // what a worker finds changes no verdict of a moderator, so what one has shown is not shown until a sweep finds it
    expect(await rows(db, "select id from photos where superseded_at is null order by id")).toEqual(
      [model, told, hidden, elsewhere].map((id) => ({ id })),
    );
    await markQueued(db.pool, [model, told]);
    expect(await outcomes(db, { ...removed("20", "v1"), key: "model" })).toEqual(["duplicate"]);
    expect(await unqueuedPhotos(db.pool, 0, 10)).toEqual([]);
  });

  test("of what has no version id leaves the versions that have one", async ({ db }) => {
    await record(db, event({ version: "v1", order: "10" }));
    expect(await outcomes(db, removed("20", "null"), removed("20", "null"))).toEqual([
      "removed",
      "duplicate",
    ]);
    expect(await current(db)).toEqual(["v1"]);
    // what had no version id and was uploaded before does not come back, and a version does
    expect(await outcomes(db, event({ version: "etag:1", order: "19" }))).toEqual(["stale"]);
    expect(await outcomes(db, event({ version: "v2", order: "15" }))).toEqual(["accepted"]);
    expect(await outcomes(db, event({ version: "etag:1", order: "21" }))).toEqual(["accepted"]);
    expect(await current(db)).toEqual(["etag:1"]);
    expect(await outcomes(db, removed("20", "null"))).toEqual(["stale"]);
    expect(await outcomes(db, removed("22", "null"))).toEqual(["removed"]);
    expect(await current(db)).toEqual([]);
    expect(await outcomes(db, event({ version: "etag:1", order: "21" }))).toEqual(["duplicate"]);
    expect(await current(db)).toEqual([]);
  });

  test("of what has no version id erases it, and nothing that has one, where removals erase", async ({
    db,
  }) => {
    await record(db, event({ version: "v1", order: "10" }), event({ version: "etag:1", order: "11" }));
    await recordEvents(db.pool, [removed("12", "null")], "right", true);
    expect(await rows(db, "select version from photos")).toEqual([{ version: "v1" }]);
  });

  test("of a generation that was overwritten leaves its successor, whichever comes first", async ({ db }) => {
    const say = (type: string, generation: number): PhotoEvent =>
      parseGcs(gcsPush(type, "a", generation), new Date(0)).events[0]!;
    expect(
      await outcomes(db, say("OBJECT_FINALIZE", 5), say("OBJECT_FINALIZE", 10), say("OBJECT_DELETE", 5)),
    ).toEqual(["accepted", "accepted", "stale"]);
    expect(await current(db)).toEqual(["generation:10"]);
    expect(await outcomes(db, say("OBJECT_DELETE", 12), say("OBJECT_FINALIZE", 12))).toEqual([
      "removed",
      "stale",
    ]);
    expect(await current(db)).toEqual([]);
  });
});

describe("the order of two events", () => {
  const digits = fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: 1, maxLength: 40 });
  const zeros = fc.constantFrom("", "0", "00", "000");
  const sequencer = fc.tuple(zeros, digits, zeros).map((parts) => parts.join(""));

  test("is that of their sequencers with the shorter one padded, on either side", async ({ db }) => {
    for (const pad of ["right", "left"] as const) {
      const pairs = fc.sample(fc.tuple(sequencer, sequencer), 500);
      const found = await rows(
        db,
        `select sign((order_key(a, $3) > order_key(b, $3))::int - (order_key(a, $3) < order_key(b, $3))::int)::int as sign
          from unnest($1::text[], $2::text[]) with ordinality as u (a, b, n) order by n`,
        pairs.map(([a]) => a),
        pairs.map(([, b]) => b),
        pad,
      );
      const expected = pairs.map(([a, b]) => {
        const length = Math.max(a.length, b.length);
        const [x, y] = [a, b].map((each) =>
          pad === "right" ? each.padEnd(length, "0") : each.padStart(length, "0"),
        );
        return { sign: x! > y! ? 1 : x! < y! ? -1 : 0 };
      });
      expect(found).toEqual(expected);
    }
  });

  test("is another one on the other side", async ({ db }) => {
    const [short, long] = [
      event({ order: "2", version: "etag:s" }),
      event({ order: "10", version: "etag:l" }),
    ];
    expect(await recordEvents(db.pool, [short, long], "right")).toMatchObject([
      { outcome: "accepted" },
      { outcome: "stale" },
    ]);
    const elsewhere = [short, long].map((each) => ({ ...each, key: "b" }));
    expect(await recordEvents(db.pool, elsewhere, "left")).toMatchObject([
      { outcome: "accepted" },
      { outcome: "accepted" },
    ]);
  });
});

describe("events in any order", () => {
  const history: PhotoEvent[] = [
    event({ order: "1", version: "etag:1" }),
    event({ order: "2", version: "etag:2" }),
    removed("3"),
    event({ order: "4", version: "etag:1" }),
    event({ order: "5", version: "etag:3" }),
  ];

  test("any number of times, one by one or in batches, end with the last one", async ({ db }) => {
    let object = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: history.length }),
        fc.array(fc.array(fc.nat({ max: history.length - 1 }), { maxLength: 6 }), { maxLength: 6 }),
        async (length, batches) => {
          const key = `o${object++}`;
          const told = history.slice(0, length).map((each) => ({ ...each, key }));
          const picked = batches
            .map((batch) => batch.map((index) => told[index % length]!))
            .filter((b) => b.length);
          for (const batch of [...picked, told.toReversed()]) await record(db, ...batch);
          const last = told.at(-1)!;
          expect(
            await rows(db, "select version from photos where key = $1 and superseded_at is null", key),
          ).toEqual(last.kind === "created" ? [{ version: last.version }] : []);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("told by rivals at once, end with the last one, and each is accepted once", async ({ db }) => {
    const keys = ["k1", "k2", "k3"];
    const all = keys.flatMap((key) => history.map((each) => ({ ...each, key })));
    const shuffled = (seed: number): PhotoEvent[] =>
      fc.sample(fc.shuffledSubarray(all, { minLength: all.length }), { numRuns: 1, seed })[0]!;
    const answers = await Promise.all(Array.from({ length: 8 }, (_, seed) => record(db, ...shuffled(seed))));
    expect(
      await rows(db, "select key, version from photos where superseded_at is null order by key"),
    ).toEqual(keys.map((key) => ({ key, version: "etag:3" })));
    const lasts = Array.from({ length: 8 }, (_, seed) =>
      shuffled(seed).flatMap((each, n) => (each.order === "5" ? [answers[seed]![n]!.outcome] : [])),
    ).flat();
    expect(lasts.filter((outcome) => outcome === "accepted")).toHaveLength(keys.length);
    expect(lasts.filter((outcome) => outcome === "duplicate")).toHaveLength(7 * keys.length);
  });

  test("an upload waits for a removal that is being committed, and then resurrects nothing", async ({
    db,
  }) => {
    const client = await db.pool.connect();
    await client.query("begin");
    const statement = "select outcome from record_events($1, 'right')";
    const stored = (each: PhotoEvent): string => JSON.stringify([{ ...each, ord: each.order }]);
    await client.query(statement, [stored(removed("11"))]);
    const waiting = one(db, event({ order: "10" }));
    const waits =
      "select from pg_stat_activity where wait_event_type = 'Lock' and query like '%record_events%'";
    await until(
      () => rows(db, waits),
      ({ length }) => length > 0,
    );
    await client.query("commit");
    client.release();
    expect(await waiting).toMatchObject({ outcome: "stale" });
    expect(await current(db)).toEqual([]);
  });

  test("that Postgres does not finish in its time are told from an outage, and nothing of them is taken", async ({
    db,
  }) => {
    const rival = await db.pool.connect();
    const pool = connect(db.url, () => {}, 1);
    try {
      await rival.query("begin");
      await rival.query("insert into object_order (store, bucket, key) values ('s3', 'b', 'a')");
      await pool.query("set statement_timeout = '100ms'");
      await expect(recordEvents(pool, [event()], "right")).rejects.toMatchObject({
        code: "DATABASE_TIMEOUT",
        retry: true,
      });
    } finally {
      await rival.query("rollback");
      rival.release();
      await pool.end();
    }
    expect(await rows(db, "select from photos")).toEqual([]);
  });

  test("beside verdicts on the same photos do not wait for each other in a circle", async ({ db }) => {
    const events = Array.from({ length: 30 }, (_, n) => event({ key: `k${n}` }));
    const ids = (await record(db, ...events)).map(({ photoId }) => photoId!);
    const later = (order: string): PhotoEvent[] =>
      events.map((each) => ({ ...each, order, version: `etag:${order}` })).reverse();
    await expect(
      Promise.all([
        ...["11", "12", "13"].map((order) => record(db, ...later(order))),
        ...[1, 2, 3].map((n) =>
          recordOutcomes(
            db.pool,
            ids.map((id) => ({ ...shown(id), policy: `p${n}` })),
          ),
        ),
      ]),
    ).resolves.toHaveLength(6);
  });
});

describe("what is queued", () => {
  function intake(db: Database): { deps: EventDeps; jobs: PhotoJob[]; fail(how?: Error): void } {
    const jobs: PhotoJob[] = [];
    let failure: Error | undefined;
    return {
      jobs,
      fail: (how) => {
        failure = how;
      },
      deps: {
        record: (events) => recordEvents(db.pool, events, "right"),
        async add(_lane, photos) {
          if (failure) throw failure;
          jobs.push(...photos);
        },
        markQueued: (ids) => markQueued(db.pool, ids),
        unqueued: (olderThanS, limit) => unqueuedPhotos(db.pool, olderThanS, limit),
      },
    };
  }

  test("is each photo once, after its commit, with what is known of it", async ({ db }) => {
    const { deps, jobs } = intake(db);
    const seen: unknown[] = [];
    const looking: EventDeps = {
      ...deps,
      async add(lane, photos) {
        seen.push(...(await rows(db, "select id from photos")));
        await deps.add(lane, photos);
      },
    };
    const [first] = await takeEvents(looking, [event({ known: { listing: "42" } }), event(), removed("1")]);
    expect(jobs).toEqual([
      { id: first!.photoId, store: "s3", bucket: "b", key: "a", version: "etag:1", known: { listing: "42" } },
    ]);
    expect(seen).toEqual([{ id: first!.photoId }]);
    await takeEvents(looking, [event()]);
    expect(jobs).toHaveLength(1);
    expect(await takeEvents(looking, [])).toEqual([]);
  });

  test("is what a queue that was away kept out, when the event comes again or when it is looked for", async ({
    db,
  }) => {
    const { deps, jobs, fail } = intake(db);
    fail(new Error("away"));
    await expect(takeEvents(deps, [event(), event({ key: "z" })])).rejects.toThrow("away");
    await expect(queueForgotten(deps, 0)).rejects.toThrow("away");
    fail();
    expect(await takeEvents(deps, [event()])).toMatchObject([{ outcome: "duplicate", queue: true }]);
    expect(jobs.map(({ key }) => key)).toEqual(["a"]);
    expect(await queueForgotten(deps, 3600)).toBe(0);
    expect(await queueForgotten(deps, 0)).toBe(1);
    expect(jobs.map(({ key }) => key)).toEqual(["a", "z"]);
    expect(await queueForgotten(deps, 0)).toBe(0);
  });

  test("is what a command took in and was killed before it queued that", async ({ db }) => {
    const { deps, jobs, fail } = intake(db);
    const register = (photos: Parameters<typeof registerPhotos>[1], lane: Lane) =>
      registerPhotos(db.pool, photos, lane);
    const page = ["a", "b"].map((key) => ({ store: "s3", bucket: "b", key, version: "etag:1" }) as const);
    fail(new Error("killed"));
    await expect(takeIn({ ...deps, register }, page, "backfill")).rejects.toThrow("killed");
    expect(await unqueuedPhotos(db.pool, 0, 10)).toMatchObject(
      page.map((photo) => ({ ...photo, lane: "backfill" })),
    );
    fail();
    const { ids } = await takeIn({ ...deps, register }, page.slice(1), "backfill");
    expect(jobs).toMatchObject([{ key: "b" }]);
    expect(await queueForgotten(deps, 0)).toBe(1);
    expect(jobs).toMatchObject([{ key: "b" }, { key: "a" }]);
    // what is decided waits for no queue
    await recordOutcomes(db.pool, [shown(ids[0]!)]);
    await takeIn({ ...deps, register }, page.slice(1), "backfill");
    expect(await queueForgotten(deps, 0)).toBe(0);
  });

  test("is no photo that was withdrawn or replaced before a queue held it", async ({ db }) => {
    const { deps, jobs, fail } = intake(db);
    fail(new Error("away"));
    await expect(
      takeEvents(deps, [event(), event({ order: "11", version: "etag:2" }), event({ key: "z" })]),
    ).rejects.toThrow("away");
    await record(db, { ...removed("11"), key: "z" });
    fail();
    await queueForgotten(deps, 0);
    expect(jobs.map(({ version }) => version)).toEqual(["etag:2"]);
  });

  test("is a photo that failed, when its object is uploaded again", async ({ db }) => {
    const { deps, jobs } = intake(db);
    const [{ photoId }] = (await takeEvents(deps, [event()])) as [Recorded];
    const failure = { failure: "GONE", message: "gone", transient: false } as const;
    await recordOutcomes(db.pool, [{ ...shown(photoId!), result: failure }]);
    expect(await takeEvents(deps, [event({ order: "11" })])).toMatchObject([
      { photoId, outcome: "accepted" },
    ]);
    expect(jobs).toHaveLength(2);
  });
});

describe("what is told of an object without a version", () => {
  const told = (known: PhotoEvent["known"] = {}) => event({ version: "", order: null, known });

  test("is told of its current photo, whose verdict stays", async ({ db }) => {
    const { photoId } = await one(db, event());
    await db.pool.query("select record_review($1, 'ann', 'hidden')", [photoId]);
    expect(await one(db, told({ listing: "42" }))).toEqual({ photoId, outcome: "known", queue: false });
    expect(await rows(db, "select version, state, listing from photos")).toEqual([
      { version: "etag:1", state: "hidden", listing: "42" },
    ]);
  });

  test("makes a photo of its own where the current one failed, was removed, or is not known", async ({
    db,
  }) => {
    const failed = (await one(db, event())).photoId!;
    const result = { failure: "GONE", message: "it was replaced", transient: false } as const;
    await recordOutcomes(db.pool, [{ ...shown(failed), result }]);
    expect(await outcomes(db, told())).toEqual(["accepted"]);
    expect(await current(db)).toEqual([""]);
    await record(db, removed(null));
    // the message of before, once more
    expect(await outcomes(db, told())).toEqual(["stale"]);
    expect(await current(db)).toEqual([]);
    expect(await outcomes(db, { ...told(), receivedAt: new Date() })).toEqual(["accepted"]);
    expect(await current(db)).toEqual([""]);
  });

  test("is known of the photo that the first event names, and its listing of those that replace it", async ({
    db,
  }) => {
    await one(db, told({ listing: "42", uploader: "user", claimed: "food" }));
    await one(db, event());
    await one(db, event({ version: "etag:2", order: "11" }));
    expect(await rows(db, "select version, listing, uploader, claimed from photos order by id")).toEqual([
      { version: "", listing: "42", uploader: "user", claimed: "food" },
      { version: "etag:1", listing: "42", uploader: "user", claimed: "food" },
      { version: "etag:2", listing: "42", uploader: null, claimed: null },
    ]);
    await record(db, removed("12"), event({ version: "etag:3", order: "13" }));
    expect(await rows(db, "select listing, uploader from photos where superseded_at is null")).toEqual([
      { listing: null, uploader: null },
    ]);
  });

  test("is known of an overwrite also where it is told before its event", async ({ db }) => {
    await one(db, event({ known: { listing: "42" } }));
    await one(db, told({ listing: "43" }));
    await one(db, event({ version: "etag:2", order: "11" }));
    await one(db, event({ version: "etag:1", order: "12" }));
    expect(await rows(db, "select version, listing from photos order by id")).toEqual([
      { version: "etag:1", listing: "43" },
      { version: "etag:2", listing: "43" },
    ]);
  });

  test("is known instead of what was inherited, though it was said before the event, and so is what the object says", async ({
    db,
  }) => {
    const now = Date.now();
    await one(db, event({ known: { listing: "42" } }));
    const { photoId } = await one(
      db,
      event({ version: "etag:2", order: "11", receivedAt: new Date(now + 60_000) }),
    );
    const listings = () => rows(db, "select listing, inherited from photos order by id desc");
    expect((await listings())[0]).toEqual({ listing: "42", inherited: true });
    await one(db, { ...told({ listing: "43" }), receivedAt: new Date(now + 55_000) });
    expect((await listings())[0]).toEqual({ listing: "43", inherited: false });
    const third = await one(db, event({ version: "etag:3", order: "12" }));
    expect((await listings())[0]).toEqual({ listing: "43", inherited: true });
    await recordOutcomes(db.pool, [
      { ...shown(photoId!), known: { listing: "no" } },
      { ...shown(third.photoId!), known: { listing: "44" } },
    ]);
    expect(await listings()).toEqual([
      { listing: "44", inherited: false },
      { listing: "43", inherited: false },
      { listing: "42", inherited: false },
    ]);
  });

  test("is known instead of what was told before, but for the claim, and not where it was said earlier", async ({
    db,
  }) => {
    const now = Date.now() - 60_000;
    const said = (known: PhotoEvent["known"], ms: number) => ({ ...told(known), receivedAt: new Date(ms) });
    await one(db, said({ listing: "77", uploader: "user", claimed: "menu" }, now));
    const mended = said({ listing: "78", uploader: "moderator", claimed: "food" }, now + 60_000);
    expect(await one(db, mended)).toMatchObject({ outcome: "known" });
    // SQS delivers the first a second time
    await one(db, said({ listing: "77", uploader: "user" }, now));
    expect(await rows(db, "select listing, uploader, claimed from photos")).toEqual([
      { listing: "78", uploader: "moderator", claimed: "menu" },
    ]);
  });
});

describe("what is told once more of a photo that was replaced", () => {
  const at = (version: string, receivedAt: Date, known = {}) =>
    event({ version, order: null, receivedAt, known });
  const judge = async (db: Database, ...ids: (string | null)[]) =>
    recordOutcomes(
      db.pool,
      ids.map((id) => shown(id!)),
    );

  test("brings nothing back where the object's events have an order, and adds what it knows", async ({
    db,
  }) => {
    const first = await one(db, event());
    const second = await one(db, event({ version: "etag:2", order: "20" }));
    await judge(db, first.photoId, second.photoId);
    const late = at("etag:1", new Date(), { listing: "42" });
    expect(await one(db, late)).toEqual({ photoId: first.photoId, outcome: "stale", queue: false });
    expect(await current(db)).toEqual(["etag:2"]);
    expect(await rows(db, "select listing from photos order by id")).toEqual([
      { listing: "42" },
      { listing: null },
    ]);
    await record(db, removed("30"));
    expect(await outcomes(db, at("etag:2", new Date()))).toEqual(["stale"]);
    expect(await current(db)).toEqual([]);
  });

  test("brings nothing back that was replaced since it was said; else a worker looks whether it is there", async ({
    db,
  }) => {
    const said = new Date(Date.now() - 60_000);
    const first = await one(db, at("etag:1", said));
    const second = await one(db, at("etag:2", said));
    await judge(db, first.photoId, second.photoId);
    await markQueued(db.pool, [first.photoId!, second.photoId!]);
    // SQS delivers it a second time
    expect(await one(db, at("etag:1", said))).toMatchObject({ outcome: "stale", queue: false });
    expect(await current(db)).toEqual(["etag:2"]);
    const again = await one(db, at("etag:1", new Date(Date.now() + 5_000)));
    expect(again).toEqual({ photoId: first.photoId, outcome: "accepted", queue: true });
    expect(await current(db)).toEqual(["etag:1"]);
  });

  test("brings nothing back that a moderator had shown, whose verdict outlives its bytes", async ({ db }) => {
    const first = await one(db, at("etag:1", new Date()));
    await db.pool.query("select record_review($1, 'ann', 'shown')", [first.photoId]);
    await one(db, at("etag:2", new Date()));
    expect(await outcomes(db, at("etag:1", new Date(Date.now() + 5_000)))).toEqual(["stale"]);
    expect(await current(db)).toEqual(["etag:2"]);
  });
});

describe("an event with an order, of an object that an upload handler told of and no event before it", () => {
  const MINUTE_MS = 60_000;
  const told = (version: string) => event({ version, order: null, receivedAt: new Date() });
  const at = (sinceMs: number, over: Partial<PhotoEvent> = {}) =>
    event({ receivedAt: new Date(Date.now() + sinceMs), ...over });

  test("is stale where the photo was replaced since it was said", async ({ db }) => {
    const first = await one(db, told("etag:1"));
    await recordOutcomes(db.pool, [shown(first.photoId!)]);
    const second = await one(db, told("etag:2"));
    await rows(db, "select record_review($1, 'ann', 'hidden')", second.photoId);
    expect(await one(db, at(-MINUTE_MS))).toEqual({ photoId: first.photoId, outcome: "stale", queue: false });
    expect(await publicVersions(db)).toEqual([]);
    expect(await current(db)).toEqual(["etag:2"]);
  });

  test("counts though what was said before it was taken in late", async ({ db }) => {
    const first = await one(db, { ...told("etag:1"), receivedAt: new Date(Date.now() - 60 * MINUTE_MS) });
    await one(db, { ...told("etag:2"), receivedAt: new Date(Date.now() - 10 * MINUTE_MS) });
    const again = { photoId: first.photoId, outcome: "accepted", queue: true };
    expect(await one(db, at(-5 * MINUTE_MS))).toEqual(again);
    expect(await current(db)).toEqual(["etag:1"]);
  });

  test("counts where it was said after that, and a worker looks whether its bytes are there", async ({
    db,
  }) => {
    const first = await one(db, told("etag:1"));
    await recordOutcomes(db.pool, [shown(first.photoId!)]);
    await one(db, told("etag:2"));
    await rows(db, "delete from unqueued");
    const again = { photoId: first.photoId, outcome: "accepted", queue: true };
    expect(await one(db, at(MINUTE_MS))).toEqual(again);
    expect(await publicVersions(db)).toEqual(["etag:1"]);
  });

  test("is stale where it is of a photo that nobody knows, and a worker looks at what stays", async ({
    db,
  }) => {
    const { photoId } = await one(db, told("etag:2"));
    await recordOutcomes(db.pool, [shown(photoId!)]);
    await rows(db, "delete from unqueued");
    expect(await one(db, at(-MINUTE_MS))).toEqual({ photoId: null, outcome: "stale", queue: false });
    expect(await publicVersions(db)).toEqual(["etag:2"]);
    expect(await rows(db, "select photo_id from unqueued")).toEqual([{ photo_id: photoId }]);
    expect(await outcomes(db, at(MINUTE_MS, { version: "etag:3", order: "11" }))).toEqual(["accepted"]);
  });

  test("names what was told without a version, and what has another name without a verdict, however late", async ({
    db,
  }) => {
    const { photoId } = await one(db, told(""));
    await recordOutcomes(db.pool, [shown(photoId!)]);
    await one(db, { ...told("etag:md5"), key: "z" });
    expect(await outcomes(db, at(-MINUTE_MS), at(-MINUTE_MS, { key: "z" }))).toEqual([
      "accepted",
      "accepted",
    ]);
    expect(await current(db)).toEqual(["etag:1", "etag:1"]);
  });

  test("removes nothing that was uploaded after it was said, whether it has a verdict or not, and erases none of it", async ({
    db,
  }) => {
    await record(db, told("etag:1"), { ...told(""), key: "z" });
    const late = [at(-MINUTE_MS, { kind: "removed", version: "" })];
    late.push({ ...late[0]!, key: "z" });
    const answers = await recordEvents(db.pool, late, "right", true);
    expect(answers.map(({ outcome }) => outcome)).toEqual(["stale", "stale"]);
    expect(await current(db)).toEqual(["", "etag:1"]);
  });

  test("removes what was uploaded before it was said, though it was told of once more since, or waited to be", async ({
    db,
  }) => {
    await record(db, told("etag:1"), {
      ...told("etag:1"),
      key: "z",
      receivedAt: new Date(Date.now() - 60 * MINUTE_MS),
    });
    await rows(db, "update photos set registered_at = registered_at - interval '1 hour' where key = 'a'");
    await record(db, told("etag:1"));
    const gone = at(-MINUTE_MS, { kind: "removed", version: "" });
    expect(await outcomes(db, gone, { ...gone, key: "z" })).toEqual(["removed", "removed"]);
  });
});

test("a photo that was queued by hand and an event of it are one photo", async ({ db }) => {
  const ref = { store: "s3", bucket: "b", key: "a", version: "etag:1", known: {} } as const;
  const [known] = await registerPhotos(db.pool, [ref], "backfill");
  expect(await one(db, event())).toMatchObject({ photoId: known!.id, outcome: "known" });
  await record(db, removed("11"));
  expect(await current(db)).toEqual([]);
  // found in the bucket again, so it is there
  await registerPhotos(db.pool, [ref], "live");
  expect(await current(db)).toEqual(["etag:1"]);
});

test("a photo that is queued by hand from a listing, which has no version ids, is the version that its event named", async ({
  db,
}) => {
  const { photoId } = await one(db, event({ version: "3HL4kqt" }));
  const ref = { store: "s3", bucket: "b", key: "a", version: "etag:1", known: {} } as const;
  expect(await registerPhotos(db.pool, [ref], "live")).toMatchObject([{ id: photoId, version: "3HL4kqt" }]);
  expect(await rows(db, "select version from photos")).toEqual([{ version: "3HL4kqt" }]);
});

test("a listing replaces no photo that was told of without a version, and keeps a moderator's verdict", async ({
  db,
}) => {
  const told = event({ version: "", order: null, receivedAt: new Date(), known: { listing: "42" } });
  const { photoId } = await one(db, told);
  await db.pool.query("select record_review($1, 'ann', 'hidden')", [photoId]);
  const ref = { store: "s3", bucket: "b", key: "a", version: "etag:1", known: {} } as const;
  expect(await registerPhotos(db.pool, [ref], "live")).toMatchObject([{ id: photoId, version: "" }]);
  expect(await rows(db, "select version, state, listing from photos")).toEqual([
    { version: "", state: "hidden", listing: "42" },
  ]);
  // one that failed is looked for anew
  const failed = { failure: "GONE", message: "", transient: false } as const;
  const other = await one(db, { ...told, key: "c" });
  await recordOutcomes(db.pool, [{ ...shown(other.photoId!), result: failed }]);
  expect(await registerPhotos(db.pool, [{ ...ref, key: "c" }], "live")).toMatchObject([
    { version: "etag:1" },
  ]);
});

test("of a removed object the photo is found that was there, and not one that was replaced as it was made known", async ({
  db,
}) => {
  const ref = (version: string) => ({ store: "s3", bucket: "b", key: "a", version, known: {} }) as const;
  await registerPhotos(db.pool, [ref("v2"), ref("v1")], "live");
  expect(await current(db)).toEqual(["v1"]);
  await record(db, removed("20"));
  expect((await readPhotoOf(db.pool, "b", "a"))?.version).toBe("v1");
});

test("a listing that is older than a removal or an overwrite undoes neither", async ({ db }) => {
  const listed = (key: string) => ({ store: "s3", bucket: "b", key, version: "etag:1", known: {} }) as const;
  const gone = await one(db, event({ key: "gone" }));
  const replaced = await one(db, event({ key: "replaced" }));
  await recordOutcomes(db.pool, [shown(gone.photoId!), shown(replaced.photoId!)]);
  const asked = await databaseTime(db.pool);
  await record(db, event({ ...removed("20"), key: "gone" }));
  for (const key of ["replaced", "new"]) await one(db, event({ key, version: "etag:2", order: "20" }));
  const list = async (since: string) => {
    await registerPhotos(db.pool, ["gone", "replaced", "new"].map(listed), "live", since);
    return rows(db, "select key, version from photos where superseded_at is null order by key");
  };
  expect(await list(asked)).toEqual([
    { key: "new", version: "etag:2" },
    { key: "replaced", version: "etag:2" },
  ]);
  // what is listed afterwards is there again
  expect(await list(await databaseTime(db.pool))).toEqual(
    ["gone", "new", "replaced"].map((key) => ({ key, version: "etag:1" })),
  );
});

test("a worker's role takes events, and a dashboard's does not", async ({ db }) => {
  const client = await db.pool.connect();
  try {
    const [statement, values] = [
      "select outcome from record_events($1, 'right')",
      [JSON.stringify([{ ...event(), ord: "1" }])],
    ];
    await client.query("set role maitred_dashboard");
    await expect(client.query(statement, values)).rejects.toMatchObject({ code: "42501" });
    await client.query("set role maitred_worker");
    expect((await client.query(statement, values)).rows).toEqual([{ outcome: "accepted" }]);
    await client.query("select mark_queued(array[1])");
  } finally {
    await client.query("reset role");
    client.release();
  }
});

test("an object of any name is fetched under the key that each source's event tells", async () => {
  const server = await startFauxqs({ port: 0, logger: false });
  const client = new S3Client({ endpoint: server.address, region: "us-east-1", forcePathStyle: true });
  try {
    server.createBucket("photos");
    const fetch = createS3Fetch(client);
    const now = new Date(0);
    await fc.assert(
      fc.asyncProperty(anyKey, async (key) => {
        // what begins as no photo does is not fetched
        const body = Buffer.concat([Buffer.from([0xff, 0xd8, 0xff]), Buffer.from(key)]);
        await client.send(new PutObjectCommand({ Bucket: "photos", Key: key, Body: body }));
        const told = [
          parseS3({ Records: [s3Record("ObjectCreated:Put", { key })] }, now),
          parseS3(minioMessage("ObjectCreated:Put", { key }), now),
          parseEventBridge(eventBridge("Object Created", { key }), now),
          parseGcs(gcsPush("OBJECT_FINALIZE", key, 1), now),
        ].flatMap(({ events }) => events);
        expect(told).toHaveLength(4);
        for (const photo of told) {
          const { bytes } = await fetch(photo, { maxBytes: 10_000, timeoutMs: 10_000 });
          expect(Buffer.from(bytes)).toEqual(body);
        }
      }),
      { numRuns: 40 },
    );
  } finally {
    client.destroy();
    await server.stop();
  }
});
