import { describe, expect } from "vitest";
import { feedBackfill } from "../../src/store/backfill-feed.ts";
import { addBackfill } from "../../src/store/backfills.ts";
import { addDestination, tellPage } from "../../src/store/destinations.ts";
import { databaseTime } from "../../src/store/photos.ts";
import type { Queryable } from "../../src/store/pool.ts";
import { undoReview } from "../../src/store/reviews.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, rows, test } from "../fixtures.ts";
import { one, publicVersions, record, told } from "../recorded.ts";
import { decide, fail, judged, loadedNow, ofAll } from "../verdicts.ts";

describe("a photo that is known by its key alone, uploaded again after it was removed", () => {
  test("is pending, with no tag of the bytes before, until it is judged again", async ({ db }) => {
    const { photoId } = await one(db, told());
    await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
    await rows(db, "update photos set lane = 'backfill'");
    await record(db, told({ kind: "removed" }));
    expect(await one(db, told())).toEqual({ photoId, outcome: "accepted", queue: true });
    expect(await publicVersions(db)).toEqual([]);
    expect(await rows(db, "select state, rule, lane from photos")).toEqual([
      { state: "pending", rule: "uploaded-again", lane: "live" },
    ]);
    expect(await rows(db, "select * from tags")).toEqual([]);
    await recordOutcomes(db.pool, [judged(photoId!, "hidden")]);
    expect(await rows(db, "select state from photos")).toEqual([{ state: "hidden" }]);
  });

  test("is so where a moderator had shown it too, and nobody takes that decision back any more", async ({
    db,
  }) => {
    const { photoId } = await one(db, told({ order: "10" }));
    await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
    const decision = await decide(db, photoId!, { verdict: "shown", human: false });
    await record(db, told({ kind: "removed", order: "11" }), told({ order: "12" }));
    expect(await publicVersions(db)).toEqual([]);
    expect(await undoReview(db.pool, "ann", decision, 60)).toMatchObject({ outcome: "changed" });
    expect(await publicVersions(db)).toEqual([]);
  });

  test("is so where it had failed, and what fails anew can be decided", async ({ db }) => {
    const { photoId } = await one(db, told());
    await fail(db, photoId!);
    await record(db, told({ kind: "removed" }), told());
    expect(await rows(db, "select state, failure from photos")).toEqual([
      { state: "pending", failure: null },
    ]);
    await fail(db, photoId!);
    await decide(db, photoId!, { verdict: "shown", human: false, asOf: await loadedNow(db) });
  });

  test("stays hidden where a moderator had hidden it, until one who sees it now decides otherwise", async ({
    db,
  }) => {
    const { photoId } = await one(db, told({ order: "10" }));
    await decide(db, photoId!, { human: false });
    await record(db, told({ kind: "removed", order: "11" }), told({ order: "12" }));
    expect(await rows(db, "select state, decided_by from photos")).toEqual([
      { state: "hidden", decided_by: "moderator:ann" },
    ]);
    await decide(db, photoId!, { verdict: "shown", human: false, asOf: await loadedNow(db) });
    expect(await publicVersions(db)).toEqual([""]);
  });

  test("has no verdict of before proposed to it, and no moderator who looks at it", async ({ db }) => {
    const { photoId } = await one(db, told());
    await recordOutcomes(db.pool, [judged(photoId!, "hidden")]);
    const run = await addBackfill(db.pool, { ...ofAll, propose: true });
    const page = { ids: [photoId!], unreadable: 0, cursor: { after: photoId! }, end: true };
    await feedBackfill(db.pool, run, null, page);
    await recordOutcomes(db.pool, [{ ...judged(photoId!, "shown", "model:m-2"), fed: true }]);
    expect(await rows(db, "select photo_id from proposals")).toEqual([{ photo_id: photoId }]);
    await rows(
      db,
      "insert into review_claims values ($1, 'ann', 'human', now() + interval '1 hour')",
      photoId,
    );
    await record(db, told({ kind: "removed" }), told());
    expect(await rows(db, "select * from proposals")).toEqual([]);
    expect(await rows(db, "select * from review_claims")).toEqual([]);
  });
});

describe("a verdict of a photo whose version does not say which bytes it is of", () => {
  const fetched = async (db: Database, photoId: string, verdict: "shown" | "hidden", by?: string) => ({
    ...judged(photoId, verdict, by),
    looked: await databaseTime(db.pool),
  });

  test("counts where it is another one than that of the same model before, and is written once", async ({
    db,
  }) => {
    const [{ photoId: keyed }, { photoId: named }] = [
      await one(db, told()),
      await one(db, told({ key: "n", version: "v1" })),
    ];
    await recordOutcomes(db.pool, [await fetched(db, keyed!, "shown"), await fetched(db, named!, "shown")]);
    await recordOutcomes(db.pool, [await fetched(db, keyed!, "hidden"), await fetched(db, named!, "hidden")]);
    expect(await publicVersions(db)).toEqual(["v1"]);
    await recordOutcomes(db.pool, [await fetched(db, keyed!, "hidden")]);
    expect(await rows(db, "select verdict from verdicts where photo_id = $1 order by id", keyed)).toEqual([
      { verdict: "shown" },
      { verdict: "hidden" },
    ]);
  });

  test("does not where its bytes were fetched before those of the one that stands", async ({ db }) => {
    const { photoId } = await one(db, told());
    const early = await fetched(db, photoId!, "shown");
    await recordOutcomes(db.pool, [await fetched(db, photoId!, "hidden")]);
    expect(await recordOutcomes(db.pool, [early])).toEqual(new Map([[photoId, { changed: false }]]));
    expect(await publicVersions(db)).toEqual([]);
  });

  test("does not where they were fetched before it was uploaded again", async ({ db }) => {
    const { photoId } = await one(db, told());
    await recordOutcomes(db.pool, [await fetched(db, photoId!, "hidden")]);
    const early = await fetched(db, photoId!, "shown", "model:m-2");
    await record(db, told({ kind: "removed" }), told());
    expect(await recordOutcomes(db.pool, [early])).toEqual(new Map([[photoId, { changed: false }]]));
    expect(await rows(db, "select state from photos")).toEqual([{ state: "pending" }]);
  });

  test.for(["before", "after"])(
    "does not where its statement is held up until then, and comes %s the verdict of today's bytes",
    async (when, { db }) => {
      const { photoId } = await one(db, told());
      const today = async () => recordOutcomes(db.pool, [await fetched(db, photoId!, "hidden")]);
      const heldUp: Queryable = {
        async query(statement) {
          await record(db, told({ kind: "removed" }), told());
          if (when === "after") await today();
          return db.pool.query(statement);
        },
      };
      await recordOutcomes(heldUp, [await fetched(db, photoId!, "shown")]);
      if (when === "before") await today();
      expect(await rows(db, "select state from photos")).toEqual([{ state: "hidden" }]);
    },
  );
});

test("a decision that is taken back has a worker look whether what is shown by it is there", async ({
  db,
}) => {
  const { photoId } = await one(db, told({ version: "etag:1" }));
  await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
  const decision = await decide(db, photoId!, { human: false });
  await record(db, told({ kind: "removed", version: "v1", order: "10" }));
  await db.pool.query("delete from unqueued");
  await db.pool.query("update photos set lane = 'backfill'");
  expect(await undoReview(db.pool, "ann", decision, 60)).toMatchObject({ outcome: "done" });
  expect(await rows(db, "select photo_id, lane from unqueued u join photos p on p.id = u.photo_id")).toEqual([
    { photo_id: photoId, lane: "live" },
  ]);
});

test("a destination that missed it is told of a photo that is current again", async ({ db }) => {
  const { photoId } = await one(db, told({ version: "etag:1", order: "10" }));
  await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
  await record(db, told({ kind: "removed", order: "11" }));
  const [{ now }] = await rows(db, "select now()");
  await record(db, told({ version: "etag:1", order: "12" }));
  await addDestination(
    db.pool,
    { id: "w", kind: "webhook", bucket: null, url: "https://app.example/hook" },
    "whsec_c2VjcmV0",
  );
  expect(await tellPage(db.pool, "w", now, "0", 10)).toMatchObject({ told: 1 });
});
