import { randomUUID } from "node:crypto";
import { describe, expect } from "vitest";
import { readBackfillCounts } from "../../src/store/backfill-counts.ts";
import { endBackfills, feedBackfill } from "../../src/store/backfill-feed.ts";
import { addBackfill, applyProposals, rollbackBackfill } from "../../src/store/backfills.ts";
import { addDestination, tellAgain } from "../../src/store/destinations.ts";
import { recordEvents, type StoredEvent } from "../../src/store/events.ts";
import { photosWithoutReview, reviewedPhotos } from "../../src/store/labels.ts";
import { databaseTime, registerPhotos } from "../../src/store/photos.ts";
import type { Queryable } from "../../src/store/pool.ts";
import { decideReviews, undoReview } from "../../src/store/reviews.ts";
import { type Outcome, recordAnew, recordOutcomes, recordWith } from "../../src/store/verdicts.ts";
import { type Database, rows, test } from "../fixtures.ts";
import { fail, judged, ofAll } from "../verdicts.ts";

const HOUR_MS = 3_600_000;
const event = (over: Partial<StoredEvent> = {}): StoredEvent => ({
  kind: "created",
  store: "s3",
  bucket: "b",
  key: "a",
  version: "",
  order: null,
  known: {},
  receivedAt: new Date(),
  ...over,
});
const say = async (db: Database, ...events: StoredEvent[]) => recordEvents(db.pool, events, "right");
const saidOnce = async (db: Database, each: StoredEvent) => (await say(db, each))[0]!;
const inPublic = async (db: Database): Promise<string[]> =>
  (await rows(db, "select version from public_photos")).map(({ version }) => version);
const current = async (db: Database): Promise<string[]> =>
  (await rows(db, "select version from photos where superseded_at is null order by 1")).map(
    ({ version }) => version,
  );
const decide = async (db: Database, photo: string, verdict: "shown" | "hidden") => {
  const id = randomUUID();
  await decideReviews(db.pool, "ann", [
    { id, photo, verdict, category: null, human: false, note: null, asOf: null, appeal: null },
  ]);
  return id;
};

/** As on a page that was loaded now. */
const decideOnFresh = async (db: Database, photo: string, verdict: "shown" | "hidden") => {
  const [{ seen }] = await rows(db, "select max(id) as seen from verdicts");
  const said = { verdict, category: null, human: false, note: null, appeal: null } as const;
  const [answer] = await decideReviews(db.pool, "ann", [{ id: randomUUID(), photo, asOf: seen, ...said }]);
  return answer!.outcome;
};

describe("a photo that is known by its key alone, uploaded again after it was removed", () => {
  test("is pending, with no tag of the bytes before, until it is judged again", async ({ db }) => {
    const { photoId } = await saidOnce(db, event());
    await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
    await say(db, event({ kind: "removed" }));
    expect(await saidOnce(db, event())).toEqual({ photoId, outcome: "accepted", queue: true });
    expect(await inPublic(db)).toEqual([]);
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
    const { photoId } = await saidOnce(db, event({ order: "10" }));
    await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
    const decision = await decide(db, photoId!, "shown");
    await say(db, event({ kind: "removed", order: "11" }), event({ order: "12" }));
    expect(await inPublic(db)).toEqual([]);
    expect(await undoReview(db.pool, "ann", decision, 60)).toMatchObject({ outcome: "changed" });
    expect(await inPublic(db)).toEqual([]);
  });

  test("is so where it had failed, and what fails anew can be decided", async ({ db }) => {
    const { photoId } = await saidOnce(db, event());
    await fail(db, photoId!);
    await say(db, event({ kind: "removed" }), event());
    expect(await rows(db, "select state, failure from photos")).toEqual([
      { state: "pending", failure: null },
    ]);
    await fail(db, photoId!);
    expect(await decideOnFresh(db, photoId!, "shown")).toBe("done");
  });

  test("stays hidden where a moderator had hidden it, until one who sees it now decides otherwise", async ({
    db,
  }) => {
    const { photoId } = await saidOnce(db, event({ order: "10" }));
    await decide(db, photoId!, "hidden");
    await say(db, event({ kind: "removed", order: "11" }), event({ order: "12" }));
    expect(await rows(db, "select state, decided_by from photos")).toEqual([
      { state: "hidden", decided_by: "moderator:ann" },
    ]);
    expect(await decideOnFresh(db, photoId!, "shown")).toBe("done");
    expect(await inPublic(db)).toEqual([""]);
  });

  test("has no verdict of before proposed to it", async ({ db }) => {
    const { photoId } = await saidOnce(db, event());
    await recordOutcomes(db.pool, [judged(photoId!, "hidden")]);
    const run = await addBackfill(db.pool, { ...ofAll, propose: true });
    const page = { ids: [photoId!], unreadable: 0, cursor: { after: photoId! }, end: true };
    await feedBackfill(db.pool, run, null, page);
    await recordOutcomes(db.pool, [{ ...judged(photoId!, "shown", "model:m-2"), fed: true }]);
    expect(await rows(db, "select photo_id from proposals")).toEqual([{ photo_id: photoId }]);
    await say(db, event({ kind: "removed" }), event());
    expect(await rows(db, "select * from proposals")).toEqual([]);
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
      await saidOnce(db, event()),
      await saidOnce(db, event({ key: "n", version: "etag:1" })),
    ];
    await recordOutcomes(db.pool, [await fetched(db, keyed!, "shown"), await fetched(db, named!, "shown")]);
    await recordOutcomes(db.pool, [await fetched(db, keyed!, "hidden"), await fetched(db, named!, "hidden")]);
    expect(await inPublic(db)).toEqual(["etag:1"]);
    await recordOutcomes(db.pool, [await fetched(db, keyed!, "hidden")]);
    expect(await rows(db, "select verdict from verdicts where photo_id = $1 order by id", keyed)).toEqual([
      { verdict: "shown" },
      { verdict: "hidden" },
    ]);
  });

  test("does not where its bytes were fetched before those of the one that stands", async ({ db }) => {
    const { photoId } = await saidOnce(db, event());
    const early = await fetched(db, photoId!, "shown");
    await recordOutcomes(db.pool, [await fetched(db, photoId!, "hidden")]);
    expect(await recordOutcomes(db.pool, [early])).toEqual(new Map([[photoId, false]]));
    expect(await inPublic(db)).toEqual([]);
  });

  test("does not where they were fetched before it was uploaded again", async ({ db }) => {
    const { photoId } = await saidOnce(db, event());
    await recordOutcomes(db.pool, [await fetched(db, photoId!, "hidden")]);
    const early = await fetched(db, photoId!, "shown", "model:m-2");
    await say(db, event({ kind: "removed" }), event());
    expect(await recordOutcomes(db.pool, [early])).toEqual(new Map([[photoId, false]]));
    expect(await rows(db, "select state from photos")).toEqual([{ state: "pending" }]);
  });

  test.for(["before", "after"])(
    "does not where its statement is held up until then, and comes %s the verdict of today's bytes",
    async (when, { db }) => {
      const { photoId } = await saidOnce(db, event());
      const today = async () => recordOutcomes(db.pool, [await fetched(db, photoId!, "hidden")]);
      const heldUp: Queryable = {
        async query(statement) {
          await say(db, event({ kind: "removed" }), event());
          if (when === "after") await today();
          return db.pool.query(statement);
        },
      };
      await recordWith(heldUp, [await fetched(db, photoId!, "shown")]);
      if (when === "before") await today();
      expect(await rows(db, "select state from photos")).toEqual([{ state: "hidden" }]);
    },
  );
});

describe("what was decided of bytes that were replaced", () => {
  /** By the scores of these bytes, fetched so many seconds ago. */
  const seen = (photoId: string, verdict: "shown" | "hidden", bytes: string, agoS = 0): Outcome => {
    const { result, ...outcome } = judged(photoId, verdict);
    const { scores, ...rest } = result as Extract<Outcome["result"], { scores: unknown }>;
    const human = verdict === "hidden" ? 0.97 : 0.01;
    return {
      ...outcome,
      looked: new Date(Date.now() - 1_000 * agoS).toISOString(),
      result: { ...rest, scores: { ...scores, human }, digest: bytes.repeat(64) },
    };
  };
  /** What a policy makes of the scores that were read. */
  const anew = ({ looked: _, ...outcome }: Outcome) => {
    const { digest: __, ...result } = outcome.result as Extract<Outcome["result"], { scores: unknown }>;
    return { ...outcome, policy: "p2", result };
  };
  const policyRun = (db: Database, propose: boolean) =>
    addBackfill(db.pool, { ...ofAll, what: { kind: "policy", policy: "p2", upTo: "9" }, model: "", propose });
  const all = { from: null, to: { after: "9" }, seen: 1, end: true };
  const standing = (db: Database) => rows(db, "select state, policy from photos");

  test.for([false, true])(
    "is no verdict by another policy, whose run had read its scores before (proposals: %s)",
    async (propose, { db }) => {
      const { photoId } = await saidOnce(db, event());
      const before = seen(photoId!, "shown", "a");
      await recordOutcomes(db.pool, [before]);
      const run = await policyRun(db, propose);
      await say(db, event({ kind: "removed" }), event());
      await recordOutcomes(db.pool, [seen(photoId!, "hidden", "b")]);
      expect(await recordAnew(db.pool, run, [anew(before)], all)).toBe(true);
      expect(await readBackfillCounts(db.pool, run)).toMatchObject([{ after: "kept", photos: 1 }]);
      expect(await rows(db, "select * from proposals")).toEqual([]);
      expect(await standing(db)).toEqual([{ state: "hidden", policy: "p1" }]);
    },
  );

  test("is none as another policy had proposed it, but where the same scores stand again", async ({ db }) => {
    const [{ photoId: changed }, { photoId: same }] = [
      await saidOnce(db, event()),
      await saidOnce(db, event({ key: "n" })),
    ];
    const before = [seen(changed!, "shown", "a"), seen(same!, "shown", "a")];
    await recordOutcomes(db.pool, before);
    const run = await policyRun(db, true);
    await recordAnew(db.pool, run, before.map(anew), { ...all, seen: 2 });
    await db.pool.query("update photos set decided_at = decided_at - interval '1 minute'");
    await recordOutcomes(db.pool, [seen(changed!, "hidden", "b")]);
    await undoReview(db.pool, "ann", await decide(db, same!, "hidden"), 60);
    expect(await applyProposals(db.pool, run, "0", "me")).toMatchObject({ taken: 2, changed: 1 });
    expect(await standing(db)).toEqual([
      { state: "hidden", policy: "p1" },
      { state: "shown", policy: "p2" },
    ]);
  });

  test("is none as another model had proposed it, but where the same bytes were judged since, or a copy of them", async ({
    db,
  }) => {
    const photos: string[] = [];
    for (const [key, version] of [
      ["changed"],
      ["same"],
      ["lost"],
      ["keyed"],
      ["versioned", "etag:1"],
    ] as const)
      photos.push((await saidOnce(db, event({ key, version: version ?? "" }))).photoId!);
    const [changed, same, lost, keyed, versioned] = photos as [string, string, string, string, string];
    const run = await addBackfill(db.pool, { ...ofAll, propose: true });
    const page = { ids: photos, unreadable: 0, cursor: { after: versioned }, end: true };
    await feedBackfill(db.pool, run, null, page);
    const proposed = photos.map((id) => ({
      ...seen(id, "shown", "a", 60),
      by: "model:m-2",
      fed: true as const,
    }));
    for (const copy of proposed.slice(3))
      copy.result = { ...copy.result, rendition: true } as Outcome["result"];
    await recordOutcomes(db.pool, proposed);
    await recordOutcomes(db.pool, [
      seen(changed, "hidden", "b"),
      seen(same, "hidden", "a"),
      // the bytes of a copy are others in any case
      seen(keyed, "hidden", "b"),
      seen(versioned, "hidden", "b"),
    ]);
    await fail(db, lost);
    await endBackfills(db.pool);
    expect(await applyProposals(db.pool, run, "0", "me")).toMatchObject({ taken: 5, changed: 2 });
    expect(await rows(db, "select key from public_photos order by 1")).toEqual([
      { key: "same" },
      { key: "versioned" },
    ]);
  });
});

describe("once it was uploaded again and judged, nothing brings the verdict of before back:", () => {
  test("not the rollback of a backfill", async ({ db }) => {
    const { photoId } = await saidOnce(db, event());
    await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
    await say(db, event({ kind: "removed" }), event());
    const run = await addBackfill(db.pool, ofAll);
    await feedBackfill(db.pool, run, null, {
      ids: [photoId!],
      unreadable: 0,
      cursor: { after: photoId! },
      end: true,
    });
    await recordOutcomes(db.pool, [{ ...judged(photoId!, "hidden", "model:m-2"), fed: true }]);
    await endBackfills(db.pool);
    await rollbackBackfill(db.pool, run, "0", "me");
    expect(await rows(db, "select state from photos")).toEqual([{ state: "pending" }]);
    expect(await rows(db, "select photo_id from unqueued")).toEqual([{ photo_id: photoId }]);
  });

  test("not a moderator who takes back what they had hidden", async ({ db }) => {
    const { photoId } = await saidOnce(db, event());
    await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
    const decision = await decide(db, photoId!, "hidden");
    await say(db, event({ kind: "removed" }), event());
    expect(await undoReview(db.pool, "ann", decision, 60)).toMatchObject({ outcome: "changed" });
    expect(await rows(db, "select state from photos")).toEqual([{ state: "hidden" }]);
  });

  test("not what a backfill had proposed of it while it waited", async ({ db }) => {
    const { photoId } = await saidOnce(db, event());
    const run = await addBackfill(db.pool, { ...ofAll, propose: true });
    await feedBackfill(db.pool, run, null, {
      ids: [photoId!],
      unreadable: 0,
      cursor: { after: photoId! },
      end: true,
    });
    await recordOutcomes(db.pool, [{ ...judged(photoId!, "shown", "model:m-2"), fed: true }]);
    await say(db, event({ kind: "removed" }), event());
    await recordOutcomes(db.pool, [judged(photoId!, "hidden")]);
    await endBackfills(db.pool);
    await applyProposals(db.pool, run, "0", "me");
    expect(await rows(db, "select state from photos")).toEqual([{ state: "hidden" }]);
  });

  test("no label is of what a moderator saw before", async ({ db }) => {
    const { photoId } = await saidOnce(db, event());
    await decide(db, photoId!, "hidden");
    const labelled = async () => {
      const found: (Date | null)[] = [];
      for await (const page of reviewedPhotos(db.pool, { since: new Date(0) }))
        found.push(...page.map(({ revivedAt }) => revivedAt));
      return found;
    };
    expect([await labelled(), await photosWithoutReview(db.pool, [photoId!])]).toEqual([[null], []]);
    await say(db, event({ kind: "removed" }), event());
    expect([await labelled(), await photosWithoutReview(db.pool, [photoId!])]).toEqual([[], [photoId]]);
    expect(await decideOnFresh(db, photoId!, "shown")).toBe("done");
    expect(await labelled()).toEqual([expect.any(Date)]);
  });

  test("what a model said before is beside no review", async ({ db }) => {
    const { photoId } = await saidOnce(db, event());
    await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
    await say(db, event({ kind: "removed" }), event());
    await decide(db, photoId!, "hidden");
    for await (const [photo] of reviewedPhotos(db.pool, { since: new Date(0) }))
      expect(photo).toMatchObject({ id: photoId, model: null });
    expect(await rows(db, "select model, model_verdict from reviews")).toEqual([
      { model: null, model_verdict: null },
    ]);
  });

  test("not a moderator who still looks at what was there before", async ({ db }) => {
    const { photoId } = await saidOnce(db, event());
    await recordOutcomes(db.pool, [judged(photoId!, "review")]);
    let [{ seen }] = await rows(db, "select max(id) as seen from verdicts");
    await say(db, event({ kind: "removed" }), event());
    const decideAs = async (verdict: "shown" | "hidden") => {
      const said = { verdict, category: null, human: false, note: null, appeal: null } as const;
      const [answer] = await decideReviews(db.pool, "ann", [
        { id: randomUUID(), photo: photoId!, asOf: seen, ...said },
      ]);
      return answer!.outcome;
    };
    expect(await decideAs("shown")).toBe("withdrawn");
    await recordOutcomes(db.pool, [judged(photoId!, "review")]);
    expect(await decideAs("shown")).toBe("withdrawn");
    // nor does a verdict of their own make them see it
    expect(await decideAs("hidden")).toBe("done");
    expect(await decideAs("shown")).toBe("withdrawn");
    expect(await inPublic(db)).toEqual([]);
    [{ seen }] = await rows(db, "select max(id) as seen from verdicts");
    expect(await decideAs("shown")).toBe("done");
  });

  test("not maitred enqueue of its key, though it is not there", async ({ db }) => {
    const { photoId } = await saidOnce(db, event());
    await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
    await say(db, event({ kind: "removed" }));
    const photo = { store: "s3" as const, bucket: "b", key: "a", version: "", known: {} };
    expect(await registerPhotos(db.pool, [photo], "live")).toMatchObject([{ id: photoId, state: "pending" }]);
    expect(await inPublic(db)).toEqual([]);
  });
});

describe("what has no order and was said long before what is known", () => {
  const earlier = new Date(Date.now() - HOUR_MS);

  test("removes nothing, erasing or not", async ({ db }) => {
    const { photoId } = await saidOnce(db, event({ version: "etag:1", order: "10" }));
    await decide(db, photoId!, "shown");
    const late = event({ kind: "removed", receivedAt: earlier });
    expect(await saidOnce(db, late)).toMatchObject({ outcome: "stale" });
    expect(await recordEvents(db.pool, [late], "right", true)).toMatchObject([{ outcome: "stale" }]);
    expect(await inPublic(db)).toEqual(["etag:1"]);
  });

  test("makes no other photo current", async ({ db }) => {
    await say(db, event({ version: "etag:2" }));
    const late = event({ version: "etag:1", receivedAt: earlier });
    expect(await saidOnce(db, late)).toEqual({ photoId: null, outcome: "stale", queue: false });
    expect(await current(db)).toEqual(["etag:2"]);
  });

  test("counts where it only waited for whoever hears it, as what it is beside did", async ({ db }) => {
    const at = (seconds: number) => new Date(earlier.valueOf() + seconds * 1_000);
    await say(db, event({ version: "etag:1", receivedAt: at(0) }));
    expect(await saidOnce(db, event({ version: "etag:2", receivedAt: at(1) }))).toMatchObject({
      outcome: "accepted",
    });
    expect(await saidOnce(db, event({ kind: "removed", receivedAt: at(2) }))).toMatchObject({
      outcome: "removed",
    });
    expect(await current(db)).toEqual([]);
  });
});

test("a removal erases what it withdraws also where the next upload comes in the same call", async ({
  db,
}) => {
  const old = await saidOnce(db, event({ version: "etag:1", order: "10" }));
  await recordOutcomes(db.pool, [judged(old.photoId!, "hidden")]);
  const both = [event({ kind: "removed", order: "11" }), event({ version: "etag:2", order: "12" })];
  expect(await recordEvents(db.pool, both, "right", true)).toMatchObject([
    { outcome: "removed" },
    { outcome: "accepted", queue: true },
  ]);
  expect(await rows(db, "select version from photos")).toEqual([{ version: "etag:2" }]);
  expect(await rows(db, "select * from verdicts")).toEqual([]);
});

test("a removal that comes twice erases nothing that something else withdrew", async ({ db }) => {
  const removal = event({ kind: "removed", order: "11" });
  await say(db, event({ version: "etag:1", order: "10" }), removal);
  await say(db, event({ version: "etag:2" }), event({ version: "etag:3" }));
  expect(await recordEvents(db.pool, [removal], "right", true)).toMatchObject([{ outcome: "duplicate" }]);
  expect(await rows(db, "select version from photos where version > 'etag:1' order by 1")).toEqual([
    { version: "etag:2" },
    { version: "etag:3" },
  ]);
});

test("a removal erases whatever else is said in the same call, of objects that nobody knows and of uploads before it", async ({
  db,
}) => {
  await say(
    db,
    event({ version: "etag:1", order: "10" }),
    event({ key: "z", version: "etag:1", order: "10" }),
  );
  const call = [
    event({ kind: "removed", order: "11" }),
    event({ version: "etag:1", order: "10" }),
    event({ kind: "removed", key: "z", order: "11" }),
    event({ kind: "removed", key: "unheard", order: "11" }),
  ];
  await recordEvents(db.pool, call, "right", true);
  expect(await rows(db, "select key from photos")).toEqual([]);
});

test("of two versions of one object in one call the last is current, and the verdict of the other is not public", async ({
  db,
}) => {
  const photo = (version: string) => ({ store: "s3" as const, bucket: "b", key: "a", version, known: {} });
  const [first] = await registerPhotos(db.pool, [photo("etag:1")], "live");
  await recordOutcomes(db.pool, [judged(first!.id, "shown")]);
  await registerPhotos(db.pool, [photo("etag:1"), photo("etag:2")], "live");
  expect(await current(db)).toEqual(["etag:2"]);
  await registerPhotos(db.pool, [photo("etag:2"), photo("etag:1")], "live");
  expect(await inPublic(db)).toEqual(["etag:1"]);
});

test("a version that is gone for good has a worker look at what waits for a moderator too", async ({
  db,
}) => {
  const { photoId } = await saidOnce(db, event({ version: "etag:1" }));
  await recordOutcomes(db.pool, [judged(photoId!, "review")]);
  await db.pool.query("delete from unqueued");
  await say(db, event({ kind: "removed", version: "v1", order: "10" }));
  expect(await rows(db, "select photo_id from unqueued")).toEqual([{ photo_id: photoId }]);
});

test("a decision that is taken back has a worker look whether what is shown by it is there", async ({
  db,
}) => {
  const { photoId } = await saidOnce(db, event({ version: "etag:1" }));
  await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
  const decision = await decide(db, photoId!, "hidden");
  await say(db, event({ kind: "removed", version: "v1", order: "10" }));
  await db.pool.query("delete from unqueued");
  await db.pool.query("update photos set lane = 'backfill'");
  expect(await undoReview(db.pool, "ann", decision, 60)).toMatchObject({ outcome: "done" });
  expect(await rows(db, "select photo_id, lane from unqueued u join photos p on p.id = u.photo_id")).toEqual([
    { photo_id: photoId, lane: "live" },
  ]);
});

test("a destination that missed it is told of a photo that is current again", async ({ db }) => {
  const { photoId } = await saidOnce(db, event({ version: "etag:1", order: "10" }));
  await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
  await say(db, event({ kind: "removed", order: "11" }));
  const [{ now }] = await rows(db, "select now()");
  await say(db, event({ version: "etag:1", order: "12" }));
  await addDestination(
    db.pool,
    { id: "w", kind: "webhook", bucket: null, url: "https://app.example/hook" },
    "whsec_c2VjcmV0",
  );
  expect(await tellAgain(db.pool, "w", now, "0", 10)).toMatchObject({ told: 1 });
});
