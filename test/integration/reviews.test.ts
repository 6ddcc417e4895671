import { describe, expect } from "vitest";
import { registerPhotos } from "../../src/store/photos.ts";
import { undoReview } from "../../src/store/reviews.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, rows, test, transaction } from "../fixtures.ts";
import { decide, failed, judged, register as registered, removeObject } from "../verdicts.ts";
import { until, waitersIn } from "../waits.ts";

const shownAsFood = (photoId: string, by = "model:restaurant-6") => judged(photoId, "shown", by);
const register = async (db: Database): Promise<string> =>
  (
    await registerPhotos(db.pool, [{ store: "s3", bucket: "b", key: "a", version: "1", known: {} }], "live")
  )[0]!.id;
const review = (db: Database, ...args: unknown[]) =>
  db.pool.query(
    `select record_review(${args.map((_, index) => `$${index + 1}`).join(", ")}) as verdict_id`,
    args,
  );
const photo = async (db: Database, id: string) =>
  (await db.pool.query("select * from photos where id = $1", [id])).rows[0];

describe("record_review", () => {
  test("writes history, state, tags and what the moderator saw, and leaves the model's verdict in history", async ({
    db,
  }) => {
    const id = await register(db);
    await recordOutcomes(db.pool, [shownAsFood(id)]);
    const { verdict_id } = (await review(db, id, "ann", "hidden", "menu", true, true, "a waiter")).rows[0];
    expect(await photo(db, id)).toMatchObject({
      state: "hidden",
      category: "menu",
      rule: "moderator",
      reason: "a waiter",
      decided_by: "moderator:ann",
      policy: null,
    });
    expect(await rows(db, "select verdict, decided_by, category from verdicts order by id")).toEqual([
      { verdict: "shown", decided_by: "model:restaurant-6", category: "food" },
      { verdict: "hidden", decided_by: "moderator:ann", category: "menu" },
    ]);
    expect(await rows(db, "select * from reviews")).toEqual([
      {
        ...{ verdict_id, photo_id: id, category: "menu", human: true, audit: true },
        ...{ moderator: "ann", at: expect.any(Date), verdict: "hidden" },
        ...{
          model: "model:restaurant-6",
          model_verdict: "shown",
          model_rule: "clear",
          model_category: "food",
        },
        digest: null,
      },
    ]);
    expect(await rows(db, "select category, score, model from tags")).toEqual([
      { category: "menu", score: 1, model: "moderator:ann" },
    ]);
  });

  test("keeps category and tags where the moderator gave none, and puts a failed photo right", async ({
    db,
  }) => {
    const id = await register(db);
    await recordOutcomes(db.pool, [shownAsFood(id)]);
    await review(db, id, "ann", "shown");
    expect(await photo(db, id)).toMatchObject({ category: "food", reason: "decided by ann" });
    expect(await rows(db, "select category, model from tags")).toEqual([
      { category: "food", model: "model:restaurant-6" },
    ]);
    const other = (
      await registerPhotos(db.pool, [{ store: "s3", bucket: "b", key: "z", version: "1", known: {} }], "live")
    )[0]!.id;
    await recordOutcomes(db.pool, [failed(other, false)]);
    await review(db, other, "ann", "hidden");
    expect(await photo(db, other)).toMatchObject({ state: "hidden", failure: null });
  });

  test("no model and no failure overwrites a moderator's verdict, also one that is in flight", async ({
    db,
  }) => {
    const id = await register(db);
    await Promise.all([
      review(db, id, "ann", "hidden", "menu", true),
      ...[1, 2, 3, 4].map((n) => recordOutcomes(db.pool, [shownAsFood(id, `model:m-${n}`)])),
    ]);
    const later = [shownAsFood(id, "model:new"), failed(id, true), failed(id, false)];
    for (const outcome of later)
      expect(await recordOutcomes(db.pool, [outcome])).toEqual(new Map([[id, { changed: false }]]));
    expect(await photo(db, id)).toMatchObject({ state: "hidden", decided_by: "moderator:ann" });
    expect(await rows(db, "select category, model from tags")).toEqual([
      { category: "menu", model: "moderator:ann" },
    ]);
  });

  test("waits for a model's verdict that is being committed, comes after it in history, and wins", async ({
    db,
  }) => {
    const id = await register(db);
    const client = await transaction(db);
    await client.query("select 1 from photos where id = $1 for update", [id]);
    const reviewed = review(db, id, "ann", "hidden");
    const waits =
      "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%record_review%'";
    await until(
      () => rows(db, waits),
      ({ length }) => length > 0,
    );
    await client.query(
      "update photos set state = 'shown', decided_by = 'model:m', decided_at = now() where id = $1",
      [id],
    );
    await client.query(
      "insert into verdicts (photo_id, verdict, rule, reason, decided_by) values ($1, 'shown', 'clear', '', 'model:m')",
      [id],
    );
    await client.finish("commit");
    await reviewed;
    expect(await rows(db, "select decided_by from verdicts order by id")).toEqual([
      { decided_by: "model:m" },
      { decided_by: "moderator:ann" },
    ]);
    expect(await photo(db, id)).toMatchObject({ state: "hidden", decided_by: "moderator:ann" });
  });

  test("another moderator decides anew, and history keeps both", async ({ db }) => {
    const id = await register(db);
    await review(db, id, "ann", "hidden", "menu", true);
    await review(db, id, "bob", "shown", "food", false);
    expect(await photo(db, id)).toMatchObject({ state: "shown", decided_by: "moderator:bob" });
    expect(await rows(db, "select human from reviews order by verdict_id")).toEqual([
      { human: true },
      { human: false },
    ]);
  });

  test("refuses a photo that is not there, a verdict that decides nothing, and nobody's", async ({ db }) => {
    const id = await register(db);
    await expect(review(db, "999", "ann", "shown")).rejects.toMatchObject({ code: "MD404" });
    for (const verdict of ["review", "failed", "pending", null])
      await expect(review(db, id, "ann", verdict)).rejects.toMatchObject({ code: "22023" });
    for (const nobody of ["", null])
      await expect(review(db, id, nobody, "shown")).rejects.toMatchObject({ code: "22023" });
    expect(await rows(db, "select from verdicts")).toEqual([]);
  });

  test("is history: nothing of it is changed, and a worker's role may add to it", async ({ db }) => {
    const id = await register(db);
    const client = await db.pool.connect();
    try {
      await client.query("set role maitred_worker");
      await client.query("select record_review($1, 'ann', 'shown', 'food', false)", [id]);
      await expect(client.query("update reviews set human = true")).rejects.toMatchObject({ code: "42501" });
      await client.query("set role maitred_dashboard");
      await expect(client.query("select * from reviews")).rejects.toMatchObject({ code: "42501" });
    } finally {
      await client.query("reset role");
      client.release();
    }
    await expect(db.pool.query("update reviews set human = true")).rejects.toMatchObject({ code: "MD409" });
    await db.pool.query("delete from photos");
    expect(await rows(db, "select from reviews")).toEqual([]);
  });
});

/** Two photos of the same bytes. */
async function copies(db: Database) {
  const photos = ["a", "b"].map(
    (key) => ({ store: "s3", bucket: "b", key, version: "1", known: {} }) as const,
  );
  const ids = (await registerPhotos(db.pool, photos, "live")).map(({ id }) => id) as [string, string];
  const judge = (id: string) => {
    const outcome = shownAsFood(id);
    return recordOutcomes(db.pool, [{ ...outcome, result: { ...outcome.result, digest: "d1".repeat(32) } }]);
  };
  return { ids, judge };
}

test("what a moderator had shown is shown again by an undo, whoever hid the same bytes since", async ({
  db,
}) => {
  const { ids, judge } = await copies(db);
  for (const id of ids) await judge(id);
  const [shown, copy] = ids;
  await decide(db, shown, { verdict: "shown" }, "bob");
  await decide(db, copy);
  const mistake = await decide(db, shown, {}, "bob");
  await undoReview(db.pool, "bob", mistake, 60);
  expect(await photo(db, shown)).toMatchObject({ state: "shown", decided_by: "moderator:bob" });
});

test("a decision on what was uploaded again since is not taken back, as nobody has judged that", async ({
  db,
}) => {
  const id = await registered(db, "a", "");
  await recordOutcomes(db.pool, [shownAsFood(id)]);
  const made = await decide(db, id, { verdict: "shown" });
  await removeObject(db, "a");
  expect(await registered(db, "a", "")).toBe(id);
  expect(await photo(db, id)).toMatchObject({ state: "pending" });
  expect(await undoReview(db.pool, "ann", made, 60)).toMatchObject({ outcome: "changed" });
  expect(await photo(db, id)).toMatchObject({ state: "pending" });
});

test("a photo that is being judged as a moderator hides its bytes elsewhere waits for a moderator", async ({
  db,
}) => {
  const { ids, judge } = await copies(db);
  const [first, copy] = ids;
  await judge(first);
  const tagging = await db.pool.connect();
  await tagging.query("begin; lock table tags in exclusive mode");
  const judging = judge(copy);
  await waitersIn(db, 1);
  const hiding = decide(db, first);
  await Promise.race([hiding, waitersIn(db, 2)]);
  await tagging.query("commit");
  tagging.release();
  await Promise.all([judging, hiding]);
  expect(await photo(db, copy)).toMatchObject({ state: "review", rule: "hidden-copy" });
});
