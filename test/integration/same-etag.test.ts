/** An etag is an MD5, and whoever uploads may have made two photos that share it. */
import { describe, expect } from "vitest";
import { endBackfills } from "../../src/store/backfill-feed.ts";
import { addBackfill, applyProposals } from "../../src/store/backfills.ts";
import { decidedBefore } from "../../src/store/photos.ts";
import { decideReviews } from "../../src/store/reviews.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, rows, test } from "../fixtures.ts";
import { feedAll } from "../policies.ts";
import { event, one, publicVersions, record, removed, told } from "../recorded.ts";
import { decide, decision, failed, judged, loadedNow, ofAll } from "../verdicts.ts";

const [HARMLESS, OTHER] = ["aa".repeat(32), "bb".repeat(32)];

/** What a worker says of bytes with this digest. */
const seen = (photoId: string, verdict: "shown" | "hidden" | "review", digest: string) => {
  const { result, ...rest } = judged(photoId, verdict);
  return { ...rest, result: { ...result, digest } };
};

/** The same, where another photo's scores spared the model. */
const copied = (photoId: string, verdict: "shown" | "hidden", of: string, digest: string) => {
  const { digest: _, ...result } = seen(photoId, verdict, digest).result;
  return { ...judged(photoId, verdict), batch: `same-${of}`, result: { ...result, copyOf: digest } };
};

/** A photo that is shown, and that no worker is to look at. */
async function shown(db: Database, ...how: Parameters<typeof event>): Promise<string> {
  const { photoId } = await one(db, event(...how));
  await recordOutcomes(db.pool, [seen(photoId!, "shown", HARMLESS)]);
  await rows(db, "delete from unqueued");
  return photoId!;
}
const lookedAt = async (db: Database): Promise<object[]> =>
  rows(db, "select photo_id, lane from unqueued u join photos p on p.id = u.photo_id");

describe("a worker looks at what was judged", () => {
  test("where a later upload says the etag that it is known by", async ({ db }) => {
    const photoId = await shown(db);
    await rows(db, "update photos set lane = 'backfill'");
    expect(await one(db, event({ order: "11" }))).toEqual({ photoId, outcome: "known", queue: true });
    expect(await lookedAt(db)).toEqual([{ photo_id: photoId, lane: "live" }]);
    expect(await publicVersions(db)).toEqual(["etag:1"]);
  });

  test("also where it was removed in between", async ({ db }) => {
    const photoId = await shown(db);
    await record(db, removed("11"), event({ order: "12" }));
    expect(await lookedAt(db)).toMatchObject([{ photo_id: photoId }]);
  });

  test("also where an upload handler alone tells of it, with its etag or its key", async ({ db }) => {
    for (const version of ["etag:1", ""]) {
      const { photoId } = await one(db, told({ version: "etag:1" }));
      await recordOutcomes(db.pool, [seen(photoId!, "shown", HARMLESS)]);
      await rows(db, "delete from unqueued");
      await record(db, told({ version, receivedAt: "now" }));
      expect(await lookedAt(db)).toMatchObject([{ photo_id: photoId }]);
    }
  });

  test("and not where it is the same upload, or an earlier one", async ({ db }) => {
    await shown(db, { order: "10" });
    await record(db, event({ order: "10" }), event({ order: "09" }));
    expect(await lookedAt(db)).toEqual([]);
  });

  test("of a photo that an upload handler told of, where its first event was said after the verdict", async ({
    db,
  }) => {
    for (const [key, receivedAt] of [
      ["its own", new Date(Date.now() - 60_000)],
      ["another's", "now"],
    ] as const) {
      const { photoId } = await one(db, told({ key, version: "etag:1" }));
      await recordOutcomes(db.pool, [seen(photoId!, "shown", HARMLESS)]);
      await rows(db, "delete from unqueued");
      await record(db, event({ key, receivedAt }));
      expect(await lookedAt(db)).toHaveLength(key === "its own" ? 0 : 1);
    }
  });
});

test("a file that was touched is looked at, unless it was read since, for itself, and nothing changed", async ({
  db,
}) => {
  const photoId = await shown(db, { store: "folder", bucket: "/photos", version: "1700000000000-3" });
  const touched = new Date(Date.now() - 1_800_000);
  const hourOld = () =>
    rows(db, "update photos set decided_at = now() - interval '1 hour', looked_at = null");
  const waits = () => decidedBefore(db.pool, [photoId], [touched]);
  const same = { ...seen(photoId, "hidden", HARMLESS), by: "model:m-2" };
  const run = await addBackfill(db.pool, { ...ofAll, propose: true });
  await feedAll(db, run);
  await recordOutcomes(db.pool, [{ ...same, fed: true }]);
  await endBackfills(db.pool);
  await recordOutcomes(db.pool, [same]);
  await hourOld();
  for (const unread of [
    { ...same, fed: true as const },
    { ...same, result: { ...same.result, rendition: true } },
    failed(photoId, true),
  ])
    await recordOutcomes(db.pool, [unread]);
  expect(await applyProposals(db.pool, run, "0", "ann", 10)).toMatchObject({ taken: 1, changed: 0 });
  expect(await waits()).toEqual([photoId]);
  await recordOutcomes(db.pool, [same]);
  expect(await waits()).toEqual([]);
});

describe("of two photos that share an etag", () => {
  test("the one counts that is not to be shown, whichever is judged later", async ({ db }) => {
    const photoId = await shown(db);
    await recordOutcomes(db.pool, [seen(photoId, "hidden", OTHER)]);
    expect(await publicVersions(db)).toEqual([]);
    await recordOutcomes(db.pool, [seen(photoId, "shown", HARMLESS)]);
    expect(await publicVersions(db)).toEqual([]);
    expect(await rows(db, "select verdict, rule from verdicts order by id")).toEqual([
      { verdict: "shown", rule: "clear" },
      { verdict: "hidden", rule: "clear" },
      { verdict: "hidden", rule: "uploaded-again" },
    ]);
  });

  test("so does it of two files of one size and one time of their last change", async ({ db }) => {
    const photoId = await shown(db, { store: "folder", bucket: "/photos", version: "1700000000000-3" });
    await recordOutcomes(db.pool, [seen(photoId, "hidden", OTHER)]);
    expect(await publicVersions(db)).toEqual([]);
  });

  test("it does also where a moderator had shown the other, and has its scores from elsewhere", async ({
    db,
  }) => {
    const photoId = await shown(db);
    const decision = await decide(db, photoId, { verdict: "shown", category: "menu", human: false });
    await recordOutcomes(db.pool, [copied(photoId, "hidden", "0", OTHER)]);
    expect(await rows(db, "select state, decided_by from photos")).toEqual([
      { state: "hidden", decided_by: "model:m-1" },
    ]);
    expect(await rows(db, "select category from tags")).toEqual([{ category: "food" }]);
    expect(await rows(db, "select undone_at from review_decisions where id = $1", decision)).toEqual([
      { undone_at: null },
    ]);
  });

  test("a moderator's verdict stands where the other would be shown, too, or it is the same bytes", async ({
    db,
  }) => {
    const photoId = await shown(db);
    await decide(db, photoId, { verdict: "shown", human: false });
    await recordOutcomes(db.pool, [seen(photoId, "hidden", HARMLESS)]);
    await recordOutcomes(db.pool, [seen(photoId, "shown", OTHER)]);
    expect(await rows(db, "select state, decided_by from photos")).toEqual([
      { state: "shown", decided_by: "moderator:ann" },
    ]);
  });

  test.for(["a model", "a moderator"])(
    "the first that %s hid is looked at again, once a moderator saw and showed the second in its place",
    async (who, { db }) => {
      const photoId = await shown(db);
      await recordOutcomes(db.pool, [seen(photoId, "hidden", OTHER)]);
      if (who === "a moderator") await decide(db, photoId, { verdict: "hidden", human: true });
      await record(db, event({ order: "11" }));
      expect(await lookedAt(db)).toHaveLength(1);
      for (const _ of "again") await recordOutcomes(db.pool, [seen(photoId, "shown", HARMLESS)]);
      expect(await publicVersions(db)).toEqual([]);
      expect(await rows(db, "select rule from verdicts where rule = 'uploaded-again'")).toHaveLength(1);
      await decide(db, photoId, { verdict: "shown", human: false, asOf: await loadedNow(db) });
      expect(await publicVersions(db)).toEqual(["etag:1"]);
      await record(db, event({ order: "12" }));
      await recordOutcomes(db.pool, [seen(photoId, "hidden", OTHER)]);
      expect(await publicVersions(db)).toEqual([]);
    },
  );

  test.for([
    ["hidden", "s3", "etag:1"],
    ["hidden", "folder", "1700000000000-3"],
    ["review", "s3", "etag:1"],
  ] as const)(
    "a moderator who has seen the first shows neither, until they see what is there now: %s in %s",
    async ([state, store, version], { db }) => {
      const { photoId } = await one(db, event({ store, version }));
      await recordOutcomes(db.pool, [seen(photoId!, state === "review" ? state : "shown", HARMLESS)]);
      const asOf = await loadedNow(db);
      await recordOutcomes(db.pool, [seen(photoId!, state, OTHER)]);
      const late = decision(photoId!, { verdict: "shown", human: false, asOf });
      expect(await decideReviews(db.pool, "ann", [late])).toMatchObject([
        { id: late.id, photo: photoId, outcome: "withdrawn", state, asOf: await loadedNow(db) },
      ]);
      expect(await publicVersions(db)).toEqual([]);
      const now = { verdict: "shown", human: false, asOf: await loadedNow(db) } as const;
      await decide(db, photoId!, now);
      expect(await publicVersions(db)).toEqual([version]);
    },
  );

  test("a moderator who has seen the first shows neither also where its bytes were known", async ({ db }) => {
    const elsewhere = await shown(db, { key: "elsewhere" });
    const { photoId } = await one(db, event());
    await recordOutcomes(db.pool, [copied(photoId!, "hidden", elsewhere, HARMLESS)]);
    const asOf = await loadedNow(db);
    await recordOutcomes(db.pool, [seen(photoId!, "hidden", OTHER)]);
    const late = decision(photoId!, { verdict: "shown", human: false, asOf });
    expect(await decideReviews(db.pool, "ann", [late])).toMatchObject([{ outcome: "withdrawn" }]);
    expect(await rows(db, "select state from photos where id = $1", photoId)).toEqual([{ state: "hidden" }]);
  });

  test("a moderator shows the second, the bytes of which were known", async ({ db }) => {
    const elsewhere = await one(db, event({ key: "elsewhere" }));
    await recordOutcomes(db.pool, [seen(elsewhere.photoId!, "hidden", OTHER)]);
    const photoId = await shown(db);
    await recordOutcomes(db.pool, [
      { ...copied(photoId, "hidden", elsewhere.photoId!, OTHER), policy: "p2" },
    ]);
    expect(await publicVersions(db)).toEqual([]);
    await decide(db, photoId, { verdict: "shown", human: false, asOf: await loadedNow(db) });
    expect(await publicVersions(db)).toEqual(["etag:1"]);
  });

  test("the one that is refused counts, whoever showed the other", async ({ db }) => {
    const photoId = await shown(db);
    await decide(db, photoId, { verdict: "shown", human: false });
    const { result, ...rest } = failed(photoId);
    for (const untold of [
      { ...rest, result: { ...result, transient: true } },
      { ...rest, result: { ...result, failure: "GONE" } as const },
      { ...rest, result, fed: true as const },
      // as by a decoder that refuses more than the one before
      { ...rest, result: { ...result, digest: HARMLESS } },
    ])
      await recordOutcomes(db.pool, [untold]);
    expect(await publicVersions(db)).toEqual(["etag:1"]);
    await recordOutcomes(db.pool, [{ ...rest, result: { ...result, digest: OTHER } }]);
    expect(await rows(db, "select state, failure from photos")).toEqual([
      { state: "failed", failure: "CORRUPT" },
    ]);
    await decide(db, photoId, { verdict: "shown", human: false, asOf: await loadedNow(db) });
    await recordOutcomes(db.pool, [failed(photoId)]);
    expect(await publicVersions(db)).toEqual(["etag:1"]);
  });

  test.for([
    ["a model", "killed workers", "other bytes", "failed"],
    ["a moderator", "killed workers", "other bytes", "failed"],
    ["a model", "could not be read this time", "other bytes", "failed"],
    ["a moderator", "killed workers", "the same bytes", "shown"],
    ["a model", "killed workers", "the same bytes", "shown"],
    ["a model", "killed workers", "no digest", "failed"],
    ["a moderator", "killed workers", "no digest", "failed"],
    ["a model", "could not be read this time", "no digest", "shown"],
  ] as const)("what %s had shown, and %s since, has %s: %s", async (given, { db }) => {
    const [who, why, which, state] = given;
    const digest = { "other bytes": OTHER, "the same bytes": HARMLESS, "no digest": undefined }[which];
    const photoId = await shown(db);
    if (who === "a moderator") await decide(db, photoId, { verdict: "shown", human: false });
    const failure = why === "killed workers" ? "WORKER_CRASHED" : "DECODE_UNAVAILABLE";
    const result = { failure, message: why, transient: true, ...(digest && { digest }) } as const;
    await recordOutcomes(db.pool, [{ ...failed(photoId), result }]);
    expect(await rows(db, "select state, failure from photos")).toEqual([
      { state, failure: state === "failed" ? failure : null },
    ]);
    expect(await rows(db, "select from tags")).toHaveLength(state === "failed" ? 0 : 1);
  });

  test("where nobody knows which bytes were judged, what the same model would not show counts, but for a backfill and a moderator's word", async ({
    db,
  }) => {
    const unnamed = async (key: string): Promise<string> => {
      const { photoId } = await one(db, event({ key }));
      await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
      return photoId!;
    };
    const [again, fed, showed] = [await unnamed("again"), await unnamed("fed"), await unnamed("showed")];
    await decide(db, showed, { verdict: "shown", human: false });
    const run = await addBackfill(db.pool, { ...ofAll, model: "model:m-1" });
    await rows(db, "insert into backfill_photos (backfill_id, photo_id) values ($1, $2)", run, fed);
    const now = (photoId: string) => seen(photoId, "hidden", OTHER);
    await recordOutcomes(db.pool, [now(again), { ...now(fed), fed: true }, now(showed)]);
    const crash = { failure: "WORKER_CRASHED", message: "4 workers", transient: true } as const;
    await recordOutcomes(db.pool, [failed(showed)]);
    await recordOutcomes(db.pool, [{ ...failed(showed), result: crash }]);
    expect(await rows(db, "select key, state from photos order by key")).toEqual([
      { key: "again", state: "hidden" },
      { key: "fed", state: "shown" },
      { key: "showed", state: "shown" },
    ]);
  });

  test("a backfill that cannot read what killed workers undoes nothing, unless it knows that these are other bytes", async ({
    db,
  }) => {
    const photoId = await shown(db);
    const run = await addBackfill(db.pool, { ...ofAll, model: "model:m-1" });
    const result = { failure: "WORKER_CRASHED", message: "4 workers", transient: true } as const;
    for (const [digest, state] of [
      [undefined, "shown"],
      [HARMLESS, "shown"],
      [OTHER, "failed"],
    ] as const) {
      await rows(db, "insert into backfill_photos (backfill_id, photo_id) values ($1, $2)", run, photoId);
      await recordOutcomes(db.pool, [
        { ...failed(photoId), fed: true, result: { ...result, ...(digest && { digest }) } },
      ]);
      expect(await rows(db, "select state from photos")).toEqual([{ state }]);
    }
  });

  test("a backfill sees, too, which is not to be shown", async ({ db }) => {
    const photoId = await shown(db);
    await decide(db, photoId, { verdict: "shown", human: false });
    const run = await addBackfill(db.pool, { ...ofAll, model: "model:m-1" });
    await rows(db, "insert into backfill_photos (backfill_id, photo_id) values ($1, $2)", run, photoId);
    await recordOutcomes(db.pool, [{ ...seen(photoId, "hidden", OTHER), fed: true }]);
    expect(await rows(db, "select state, decided_by from photos")).toEqual([
      { state: "hidden", decided_by: "model:m-1" },
    ]);
  });

  test("an upload's verdict counts, where a backfill that proposes has its own committed beside it", async ({
    db,
  }) => {
    const photoId = await shown(db);
    await decide(db, photoId, { verdict: "shown", human: false });
    const run = await addBackfill(db.pool, { ...ofAll, model: "model:m-1", propose: true });
    await rows(db, "insert into backfill_photos (backfill_id, photo_id) values ($1, $2)", run, photoId);
    const other = seen(photoId, "hidden", OTHER);
    await recordOutcomes(db.pool, [{ ...other, fed: true }, other]);
    expect(await publicVersions(db)).toEqual([]);
  });

  test("what a backfill proposed of the second stays undone where a moderator showed the photo since", async ({
    db,
  }) => {
    const [judged, refused] = [await shown(db), await shown(db, { key: "refused" })];
    const run = await addBackfill(db.pool, { ...ofAll, propose: true });
    const by = "model:m-2";
    await feedAll(db, run);
    await recordOutcomes(db.pool, [
      { ...seen(judged, "hidden", OTHER), by, fed: true },
      { ...failed(refused), by, fed: true },
    ]);
    await endBackfills(db.pool);
    for (const photoId of [judged, refused]) await decide(db, photoId, { verdict: "shown", human: false });
    expect(await applyProposals(db.pool, run, "0", "ann", 10)).toMatchObject({ taken: 2 });
    expect(await rows(db, "select state from photos")).toEqual([{ state: "shown" }, { state: "shown" }]);
  });

  test("what a moderator hides is the second, where both would be shown", async ({ db }) => {
    const photoId = await shown(db);
    for (const _ of "again") await recordOutcomes(db.pool, [seen(photoId, "shown", OTHER)]);
    expect(await rows(db, "select verdict, rule from verdicts order by id")).toEqual([
      { verdict: "shown", rule: "clear" },
      { verdict: "shown", rule: "uploaded-again" },
    ]);
    await decide(db, photoId, { verdict: "hidden", human: true });
    expect(await rows(db, "select encode(digest, 'hex') as digest from reviews")).toEqual([
      { digest: OTHER },
    ]);
  });

  test("what another model or policy says of the second is in history once", async ({ db }) => {
    const photoId = await shown(db);
    const other = seen(photoId, "shown", OTHER);
    const said = [
      { ...other, by: "model:m-2" },
      { ...seen(photoId, "shown", HARMLESS), by: "model:m-2", policy: "p2" },
    ];
    for (const each of said) await recordOutcomes(db.pool, [each]);
    expect(await rows(db, "select rule from verdicts")).toEqual(Array(3).fill({ rule: "clear" }));
  });

  test("a rendition is neither, nor what was only proposed, and a version id has one photo", async ({
    db,
  }) => {
    const photoId = await shown(db);
    const other = seen(photoId, "hidden", OTHER);
    await recordOutcomes(db.pool, [{ ...other, result: { ...other.result, rendition: true } }]);
    const run = await addBackfill(db.pool, { ...ofAll, model: "model:m-1", propose: true });
    await rows(db, "insert into backfill_photos (backfill_id, photo_id) values ($1, $2)", run, photoId);
    await recordOutcomes(db.pool, [{ ...other, fed: true }]);
    const versioned = await shown(db, { key: "v", version: "v1" });
    await recordOutcomes(db.pool, [seen(versioned, "hidden", OTHER)]);
    expect(await publicVersions(db)).toEqual(["etag:1", "v1"]);
  });

  test.for([
    ["unknown", "a moderator", "shown"],
    ["unknown", "a model", "hidden"],
    ["known", "a moderator", "hidden"],
  ] as const)(
    "the bytes of a photo that was judged beside a rendition are %s by its own digest alone: what %s showed is %s",
    async ([own, who, state], { db }) => {
      const { photoId } = await one(db, event());
      const copy = { ...seen(photoId!, "shown", HARMLESS), by: "model:m-2" };
      const rendition = { ...copy, result: { ...copy.result, rendition: true as const } };
      const original = own === "known" ? seen(photoId!, "shown", HARMLESS) : judged(photoId!, "shown");
      // in either order of the two
      const judgedSo = who === "a model" ? [rendition, original] : [original, rendition];
      for (const each of judgedSo) await recordOutcomes(db.pool, [each]);
      if (who === "a moderator") await decide(db, photoId!, { verdict: "shown", human: false });
      await recordOutcomes(db.pool, [seen(photoId!, "hidden", OTHER)]);
      expect(await rows(db, "select state from photos")).toEqual([{ state }]);
    },
  );

  test("a decision of before that is sent again is known, and not withdrawn", async ({ db }) => {
    const photoId = await shown(db);
    const sent = [decision(photoId, { verdict: "shown", human: false, asOf: await loadedNow(db) })];
    expect(await decideReviews(db.pool, "ann", sent)).toMatchObject([{ outcome: "done" }]);
    await recordOutcomes(db.pool, [seen(photoId, "hidden", OTHER)]);
    expect(await decideReviews(db.pool, "ann", sent)).toMatchObject([{ outcome: "known" }]);
  });

  test("a moderator who saw it while a rendition alone was judged shows it, judged itself since", async ({
    db,
  }) => {
    const { photoId } = await one(db, event());
    const copy = seen(photoId!, "review", HARMLESS);
    await recordOutcomes(db.pool, [{ ...copy, result: { ...copy.result, rendition: true } }]);
    const asOf = await loadedNow(db);
    await recordOutcomes(db.pool, [{ ...seen(photoId!, "review", OTHER), by: "model:m-2" }]);
    await decide(db, photoId!, { verdict: "shown", human: false, asOf });
    expect(await publicVersions(db)).toEqual(["etag:1"]);
  });

  test("a photo of which a rendition alone was judged stays as a moderator showed it", async ({ db }) => {
    const { photoId } = await one(db, event());
    const copy = seen(photoId!, "shown", HARMLESS);
    await recordOutcomes(db.pool, [{ ...copy, result: { ...copy.result, rendition: true } }]);
    await decide(db, photoId!, { verdict: "shown", human: false });
    await recordOutcomes(db.pool, [seen(photoId!, "hidden", OTHER)]);
    await recordOutcomes(db.pool, [failed(photoId!)]);
    expect(await publicVersions(db)).toEqual(["etag:1"]);
  });
});
