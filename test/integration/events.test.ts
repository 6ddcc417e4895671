import fc from "fast-check";
import { describe, expect } from "vitest";
import { createS3Fetch } from "../../src/image/s3.ts";
import { parseEventBridge } from "../../src/intake/eventbridge.ts";
import { parseGcs } from "../../src/intake/gcs.ts";
import { type EventDeps, ingestEvents, queueUnqueued } from "../../src/intake/ingest-events.ts";
import { ingestPhotos } from "../../src/intake/ingest-photos.ts";
import { parseS3 } from "../../src/intake/s3.ts";
import type { EventOutcome, Lane, PhotoJob } from "../../src/photo.ts";
import { markQueued, recordEvents, unqueuedPhotos } from "../../src/store/events.ts";
import { registerPhotos } from "../../src/store/photos.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { anyKey, eventBridge, gcsPush, minioMessage, s3Record } from "../events.ts";
import { type Database, rows, test } from "../fixtures.ts";
import { current, event, one, outcomes, publicVersions, record, removed } from "../recorded.ts";
import { startS3 } from "../s3.ts";
import { judged } from "../verdicts.ts";

describe("an event", () => {
  test("of a new object makes a photo that is pending, current, and wants to be queued", async ({ db }) => {
    const { photoId, outcome, queue } = await one(db, event({ known: { listing: "42", claimed: "food" } }));
    expect({ outcome, queue }).toEqual({ outcome: "accepted", queue: true });
    expect(await rows(db, "select id, state, version, listing, claimed, lane from photos")).toEqual([
      { id: photoId, state: "pending", version: "etag:1", listing: "42", claimed: "food", lane: "live" },
    ]);
  });

  test("of a new object updates no photo: each statement fires triggers, whatever it changes", async ({
    db,
  }) => {
    const client = await db.pool.connect();
    await client.query("begin; set local track_functions = 'all'");
    await recordEvents(client, [event()], "right");
    const { rows: called } = await client.query(
      "select calls::int from pg_stat_xact_user_functions where funcname = 'count_changed_photos'",
    );
    await client.query("rollback");
    client.release();
    // of the insert, which would be an update of a photo that is known
    expect(called).toEqual([{ calls: 1 }]);
  });

  test("that comes again changes nothing, and answers with the same photo", async ({ db }) => {
    const first = await one(db, event());
    await markQueued(db.pool, [first.photoId!]);
    await recordOutcomes(db.pool, [judged(first.photoId!, "shown")]);
    const before = await rows(db, "select * from photos, object_order");
    expect(await one(db, event())).toEqual({ photoId: first.photoId, outcome: "duplicate", queue: false });
    expect(await rows(db, "select * from photos, object_order")).toEqual(before);
  });

  test("of an overwrite makes a new version, which takes the old verdict with it", async ({ db }) => {
    const old = await one(db, event());
    await recordOutcomes(db.pool, [judged(old.photoId!, "shown")]);
    expect(await publicVersions(db)).toEqual(["etag:1"]);
    const { outcome, queue, photoId } = await one(db, event({ version: "etag:2", order: "11" }));
    expect({ outcome, queue }).toEqual({ outcome: "accepted", queue: true });
    expect(photoId).not.toBe(old.photoId);
    expect(await publicVersions(db)).toEqual([]);
    await recordOutcomes(db.pool, [judged(old.photoId!, "shown"), judged(photoId!, "shown")]);
    expect(await publicVersions(db)).toEqual(["etag:2"]);
  });

  test("of an overwrite with the same bytes keeps the verdict", async ({ db }) => {
    const { photoId } = await one(db, event());
    await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
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
    const [first] = await ingestEvents(looking, [event({ known: { listing: "42" } }), event(), removed("1")]);
    expect(jobs).toEqual([
      { id: first!.photoId, store: "s3", bucket: "b", key: "a", version: "etag:1", known: { listing: "42" } },
    ]);
    expect(seen).toEqual([{ id: first!.photoId }]);
    await ingestEvents(looking, [event()]);
    expect(jobs).toHaveLength(1);
    expect(await ingestEvents(looking, [])).toEqual([]);
  });

  test("is what a queue that was away kept out, when the event comes again or when it is looked for", async ({
    db,
  }) => {
    const { deps, jobs, fail } = intake(db);
    fail(new Error("away"));
    await expect(ingestEvents(deps, [event(), event({ key: "z" })])).rejects.toThrow("away");
    await expect(queueUnqueued(deps, 0)).rejects.toThrow("away");
    fail();
    expect(await ingestEvents(deps, [event()])).toMatchObject([{ outcome: "duplicate", queue: true }]);
    expect(jobs.map(({ key }) => key)).toEqual(["a"]);
    expect(await queueUnqueued(deps, 3600)).toBe(0);
    expect(await queueUnqueued(deps, 0)).toBe(1);
    expect(jobs.map(({ key }) => key)).toEqual(["a", "z"]);
    expect(await queueUnqueued(deps, 0)).toBe(0);
  });

  test("is what a command took in and was killed before it queued that", async ({ db }) => {
    const { deps, jobs, fail } = intake(db);
    const register = (photos: Parameters<typeof registerPhotos>[1], lane: Lane) =>
      registerPhotos(db.pool, photos, lane);
    const page = ["a", "b"].map((key) => ({ store: "s3", bucket: "b", key, version: "etag:1" }) as const);
    fail(new Error("killed"));
    await expect(ingestPhotos({ ...deps, register }, page, "backfill")).rejects.toThrow("killed");
    expect(await unqueuedPhotos(db.pool, 0, 10)).toMatchObject(
      page.map((photo) => ({ ...photo, lane: "backfill" })),
    );
    fail();
    const { ids } = await ingestPhotos({ ...deps, register }, page.slice(1), "backfill");
    expect(jobs).toMatchObject([{ key: "b" }]);
    expect(await queueUnqueued(deps, 0)).toBe(1);
    expect(jobs).toMatchObject([{ key: "b" }, { key: "a" }]);
    // what is decided waits for no queue
    await recordOutcomes(db.pool, [judged(ids[0]!, "shown")]);
    await ingestPhotos({ ...deps, register }, page.slice(1), "backfill");
    expect(await queueUnqueued(deps, 0)).toBe(0);
    const result = { failure: "GONE", message: "gone", transient: false } as const;
    await recordOutcomes(db.pool, [{ ...judged(ids[0]!, "shown"), result }]);
    fail(new Error("killed"));
    await expect(ingestPhotos({ ...deps, register }, page.slice(1), "backfill")).rejects.toThrow("killed");
    fail();
    expect(await queueUnqueued(deps, 0)).toBe(1);
  });

  test("is no photo that was withdrawn or replaced before a queue held it", async ({ db }) => {
    const { deps, jobs, fail } = intake(db);
    fail(new Error("away"));
    await expect(
      ingestEvents(deps, [event(), event({ order: "11", version: "etag:2" }), event({ key: "z" })]),
    ).rejects.toThrow("away");
    await record(db, { ...removed("11"), key: "z" });
    fail();
    await queueUnqueued(deps, 0);
    expect(jobs.map(({ version }) => version)).toEqual(["etag:2"]);
  });

  test("is a photo that failed, when its object is uploaded again", async ({ db }) => {
    const { deps, jobs } = intake(db);
    const [{ photoId }] = (await ingestEvents(deps, [event()])) as [EventOutcome];
    const failure = { failure: "GONE", message: "gone", transient: false } as const;
    await recordOutcomes(db.pool, [{ ...judged(photoId!, "shown"), result: failure }]);
    expect(await ingestEvents(deps, [event({ order: "11" })])).toMatchObject([
      { photoId, outcome: "accepted" },
    ]);
    expect(jobs).toHaveLength(2);
  });
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
  const s3 = await startS3("photos");
  try {
    const fetch = createS3Fetch(s3.client);
    const now = new Date(0);
    await fc.assert(
      fc.asyncProperty(anyKey, async (key) => {
        // what begins as no photo does is not fetched
        const body = Buffer.concat([Buffer.from([0xff, 0xd8, 0xff]), Buffer.from(key)]);
        await s3.put(key, body);
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
    await s3.stop();
  }
});
