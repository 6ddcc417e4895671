import { randomUUID } from "node:crypto";
import { describe, expect } from "vitest";
import { readBackfillCounts } from "../../src/store/backfill-counts.ts";
import { endBackfills, feedBackfill } from "../../src/store/backfill-feed.ts";
import { addBackfill, applyProposals, rollbackBackfill } from "../../src/store/backfills.ts";
import { photosWithoutReview, reviewedPhotos } from "../../src/store/labels.ts";
import { registerPhotos } from "../../src/store/photos.ts";
import { decideReviews, undoReview } from "../../src/store/reviews.ts";
import { type Outcome, recordAnew, recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, rows, test } from "../fixtures.ts";
import { one, publicVersions, record, told } from "../recorded.ts";
import { decide, fail, judged, loadedNow, ofAll, register, removeObject } from "../verdicts.ts";

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
      const { photoId } = await one(db, told());
      const before = seen(photoId!, "shown", "a");
      await recordOutcomes(db.pool, [before]);
      const run = await policyRun(db, propose);
      await record(db, told({ kind: "removed" }), told());
      await recordOutcomes(db.pool, [seen(photoId!, "hidden", "b")]);
      expect(await recordAnew(db.pool, run, [anew(before)], all)).toBe(true);
      expect(await readBackfillCounts(db.pool, run)).toMatchObject([{ after: "kept", photos: 1 }]);
      expect(await rows(db, "select * from proposals")).toEqual([]);
      expect(await standing(db)).toEqual([{ state: "hidden", policy: "p1" }]);
    },
  );

  test("stands for copies of them, whatever a moderator makes of what is there now", async ({ db }) => {
    const { photoId } = await one(db, told());
    const [other, copy] = [await register(db, "b"), await register(db, "c")];
    await recordOutcomes(db.pool, [seen(photoId!, "shown", "a"), seen(other, "shown", "a")]);
    await decide(db, other);
    await record(db, told({ kind: "removed" }), told());
    await fail(db, photoId!);
    await decide(db, photoId!, { verdict: "shown", asOf: await loadedNow(db) });
    await recordOutcomes(db.pool, [seen(copy, "shown", "a")]);
    const [{ state, rule }] = await rows(db, "select state, rule from photos where id = $1", copy);
    expect([state, rule]).toEqual(["review", "hidden-copy"]);
  });

  test("is known by the scores that a copy has of it, whatever is there now", async ({ db }) => {
    const { photoId } = await one(db, told());
    const [copy, later] = [await register(db, "b"), await register(db, "c")];
    const before = seen(photoId!, "shown", "a");
    const { digest, ...result } = before.result as { digest: string } & typeof before.result;
    const ofCopy = { photoId: copy, batch: `same-${photoId}`, result: { ...result, copyOf: digest } };
    await recordOutcomes(db.pool, [before]);
    await recordOutcomes(db.pool, [{ ...before, ...ofCopy }]);
    await record(db, told({ kind: "removed" }), told());
    await recordOutcomes(db.pool, [seen(photoId!, "hidden", "b")]);
    await decide(db, copy);
    await recordOutcomes(db.pool, [seen(later, "shown", "a")]);
    const [{ state, rule }] = await rows(db, "select state, rule from photos where id = $1", later);
    expect([state, rule]).toEqual(["review", "hidden-copy"]);
  });

  test("is none as another policy had proposed it, but where the same scores stand again", async ({ db }) => {
    const [{ photoId: changed }, { photoId: same }] = [
      await one(db, told()),
      await one(db, told({ key: "n" })),
    ];
    const before = [seen(changed!, "shown", "a"), seen(same!, "shown", "a")];
    await recordOutcomes(db.pool, before);
    const run = await policyRun(db, true);
    await recordAnew(db.pool, run, before.map(anew), { ...all, seen: 2 });
    await db.pool.query("update photos set decided_at = decided_at - interval '1 minute'");
    await recordOutcomes(db.pool, [seen(changed!, "hidden", "b")]);
    await undoReview(db.pool, "ann", await decide(db, same!, { human: false }), 60);
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
      photos.push((await one(db, told({ key, version: version ?? "" }))).photoId!);
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
    const { photoId } = await one(db, told());
    await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
    await record(db, told({ kind: "removed" }), told());
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
    const { photoId } = await one(db, told());
    await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
    const decision = await decide(db, photoId!, { human: false });
    await record(db, told({ kind: "removed" }), told());
    expect(await undoReview(db.pool, "ann", decision, 60)).toMatchObject({ outcome: "changed" });
    expect(await rows(db, "select state from photos")).toEqual([{ state: "hidden" }]);
  });

  test("not what a backfill had proposed of it while it waited", async ({ db }) => {
    const { photoId } = await one(db, told());
    const run = await addBackfill(db.pool, { ...ofAll, propose: true });
    await feedBackfill(db.pool, run, null, {
      ids: [photoId!],
      unreadable: 0,
      cursor: { after: photoId! },
      end: true,
    });
    await recordOutcomes(db.pool, [{ ...judged(photoId!, "shown", "model:m-2"), fed: true }]);
    await record(db, told({ kind: "removed" }), told());
    await recordOutcomes(db.pool, [judged(photoId!, "hidden")]);
    await endBackfills(db.pool);
    await applyProposals(db.pool, run, "0", "me");
    expect(await rows(db, "select state from photos")).toEqual([{ state: "hidden" }]);
  });

  test("no label is of what a moderator saw before", async ({ db }) => {
    const { photoId } = await one(db, told());
    await decide(db, photoId!, { category: "food", human: false });
    const labelled = async () => {
      const found: unknown[] = [];
      for await (const page of reviewedPhotos(db.pool, { since: new Date(0) }))
        found.push(...page.map(({ revivedAt, category, human }) => [revivedAt, category, human]));
      return found;
    };
    const first = [null, "food", false];
    expect([await labelled(), await photosWithoutReview(db.pool, [photoId!])]).toEqual([[first], []]);
    await record(db, told({ kind: "removed" }), told());
    expect([await labelled(), await photosWithoutReview(db.pool, [photoId!])]).toEqual([[], [photoId]]);
    await decide(db, photoId!, { verdict: "shown", asOf: await loadedNow(db) });
    expect(await labelled()).toEqual([[expect.any(Date), null, null]]);
    // of what has an etag the bytes are the same, whenever it is there
    const named = await register(db, "b");
    await decide(db, named, { category: "food", human: false });
    await removeObject(db, "b");
    await register(db, "b");
    expect(await labelled()).toContainEqual(first);
  });

  test("what a model said before is beside no review", async ({ db }) => {
    const { photoId } = await one(db, told());
    await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
    await record(db, told({ kind: "removed" }), told());
    await decide(db, photoId!, { human: false });
    for await (const [photo] of reviewedPhotos(db.pool, { since: new Date(0) }))
      expect(photo).toMatchObject({ id: photoId, model: null });
    expect(await rows(db, "select model, model_verdict from reviews")).toEqual([
      { model: null, model_verdict: null },
    ]);
  });

  test("not a moderator who still looks at what was there before", async ({ db }) => {
    const { photoId } = await one(db, told());
    await recordOutcomes(db.pool, [judged(photoId!, "review")]);
    let [{ seen }] = await rows(db, "select max(id) as seen from verdicts");
    await record(db, told({ kind: "removed" }), told());
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
    expect(await publicVersions(db)).toEqual([]);
    [{ seen }] = await rows(db, "select max(id) as seen from verdicts");
    expect(await decideAs("shown")).toBe("done");
  });

  test("not maitred enqueue of its key, though it is not there", async ({ db }) => {
    const { photoId } = await one(db, told());
    await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
    await record(db, told({ kind: "removed" }));
    const photo = { store: "s3" as const, bucket: "b", key: "a", version: "", known: {} };
    expect(await registerPhotos(db.pool, [photo], "live")).toMatchObject([{ id: photoId, state: "pending" }]);
    expect(await publicVersions(db)).toEqual([]);
  });
});
