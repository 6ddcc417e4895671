import { randomUUID } from "node:crypto";
import { describe, expect } from "vitest";
import type { Decision } from "../../src/http/desk/deps.ts";
import { endBackfills, feedBackfill } from "../../src/store/backfill-feed.ts";
import { addBackfill, rollbackBackfill } from "../../src/store/backfills.ts";
import { unqueuedPhotos } from "../../src/store/events.ts";
import { keepPolicy, scoredPhotos } from "../../src/store/policies.ts";
import { decideReviews, undoReview } from "../../src/store/reviews.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, rows, test } from "../fixtures.ts";
import { ended } from "../maitred.ts";
import { decide, decision, fail, judge, judged, ofAll, register } from "../verdicts.ts";

const undo = async (db: Database, id: string): Promise<string> =>
  (await undoReview(db.pool, "ann", id, 60)).outcome;
/** All of its row, and its tags. */
const whole = async (db: Database, id: string) =>
  (
    await rows(
      db,
      `select p.*, (select json_agg(t order by t.category) from tags t where t.photo_id = p.id) as tags
      from photos p where id = $1`,
      id,
    )
  )[0];
/** So that its tags can be given again. */
const known = (db: Database) =>
  keepPolicy(db.pool, { id: "p1", yaml: "", thresholds: { food: 0.5, menu: 0.5 } });
/** A backfill whose model hides these photos; it is over. */
async function backfilled(db: Database, ids: string[], by = "model:bad"): Promise<string> {
  const id = await addBackfill(db.pool, { ...ofAll, model: by });
  await feedBackfill(db.pool, id, null, { ids, cursor: { after: "x" }, end: true, unreadable: 0 });
  await recordOutcomes(
    db.pool,
    ids.map((photo) => ({ ...judged(photo, "hidden", by), fed: true as const })),
  );
  await endBackfills(db.pool);
  return id;
}
const rollBack = async (db: Database, id: string): Promise<number> =>
  (await rollbackBackfill(db.pool, id, "0", "oda"))?.restored ?? 0;

describe("taking a decision back", () => {
  const states: Record<string, (db: Database, id: string) => Promise<unknown>> = {
    shown: (db, id) => judge(db, id, "shown"),
    hidden: (db, id) => judge(db, id, "hidden"),
    review: (db, id) => judge(db, id, "review"),
    failed: (db, id) => fail(db, id),
    "decided by another moderator": (db, id) => decide(db, id, { verdict: "shown", category: "menu" }, "bob"),
    "decided without a category": (db, id) =>
      judge(db, id, "shown").then(() => decide(db, id, { human: true }, "bob")),
  };
  const saying = [
    {},
    { category: "food" },
    { verdict: "shown", category: "menu", human: false },
    { human: true, note: "no" },
  ] as const;

  test.for(Object.entries(states))("leaves a photo as it was that was %s", async ([, make], { db }) => {
    const id = await register(db, "a");
    await make(db, id);
    const before = await whole(db, id);
    for (const said of saying) {
      await undo(db, await decide(db, id, said));
      expect(await whole(db, id)).toEqual(before);
    }
    const first = await decide(db, id, { verdict: "shown", category: "other" });
    const second = await decide(db, id, { verdict: "hidden" });
    expect(await undo(db, first)).toBe("changed");
    expect([await undo(db, second), await undo(db, first)]).toEqual(["done", "done"]);
    expect(await whole(db, id)).toEqual(before);
  });

  test("leaves a photo pending that was, says so in its reason, and has it queued, since its job may be gone", async ({
    db,
  }) => {
    const id = await register(db, "a");
    const before = await whole(db, id);
    const made = await decide(db, id, { category: "menu", human: true });
    // its job comes, and goes
    expect(await recordOutcomes(db.pool, [judged(id, "shown")])).toEqual(new Map([[id, { changed: false }]]));
    expect(await unqueuedPhotos(db.pool, 0, 10)).toEqual([]);
    await undo(db, made);
    expect(await whole(db, id)).toEqual({ ...before, rule: "undo", reason: "taken back by ann" });
    expect(await unqueuedPhotos(db.pool, 0, 10)).toMatchObject([{ id, lane: "live" }]);
    await undo(db, await decide(db, id));
    expect(await unqueuedPhotos(db.pool, 0, 10)).toHaveLength(1);
    await recordOutcomes(db.pool, [judged(id, "shown")]);
    expect(await whole(db, id)).toMatchObject({ state: "shown", rule: "clear", reason: "because" });
  });

  test("has a photo that is shown again judged anew: another model or policy may have come meanwhile", async ({
    db,
  }) => {
    for (const verdict of ["shown", "hidden", "review"] as const) {
      const id = await register(db, verdict, "3HL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY");
      await judge(db, id, verdict);
      await rows(db, "update photos set lane = 'backfill' where id = $1", id);
      await undo(db, await decide(db, id));
      expect(await whole(db, id)).toMatchObject({ state: verdict });
    }
    const seen = await register(db, "seen");
    await decide(db, seen, { verdict: "shown" }, "bob");
    await undo(db, await decide(db, seen));
    // what is hidden or in review stays so until somebody looks, and what a moderator shows has been looked at
    expect(await unqueuedPhotos(db.pool, 0, 10)).toMatchObject([{ key: "shown", lane: "live" }]);
  });

  test("queues no photo that was replaced meanwhile", async ({ db }) => {
    const id = await register(db, "a");
    const made = await decide(db, id);
    await register(db, "a", "etag:2");
    const { superseded_at } = await whole(db, id);
    await undo(db, made);
    expect(await whole(db, id)).toMatchObject({ state: "pending", superseded_at });
    expect(superseded_at).toBeInstanceOf(Date);
    expect(await unqueuedPhotos(db.pool, 0, 10)).toEqual([]);
  });

  test("is in history with who took it back, and with what stands again: its scores and who gave it", async ({
    db,
  }) => {
    const id = await register(db, "a");
    await judge(db, id, "shown");
    const [first] = await rows(db, "select * from verdicts");
    await undo(db, await decide(db, id));
    const [, , last] = await rows(db, "select * from verdicts order by id");
    expect(last).toMatchObject({
      rule: "undo",
      reason: "taken back by ann: because",
      verdict: "shown",
      scores: first.scores,
      human: first.human,
      decided_by: first.decided_by,
      policy: first.policy,
      batch: null,
      digest: null,
    });
    // another policy can decide by these scores, and another model anew
    const scored = await scoredPhotos(db.pool, "p2", "0", id, 10);
    expect(scored).toMatchObject({ found: [{ id, scores: first.scores }], end: true });
    await judge(db, id, "hidden");
    expect(await whole(db, id)).toMatchObject({ state: "hidden" });
  });

  test("is no judgement of a model to any count", async ({ db }) => {
    const id = await register(db, "a");
    await judge(db, id, "shown");
    const counts = () => rows(db, "select * from score_counts order by score");
    const before = await counts();
    expect(before).toHaveLength(2);
    await undo(db, await decide(db, id));
    expect(await counts()).toEqual(before);
    await decide(db, id);
    expect(await rows(db, "select model_rule, reviews from review_counts")).toEqual([
      { model_rule: "clear", reviews: "1" },
    ]);
    expect(await rows(db, "select * from check_rollups()")).toEqual([]);
  });
});

describe("a photo whose decision is taken back", () => {
  const claimed = (db: Database, id: string, page: string, seconds = 60, by = "ann") =>
    rows(
      db,
      `insert into review_claims values ($1, $2, 'check', now() + make_interval(secs => $3), $4)
      on conflict (photo_id) do update set moderator = $2, until = excluded.until, page = $4`,
      id,
      by,
      seconds,
      page,
    );
  const undone = async (db: Database, id: string) => (await undoReview(db.pool, "ann", id, 60, "a")).kind;
  const holder = (db: Database) =>
    rows(db, "select moderator, page, until > now() as holds from review_claims");

  test("is held by the page that took it back, also where somebody's claim has ended", async ({ db }) => {
    const id = await register(db, "a");
    for (const ended of [undefined, ["b", "ann"], ["c", "bob"]] as const) {
      await claimed(db, id, "a");
      const made = await decide(db, id);
      if (ended) await claimed(db, id, ended[0], -1, ended[1]);
      expect([await undone(db, made), await holder(db)]).toEqual([
        "check",
        [{ moderator: "ann", page: "a", holds: true }],
      ]);
    }
  });

  test("stays with whoever holds it, and so with another page of the same person", async ({ db }) => {
    const id = await register(db, "a");
    for (const [page, by] of [
      ["b", "ann"],
      ["a", "bob"],
    ] as const) {
      await claimed(db, id, "a");
      const made = await decide(db, id);
      await claimed(db, id, page, 60, by);
      expect([await undone(db, made), await holder(db)]).toEqual([
        null,
        [{ moderator: by, page, holds: true }],
      ]);
    }
  });
});

describe("a backfill that is rolled back", () => {
  test("takes no decision for one that was taken back, and restores who had judged, whom a model may follow", async ({
    db,
  }) => {
    await known(db);
    const id = await register(db, "a");
    await judge(db, id, "shown");
    const before = await whole(db, id);
    await undo(db, await decide(db, id));
    const bad = await backfilled(db, [id]);
    await undo(db, await decide(db, id, { category: "menu" }));
    expect(await whole(db, id)).toMatchObject({ state: "hidden", decided_by: "model:bad" });
    expect(await rollBack(db, bad)).toBe(1);
    expect(await whole(db, id)).toEqual(before);
    expect(await rollBack(db, bad)).toBe(0);
    await judge(db, id, "hidden");
    expect(await whole(db, id)).toMatchObject({ state: "hidden" });
  });

  test("keeps a decision that stands, and does not come back when that is taken back", async ({ db }) => {
    await known(db);
    const ids = [await register(db, "a"), await register(db, "b")];
    await judge(db, ids[0]!, "shown");
    const before = await whole(db, ids[0]!);
    const bad = await backfilled(db, ids);
    const made = [await decide(db, ids[0]!), await decide(db, ids[1]!)];
    expect(await rollBack(db, bad)).toBe(0);
    for (const id of made) expect(await undo(db, id)).toBe("done");
    expect(await whole(db, ids[0]!)).toEqual(before);
    expect(await whole(db, ids[1]!)).toMatchObject({
      state: "pending",
      reason: `backfill ${bad} was rolled back`,
    });
  });

  test("in any order with another that judged the same photos later, leaves what was before both", async ({
    db,
  }) => {
    await known(db);
    for (const order of [
      [0, 1],
      [1, 0],
    ] as const) {
      const ids = [await register(db, `a${order}`), await register(db, `b${order}`)];
      await judge(db, ids[0]!, "shown");
      const before = await whole(db, ids[0]!);
      const runs = [await backfilled(db, ids, "model:bad"), await backfilled(db, ids, "model:worse")];
      await rollBack(db, runs[order[0]]!);
      expect(await whole(db, ids[0]!)).toMatchObject({
        state: "hidden",
        decided_by: order[0] === 0 ? "model:worse" : "model:bad",
      });
      await rollBack(db, runs[order[1]]!);
      expect(await whole(db, ids[0]!)).toEqual(before);
      expect(await whole(db, ids[1]!)).toMatchObject({ state: "pending" });
    }
  });

  test("has an upload queued that had no verdict before, since its job may be gone, and counts what of the archive has none", async ({
    db,
  }) => {
    const ids: string[] = [];
    for (const key of ["upload", "archive", "waiting", "replaced", "judged"])
      ids.push(await register(db, key));
    const [upload, archive, waiting, replaced, again] = ids;
    await rows(db, "update photos set lane = 'backfill' where id <> $1", upload);
    await judge(db, again!, "shown");
    const bad = await backfilled(db, ids);
    // the upload's own job comes too late to say anything new
    await recordOutcomes(db.pool, [judged(upload!, "hidden", "model:bad")]);
    await rows(db, "update photos set superseded_at = now() where id = $1", replaced);
    const next = await addBackfill(db.pool, { ...ofAll, again: true });
    await feedBackfill(db.pool, next, null, {
      ids: [waiting!],
      cursor: { after: waiting! },
      end: true,
      unreadable: 0,
    });
    expect(await rollbackBackfill(db.pool, bad, "0", "oda")).toMatchObject({ restored: 5, pending: 1 });
    expect(await unqueuedPhotos(db.pool, 0, 10)).toMatchObject([{ id: upload }]);
    // whoever was interrupted and begins again is told the same
    const { code, out } = await ended(["backfill", "rollback", bad], { DATABASE_URL: db.url });
    expect(code).toBe(0);
    expect(out).toMatch(
      /^there was nothing of backfill .*\n1 photo of it has no verdict.*maitred backfill start --missing/,
    );
    await judge(db, archive!, "shown");
    expect(await rollbackBackfill(db.pool, bad, "0", "oda")).toMatchObject({ restored: 0, pending: 0 });
  });

  test("has a photo of the archive queued whose decision is taken back only then, and that nobody has judged", async ({
    db,
  }) => {
    const id = await register(db, "archive");
    await rows(db, "update photos set lane = 'backfill'");
    const bad = await backfilled(db, [id]);
    const made = await decide(db, id);
    expect(await rollbackBackfill(db.pool, bad, "0", "oda")).toMatchObject({ restored: 0, pending: 0 });
    expect(await undo(db, made)).toBe("done");
    expect(await whole(db, id)).toMatchObject({ state: "pending" });
    expect(await unqueuedPhotos(db.pool, 0, 10)).toMatchObject([{ id, lane: "backfill" }]);
  });
});

describe("a decision that is sent again", () => {
  test("is known only if it is the same and still counts", async ({ db }) => {
    const [id, other] = [await register(db, "a"), await register(db, "b")];
    const made = decision(id, { category: "menu", human: true });
    const send = async (over: Partial<Decision> = {}, by = "ann") => {
      const [answer] = await decideReviews(db.pool, by, [{ ...made, ...over }]);
      return `${answer!.outcome} ${answer!.by ?? ""}`.trim();
    };
    expect([await send(), await send()]).toEqual(["done", "known"]);
    expect(await send({ note: "said differently" })).toBe("known");
    for (const over of [
      { photo: other },
      { verdict: "shown" },
      { category: null },
      { human: false },
    ] as const)
      expect(await send(over), JSON.stringify(over)).toBe("clash");
    expect(await send({}, "bob")).toBe("clash");
    await undo(db, made.id);
    expect(await send()).toBe("changed ann");
    expect(await whole(db, id)).toMatchObject({ state: "pending" });
    expect(await send({ id: randomUUID() })).toBe("done");
  });
});
