import { describe, expect } from "vitest";
import { unqueuedState } from "../../src/store/events.ts";
import { oldestPendingS, photosToReplay, readPhotos, registerPhotos } from "../../src/store/photos.ts";
import { type Outcome, recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, test } from "../fixtures.ts";
import { register } from "../verdicts.ts";

const verdict = (photoId: string, over: Partial<Outcome> = {}, human = 0.01): Outcome => ({
  photoId,
  known: {},
  batch: "t-1",
  by: "model:restaurant-1",
  policy: "p1",
  result: {
    scores: { categories: { food: 0.9, menu: 0.1 }, human },
    decision: {
      verdict: human > 0.5 ? "hidden" : "shown",
      rule: human > 0.5 ? "human" : "clear",
      reason: "because",
      category: "food",
      tags: [{ category: "food", score: 0.9, threshold: 0.6 }],
    },
  },
  ...over,
});

const failure = (photoId: string, code: "CORRUPT" | "STORE_UNAVAILABLE", transient: boolean): Outcome => ({
  ...verdict(photoId),
  result: { failure: code, message: "no\0pe\ud83c", transient },
});

const stateOf = async (db: Database, id: string) => (await readPhotos(db.pool, [id]))[0]!;

const count = async (db: Database, from: string): Promise<number> =>
  Number((await db.pool.query(`select count(*) from ${from}`)).rows[0].count);

describe("recordOutcomes", () => {
  test("writes verdict, tags and history once, however often and from wherever it is recorded", async ({
    db,
  }) => {
    const id = await register(db, "a");
    const answers = await Promise.all([1, 2, 3, 4].map(() => recordOutcomes(db.pool, [verdict(id)])));
    expect(answers.filter((changed) => changed.get(id)?.changed)).toHaveLength(1);
    expect(await count(db, "verdicts")).toBe(1);
    expect((await db.pool.query("select category, score, threshold, model from tags")).rows).toEqual([
      { category: "food", score: 0.9, threshold: 0.6, model: "model:restaurant-1" },
    ]);
    expect(await stateOf(db, id)).toMatchObject({ state: "shown", category: "food", reason: "because" });
  });

  test("what was judged of one object is no verdict of another that has its id, as after the last commits were lost", async ({
    db,
  }) => {
    const id = await register(db, "a");
    for (const other of [
      { bucket: "photos", key: "b" },
      { bucket: "others", key: "a" },
    ])
      expect(await recordOutcomes(db.pool, [verdict(id, { object: other })])).toEqual(new Map());
    expect(await stateOf(db, id)).toMatchObject({ state: "pending" });
    await recordOutcomes(db.pool, [verdict(id, { object: { bucket: "photos", key: "a" } })]);
    expect(await stateOf(db, id)).toMatchObject({ state: "shown" });
  });

  test("groups that share photos in opposite orders do not deadlock", async ({ db }) => {
    const ids = await Promise.all(Array.from({ length: 40 }, (_, n) => register(db, `k${n}`)));
    const groups = Array.from({ length: 12 }, (_, n) =>
      (n % 2 ? ids : ids.toReversed()).map((id) => verdict(id, { policy: `p${n}` })),
    );
    await expect(Promise.all(groups.map((group) => recordOutcomes(db.pool, group)))).resolves.toHaveLength(
      12,
    );
  });

  test("another model or policy gives a new verdict, its tags replace the old, and history keeps both", async ({
    db,
  }) => {
    const id = await register(db, "a");
    await recordOutcomes(db.pool, [verdict(id)]);
    const next = verdict(id, { by: "model:restaurant-6" }, 0.9);
    if ("decision" in next.result)
      next.result.decision.tags = [{ category: "menu", score: 0.7, threshold: 0.6 }];
    expect((await recordOutcomes(db.pool, [next])).get(id)).toEqual({ changed: true });
    expect((await db.pool.query("select category, model from tags")).rows).toEqual([
      { category: "menu", model: "model:restaurant-6" },
    ]);
    expect(
      (await db.pool.query("select verdict from verdicts order by id")).rows.map((row) => row.verdict),
    ).toEqual(["shown", "hidden"]);
    expect(await count(db, "public_photos")).toBe(0);
  });

  test("a moderator's verdict is never overwritten by a model", async ({ db }) => {
    const id = await register(db, "a");
    await recordOutcomes(db.pool, [verdict(id, { by: "moderator:ann" }, 0.9)]);
    expect((await recordOutcomes(db.pool, [verdict(id), failure(id, "CORRUPT", false)])).get(id)).toEqual({
      changed: false,
    });
    expect((await recordOutcomes(db.pool, [failure(id, "CORRUPT", false)])).get(id)).toEqual({
      changed: false,
    });
    expect(await stateOf(db, id)).toMatchObject({ state: "hidden" });
  });

  test("a failed photo is listed with its code, and can still be judged", async ({ db }) => {
    const id = await register(db, "a");
    await recordOutcomes(db.pool, [failure(id, "CORRUPT", false)]);
    await recordOutcomes(db.pool, [failure(id, "CORRUPT", false)]);
    expect((await db.pool.query("select code, reason from failed_photos")).rows).toEqual([
      { code: "CORRUPT", reason: "no\ufffdpe\ufffd" },
    ]);
    expect(await count(db, "verdicts")).toBe(1);
    await recordOutcomes(db.pool, [failure(await register(db, "replaced"), "CORRUPT", false)]);
    await register(db, "replaced", "etag:2");
    const replay = async (olderThanS: number) => {
      const found = [];
      for await (const page of photosToReplay(db.pool, { state: "failed", code: "CORRUPT", olderThanS }))
        found.push(...page.map((each) => each.id));
      return found;
    };
    expect(await replay(0)).toEqual([id]);
    expect(await replay(60)).toEqual([]);
    await recordOutcomes(db.pool, [verdict(id)]);
    expect(await count(db, "failed_photos")).toBe(0);
    expect(await count(db, "public_photos")).toBe(1);
  });

  test("an outage does not undo a verdict; a photo that is broken for good loses it", async ({ db }) => {
    const id = await register(db, "a");
    await recordOutcomes(db.pool, [verdict(id)]);
    await recordOutcomes(db.pool, [failure(id, "STORE_UNAVAILABLE", true)]);
    expect((await stateOf(db, id)).state).toBe("shown");
    await recordOutcomes(db.pool, [failure(id, "CORRUPT", false)]);
    expect((await stateOf(db, id)).state).toBe("failed");
  });

  test("history has how many tries a failure took, and a verdict that took more than one", async ({ db }) => {
    const once = await register(db, "a");
    const again = await register(db, "b");
    const failed = await register(db, "c");
    await recordOutcomes(db.pool, [
      verdict(once, { tries: 1 }),
      verdict(again, { tries: 2 }),
      { ...failure(failed, "CORRUPT", false), tries: 1 },
    ]);
    expect((await db.pool.query("select photo_id, tries from verdicts order by photo_id")).rows).toEqual([
      { photo_id: once, tries: null },
      { photo_id: again, tries: 2 },
      { photo_id: failed, tries: 1 },
    ]);
  });

  test("answers nothing for a photo that was deleted while it was in hand", async ({ db }) => {
    const id = await register(db, "a");
    await db.pool.query("delete from photos");
    expect(await recordOutcomes(db.pool, [verdict(id)])).toEqual(new Map());
  });

  test("refuses to change history", async ({ db }) => {
    const id = await register(db, "a");
    await recordOutcomes(db.pool, [verdict(id)]);
    await expect(db.pool.query("update verdicts set verdict = 'hidden'")).rejects.toMatchObject({
      code: "MD409",
    });
  });

  test("says that Postgres is away, so that the photo is tried again", async ({ db }) => {
    const id = await register(db, "a");
    await db.pool.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
    );
    const away = {
      query: async () =>
        Promise.reject(Object.assign(new Error("terminating connection"), { code: "57P01" })),
    };
    await expect(recordOutcomes(away as unknown as Database["pool"], [verdict(id)])).rejects.toMatchObject({
      code: "DATABASE_UNAVAILABLE",
      retry: true,
    });
  });
});

describe("views and roles", () => {
  test.for([
    ["the food photos", "public_photos where listing = '42' and category = 'food' order by photo_id desc"],
    ["all photos, whatever became of them,", "photos where listing = '42' order by id desc"],
  ])("%s of listing 42, newest first, come from one index", async ([, asked], { db }) => {
    await db.pool.query(`insert into photos (store, bucket, key, listing, state, category, decided_at)
      select 's3', 'b', n::text, (n % 500)::text, 'shown', 'food', now() from generate_series(1, 20000) n`);
    const client = await db.pool.connect();
    // on a table this small a bitmap is as good; what counts is that the index can give the order
    await client.query("analyze photos; set enable_bitmapscan = off");
    const { rows } = await client.query(`explain select * from ${asked} limit 20`);
    client.release(true);
    const [limit, first] = rows.map((row) => row["QUERY PLAN"]);
    expect(limit).toMatch(/^Limit/);
    expect(first).toMatch(/Index Scan.* using photos_by_listing/);
  });

  test("every column of every view is explained", async ({ db }) => {
    const { rows } = await db.pool.query(`
      select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
      where c.relkind = 'v' and c.relnamespace = 'public'::regnamespace and a.attnum > 0
        and col_description(c.oid, a.attnum) is null`);
    expect(rows).toEqual([]);
    expect(await count(db, "pg_views where schemaname = 'public'")).toBe(10);
  });

  test("a dashboard reads views and nothing else; a worker works", async ({ db }) => {
    const id = await register(db, "a");
    const client = await db.pool.connect();
    try {
      await client.query("set role maitred_dashboard");
      const views =
        "public_photos current_photos photo_tags failed_photos hourly_counts daily_counts listing_counts score_counts review_counts verdict_history";
      for (const view of views.split(" ")) await client.query(`select * from ${view}`);
      for (const table of ["photos", "tags", "verdicts", "rollup_hours", "rollup_hours_changes"]) {
        await expect(client.query(`select * from ${table}`)).rejects.toMatchObject({ code: "42501" });
      }
      await client.query("set role maitred_worker");
      const { rows } = await client.query("select * from record_verdicts($1)", [
        JSON.stringify([
          { id, verdict: "failed", rule: "failed", reason: "x", failure: "CORRUPT", by: "model:x" },
        ]),
      ]);
      expect(rows).toEqual([{ photo_id: id, changed: true, held: null }]);
      await expect(client.query("drop table photos")).rejects.toMatchObject({ code: "42501" });
    } finally {
      await client.query("reset role");
      client.release();
    }
  });
});

test("how long the oldest upload waits is of none that is of the archive or gone, and of one that came again since it did", async ({
  db,
}) => {
  for (const key of ["waits", "archive", "gone", "again"]) await register(db, key);
  const set = async (key: string, change: string) =>
    db.pool.query(`update photos set ${change} where key = $1`, [key]);
  await set("waits", "registered_at = now() - interval '10 minutes'");
  const before = "registered_at = now() - interval '1 hour'";
  await set("archive", `${before}, lane = 'backfill'`);
  await set("gone", `${before}, superseded_at = now()`);
  await set("again", `${before}, revived_at = now() - interval '1 minute'`);
  expect(Math.round((await oldestPendingS(db.pool)) / 60)).toBe(10);
  await set("waits", "superseded_at = now()");
  expect(Math.round((await oldestPendingS(db.pool)) / 60)).toBe(1);
});

test("what no queue is known to hold is counted, with how long the first of it waits", async ({ db }) => {
  const photos = ["a", "b"].map(
    (key) => ({ store: "s3", bucket: "b", key, version: "1", known: {} }) as const,
  );
  const [first] = await registerPhotos(db.pool, photos, "live");
  await db.pool.query("update unqueued set since = now() - interval '10 minutes' where photo_id = $1", [
    first!.id,
  ]);
  const { photos: waiting, oldestS } = await unqueuedState(db.pool);
  expect([waiting, Math.round(oldestS / 60)]).toEqual([2, 10]);
});
