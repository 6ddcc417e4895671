import { describe, expect } from "vitest";
import type { PhotoEvent } from "../../src/intake/event.ts";
import { parseEventBridge } from "../../src/intake/eventbridge.ts";
import { parseGcs } from "../../src/intake/gcs.ts";
import { parseS3 } from "../../src/intake/s3.ts";
import { markQueued, recordEvents, unqueuedPhotos } from "../../src/store/events.ts";
import { registerPhotos } from "../../src/store/photos.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { eventBridge, gcsPush, s3Record } from "../events.ts";
import { rows, test } from "../fixtures.ts";
import { current, event, one, outcomes, publicVersions, record, removed, told } from "../recorded.ts";
import { decide, judged } from "../verdicts.ts";

describe("a removal", () => {
  test("takes a photo off the page, and no verdict brings it back", async ({ db }) => {
    const { photoId } = await one(db, event());
    await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
    expect(await one(db, removed("11"))).toEqual({ photoId, outcome: "removed", queue: false });
    expect(await publicVersions(db)).toEqual([]);
    await recordOutcomes(db.pool, [{ ...judged(photoId!, "shown"), by: "model:m-2" }]);
    await rows(db, "select record_review($1, 'ann', 'shown', 'food', false)", photoId);
    expect(await rows(db, "select state from photos")).toEqual([{ state: "shown" }]);
    expect(await publicVersions(db)).toEqual([]);
    expect(await rows(db, "select verdict from verdicts")).toHaveLength(3);
  });

  test("that an application tells, whether or not the bucket's events tell it too, is one removal", async ({
    db,
  }) => {
    const deleted = () => told({ kind: "removed" });
    const [upload, late] = [new Date(Date.now() - 5_000), new Date(Date.now() - 4_000)];
    const { photoId } = await one(db, event({ receivedAt: upload }));
    await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
    expect(await one(db, deleted())).toMatchObject({ photoId, outcome: "removed" });
    expect(await outcomes(db, deleted(), removed("11"))).toEqual(["known", "known"]);
    expect(await outcomes(db, event({ receivedAt: upload }))).toEqual(["stale"]);
    expect(await publicVersions(db)).toEqual([]);
    expect(await outcomes(db, event({ version: "etag:2", order: "12", receivedAt: new Date() }))).toEqual([
      "accepted",
    ]);
    // told before any event of the object, whose own comes late
    await one(db, told({ key: "b", version: "etag:1", receivedAt: upload }));
    await rows(db, "update photos set registered_at = $1 where key = 'b'", upload);
    expect(await outcomes(db, told({ kind: "removed", key: "b" }))).toEqual(["removed"]);
    expect(await outcomes(db, event({ key: "b", receivedAt: late }))).toEqual(["stale"]);
    expect(await current(db)).toEqual(["etag:2"]);
  });

  test.for(["etag:1", "v1", "generation:16"])(
    "that an application tells holds against the event of an upload before it that comes late: %s",
    async (version, { db }) => {
      const ago = (seconds: number) => new Date(Date.now() - seconds * 1_000);
      const upload = { version, order: "10", receivedAt: ago(60) };
      for (const [key, known] of [
        ["nobody told", []],
        ["its key was told", [told({ key: "its key was told", receivedAt: ago(59) })]],
        ["it replaced another", [event({ key: "it replaced another", version: "v0", order: "08" })]],
        ["it is erased", [told({ key: "it is erased", version, receivedAt: ago(59) })]],
      ] as const) {
        const deleted = told({ kind: "removed", key });
        for (const each of [...known, deleted, deleted])
          await recordEvents(db.pool, [each], "right", key === "it is erased");
        expect(await one(db, event({ ...upload, key }))).toMatchObject({ outcome: "stale", queue: false });
      }
      expect(await current(db)).toEqual([]);
      expect(await rows(db, "select from unqueued")).toEqual([]);
      // also where somebody told of the upload after it, whose own event comes later still
      const anew = { key: "uploaded anew", version: "" };
      await record(
        db,
        told({ ...anew, kind: "removed", receivedAt: ago(20) }),
        told({ ...anew, receivedAt: ago(10) }),
      );
      expect(await outcomes(db, event({ ...upload, key: anew.key }))).toEqual(["stale"]);
      // said after it, though its order may be that of a store whose first event this is
      const key = "nobody told";
      const next = event({ ...upload, key, order: "11", receivedAt: "now" });
      expect(await one(db, next)).toMatchObject({ outcome: "accepted" });
      expect(await outcomes(db, { ...removed("12"), key })).toEqual(["removed"]);
      expect(await outcomes(db, event({ ...upload, key, order: "13" }))).toEqual(["accepted"]);
    },
  );

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
    await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
    await record(db, removed("11"));
    // and a worker looks whether they are those
    expect(await one(db, event({ order: "12" }))).toEqual({ photoId, outcome: "accepted", queue: true });
    expect(await publicVersions(db)).toEqual(["etag:1"]);
    expect(await outcomes(db, removed("11"))).toEqual(["stale"]);
    expect(await publicVersions(db)).toEqual(["etag:1"]);
  });

  test("of one version leaves the others, and that version never comes back", async ({ db }) => {
    await record(db, event({ version: "v1", order: "10" }));
    const two = await one(db, event({ version: "v2", order: "11" }));
    await recordOutcomes(db.pool, [judged(two.photoId!, "shown")]);
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
      if (by === "model:m-1") await recordOutcomes(db.pool, [judged(id, "shown")]);
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

const HOUR_MS = 3_600_000;

describe("what has no order and was said long before what is known", () => {
  const earlier = new Date(Date.now() - HOUR_MS);

  test("removes nothing, erasing or not", async ({ db }) => {
    const { photoId } = await one(db, told({ version: "etag:1", order: "10" }));
    await decide(db, photoId!, { verdict: "shown", human: false });
    const late = told({ kind: "removed", receivedAt: earlier });
    expect(await one(db, late)).toMatchObject({ outcome: "stale" });
    expect(await recordEvents(db.pool, [late], "right", true)).toMatchObject([{ outcome: "stale" }]);
    expect(await publicVersions(db)).toEqual(["etag:1"]);
  });

  test("removes nothing also where the event of what is known was said before it, and came since", async ({
    db,
  }) => {
    await record(db, told({ version: "etag:1" }));
    expect(
      await outcomes(
        db,
        event({ receivedAt: new Date(earlier.valueOf() - HOUR_MS) }),
        told({ kind: "removed", receivedAt: earlier }),
      ),
    ).toEqual(["known", "stale"]);
    expect(await current(db)).toEqual(["etag:1"]);
  });

  test("makes no other photo current", async ({ db }) => {
    await record(db, told({ version: "etag:2" }));
    const late = told({ version: "etag:1", receivedAt: earlier });
    expect(await one(db, late)).toEqual({ photoId: null, outcome: "stale", queue: false });
    expect(await current(db)).toEqual(["etag:2"]);
  });

  test("counts where it only waited for whoever hears it, as what it is beside did", async ({ db }) => {
    const at = (seconds: number) => new Date(earlier.valueOf() + seconds * 1_000);
    await record(db, told({ version: "etag:1", receivedAt: at(0) }));
    expect(await one(db, told({ version: "etag:2", receivedAt: at(1) }))).toMatchObject({
      outcome: "accepted",
    });
    expect(await one(db, told({ kind: "removed", receivedAt: at(2) }))).toMatchObject({
      outcome: "removed",
    });
    expect(await current(db)).toEqual([]);
  });
});

test.for(["review", "hidden"] as const)(
  "a version that is gone for good has a worker look at what is not shown too: %s",
  async (state, { db }) => {
    const { photoId } = await one(db, told({ version: "etag:1" }));
    await recordOutcomes(db.pool, [judged(photoId!, state)]);
    await db.pool.query("delete from unqueued");
    await record(db, told({ kind: "removed", version: "v1", order: "10" }));
    expect(await rows(db, "select photo_id from unqueued")).toEqual([{ photo_id: photoId }]);
  },
);

test("what is told by a clock that is ahead is of now, and not later than what follows", async ({ db }) => {
  await record(db, told({ version: "etag:1", receivedAt: new Date(Date.now() + HOUR_MS) }));
  expect(await outcomes(db, told({ kind: "removed" }))).toEqual(["removed"]);
  expect(await current(db)).toEqual([]);
});

test("an upload in the second before an application told of a removal may have come after it", async ({
  db,
}) => {
  const at = Date.now() - 5_000;
  await record(db, event({ receivedAt: new Date(at - HOUR_MS) }));
  await record(db, told({ kind: "removed", receivedAt: new Date(at) }));
  const upload = (order: string, version: string, beforeMs: number) =>
    event({ order, version, receivedAt: new Date(at - beforeMs) });
  expect(await outcomes(db, upload("11", "etag:2", 1_500), upload("12", "etag:3", 500))).toEqual([
    "stale",
    "accepted",
  ]);
});

test("what a moderator had shown is current again by no handler, who may tell of what was there before", async ({
  db,
}) => {
  const { photoId } = await one(db, told({ version: "etag:1" }));
  await decide(db, photoId!, { verdict: "shown", human: false });
  await record(db, told({ kind: "removed" }));
  expect(await one(db, told({ version: "etag:1" }))).toMatchObject({ outcome: "stale" });
  expect(await current(db)).toEqual([]);
});

test("an event that is too old to count has a worker look at what is shown, as the store's clock may be slow", async ({
  db,
}) => {
  const { photoId } = await one(db, told({ version: "etag:2" }));
  await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
  await db.pool.query("delete from unqueued");
  const old = event({ receivedAt: new Date(Date.now() - HOUR_MS) });
  expect(await one(db, old)).toMatchObject({ outcome: "stale" });
  expect(await rows(db, "select photo_id from unqueued")).toEqual([{ photo_id: photoId }]);
});
