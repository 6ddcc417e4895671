import { cpSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { packageRoot } from "../../src/package-root.ts";
import type { PhotoRef } from "../../src/photo.ts";
import { migrate, requireSchema } from "../../src/store/migrate.ts";
import { photosToReplay, readPhotos, registerPhotos } from "../../src/store/photos.ts";
import { type Outcome, recordOutcomes, recordWith } from "../../src/store/verdicts.ts";
import { type Database, test } from "../fixtures.ts";
import { ended } from "../maitred.ts";

const photo = (key: string, version = "1"): PhotoRef & { known: object } => ({
  store: "s3",
  bucket: "b",
  key,
  version,
  known: {},
});
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
async function register(db: Database, ...keys: string[]): Promise<string[]> {
  return (
    await registerPhotos(
      db.pool,
      keys.map((key) => photo(key)),
      "live",
    )
  ).map(({ id }) => id);
}
const stateOf = async (db: Database, id: string) => (await readPhotos(db.pool, [id]))[0]!;
const count = async (db: Database, from: string): Promise<number> =>
  Number((await db.pool.query(`select count(*) from ${from}`)).rows[0].count);

describe("registerPhotos", () => {
  test("makes a photo known once, pending and not public", async ({ db }) => {
    const first = await registerPhotos(db.pool, [photo("a"), photo("b")], "live");
    const second = await registerPhotos(db.pool, [photo("b"), photo("a")], "live");
    expect(first.map(({ state }) => state)).toEqual(["pending", "pending"]);
    expect(second.map(({ id }) => id)).toEqual([first[1]!.id, first[0]!.id]);
    expect(await count(db, "public_photos")).toBe(0);
  });

  test("gives one row however many register it at once", async ({ db }) => {
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => registerPhotos(db.pool, [photo("a"), photo("b")], "live")),
    );
    expect(new Set(answers.map(([a]) => a!.id)).size).toBe(1);
  });

  test("fills in what was not known, and leaves what was", async ({ db }) => {
    await registerPhotos(db.pool, [{ ...photo("a"), known: { listing: "42" } }], "live");
    await registerPhotos(db.pool, [{ ...photo("a"), known: { listing: "43", claimed: "food" } }], "live");
    const { rows } = await db.pool.query("select listing, claimed from photos");
    expect(rows).toEqual([{ listing: "42", claimed: "food" }]);
  });

  test("a new version of an object takes the old one out of the public", async ({ db }) => {
    const [old] = await register(db, "a");
    await recordOutcomes(db.pool, [verdict(old!)]);
    expect(await count(db, "public_photos")).toBe(1);
    await registerPhotos(db.pool, [photo("a", "2")], "live");
    expect(await count(db, "public_photos")).toBe(0);
  });

  test("an old version that comes back is the current one again", async ({ db }) => {
    const [first] = await register(db, "a");
    await recordOutcomes(db.pool, [verdict(first!, {}, 0.9)]);
    const [second] = await registerPhotos(db.pool, [photo("a", "2")], "live");
    await recordOutcomes(db.pool, [verdict(second!.id)]);
    expect(await count(db, "public_photos")).toBe(1);
    await register(db, "a");
    expect(await count(db, "public_photos")).toBe(0);
    expect((await db.pool.query("select id from photos where superseded_at is null")).rows).toEqual([
      { id: first },
    ]);
  });
});

describe("recordOutcomes", () => {
  test("writes verdict, tags and history once, however often and from wherever it is recorded", async ({
    db,
  }) => {
    const [id] = await register(db, "a");
    const answers = await Promise.all([1, 2, 3, 4].map(() => recordOutcomes(db.pool, [verdict(id!)])));
    expect(answers.filter((changed) => changed.get(id!))).toHaveLength(1);
    expect(await count(db, "verdicts")).toBe(1);
    expect((await db.pool.query("select category, score, threshold, model from tags")).rows).toEqual([
      { category: "food", score: 0.9, threshold: 0.6, model: "model:restaurant-1" },
    ]);
    expect(await stateOf(db, id!)).toMatchObject({ state: "shown", category: "food", reason: "because" });
  });

  test("groups that share photos in opposite orders do not deadlock", async ({ db }) => {
    const ids = await register(db, ...Array.from({ length: 40 }, (_, n) => `k${n}`));
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
    const [id] = await register(db, "a");
    await recordOutcomes(db.pool, [verdict(id!)]);
    const next = verdict(id!, { by: "model:restaurant-4" }, 0.9);
    if ("decision" in next.result)
      next.result.decision.tags = [{ category: "menu", score: 0.7, threshold: 0.6 }];
    expect((await recordOutcomes(db.pool, [next])).get(id!)).toBe(true);
    expect((await db.pool.query("select category, model from tags")).rows).toEqual([
      { category: "menu", model: "model:restaurant-4" },
    ]);
    expect(
      (await db.pool.query("select verdict from verdicts order by id")).rows.map((row) => row.verdict),
    ).toEqual(["shown", "hidden"]);
    expect(await count(db, "public_photos")).toBe(0);
  });

  test("a moderator's verdict is never overwritten by a model", async ({ db }) => {
    const [id] = await register(db, "a");
    await recordOutcomes(db.pool, [verdict(id!, { by: "moderator:ann" }, 0.9)]);
    expect((await recordOutcomes(db.pool, [verdict(id!), failure(id!, "CORRUPT", false)])).get(id!)).toBe(
      false,
    );
    expect((await recordOutcomes(db.pool, [failure(id!, "CORRUPT", false)])).get(id!)).toBe(false);
    expect(await stateOf(db, id!)).toMatchObject({ state: "hidden" });
  });

  test("a failed photo is listed with its code, and can still be judged", async ({ db }) => {
    const [id] = await register(db, "a");
    await recordOutcomes(db.pool, [failure(id!, "CORRUPT", false)]);
    await recordOutcomes(db.pool, [failure(id!, "CORRUPT", false)]);
    expect((await db.pool.query("select code, reason from failed_photos")).rows).toEqual([
      { code: "CORRUPT", reason: "no\ufffdpe\ufffd" },
    ]);
    expect(await count(db, "verdicts")).toBe(1);
    const replay = [];
    for await (const page of photosToReplay(db.pool, { state: "failed", code: "CORRUPT", olderThanS: 0 }))
      replay.push(...page);
    expect(replay.map((each) => each.id)).toEqual([id]);
    await recordOutcomes(db.pool, [verdict(id!)]);
    expect(await count(db, "failed_photos")).toBe(0);
    expect(await count(db, "public_photos")).toBe(1);
  });

  test("an outage does not undo a verdict; a photo that is broken for good loses it", async ({ db }) => {
    const [id] = await register(db, "a");
    await recordOutcomes(db.pool, [verdict(id!)]);
    await recordOutcomes(db.pool, [failure(id!, "STORE_UNAVAILABLE", true)]);
    expect((await stateOf(db, id!)).state).toBe("shown");
    await recordOutcomes(db.pool, [failure(id!, "CORRUPT", false)]);
    expect((await stateOf(db, id!)).state).toBe("failed");
  });

  test("history has how many tries a failure took, and a verdict that took more than one", async ({ db }) => {
    const [once, again, failed] = await register(db, "a", "b", "c");
    await recordOutcomes(db.pool, [
      verdict(once!, { tries: 1 }),
      verdict(again!, { tries: 2 }),
      { ...failure(failed!, "CORRUPT", false), tries: 1 },
    ]);
    expect((await db.pool.query("select photo_id, tries from verdicts order by photo_id")).rows).toEqual([
      { photo_id: once, tries: null },
      { photo_id: again, tries: 2 },
      { photo_id: failed, tries: 1 },
    ]);
  });

  test("answers nothing for a photo that was deleted while it was in hand", async ({ db }) => {
    const [id] = await register(db, "a");
    await db.pool.query("delete from photos");
    expect(await recordOutcomes(db.pool, [verdict(id!)])).toEqual(new Map());
  });

  test("refuses to change history", async ({ db }) => {
    const [id] = await register(db, "a");
    await recordOutcomes(db.pool, [verdict(id!)]);
    await expect(db.pool.query("update verdicts set verdict = 'hidden'")).rejects.toMatchObject({
      code: "MD409",
    });
  });

  test("says that Postgres is away, so that the photo is tried again", async ({ db }) => {
    const [id] = await register(db, "a");
    await db.pool.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
    );
    const away = {
      query: async () =>
        Promise.reject(Object.assign(new Error("terminating connection"), { code: "57P01" })),
    };
    await expect(recordWith(away as unknown as Database["pool"], [verdict(id!)])).rejects.toMatchObject({
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
    const plan = rows.map((row) => row["QUERY PLAN"]).join("\n");
    expect(plan).toContain("photos_by_listing");
    expect(plan).not.toContain("Sort");
  });

  test("every column of every view is explained", async ({ db }) => {
    const { rows } = await db.pool.query(`
      select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
      where c.relkind = 'v' and c.relnamespace = 'public'::regnamespace and a.attnum > 0
        and col_description(c.oid, a.attnum) is null`);
    expect(rows).toEqual([]);
    expect(await count(db, "pg_views where schemaname = 'public'")).toBe(9);
  });

  test("a dashboard reads views and nothing else; a worker works", async ({ db }) => {
    const [id] = await register(db, "a");
    const client = await db.pool.connect();
    try {
      await client.query("set role maitred_dashboard");
      const views =
        "public_photos photo_tags failed_photos hourly_counts daily_counts listing_counts score_counts review_counts verdict_history";
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
      expect(rows).toEqual([{ photo_id: id, changed: true }]);
      await expect(client.query("drop table photos")).rejects.toMatchObject({ code: "42501" });
    } finally {
      await client.query("reset role");
      client.release();
    }
  });
});

describe("migrations", () => {
  const folder = join(packageRoot(), "migrations");

  test("applied twice at once, and again, change nothing", async ({ db }) => {
    expect(await Promise.all([migrate(db.url, "maitred_queue"), migrate(db.url, "maitred_queue")])).toEqual([
      [],
      [],
    ]);
    await expect(requireSchema(db.pool)).resolves.toBeUndefined();
  });

  test("build an index where it is missing or was left unfinished, also when two do at once", async ({
    db,
  }) => {
    const valid =
      "select indisvalid as valid from pg_index where indexrelid = to_regclass('photos_by_listing')";
    await db.pool.query(
      "update pg_index set indisvalid = false where indexrelid = 'photos_by_listing'::regclass",
    );
    await Promise.all([1, 2, 3].map(() => migrate(db.url, "maitred_queue")));
    expect((await db.pool.query(valid)).rows).toEqual([{ valid: true }]);
    await db.pool.query("drop index photos_by_listing");
    await Promise.all([1, 2, 3].map(() => migrate(db.url, "maitred_queue")));
    expect((await db.pool.query(valid)).rows).toEqual([{ valid: true }]);
  });

  test("wait for nobody, such as an autovacuum, where nothing is to be applied", async ({ db }) => {
    const vacuum = await db.pool.connect();
    await vacuum.query("begin; lock table photos, verdicts, tags in share update exclusive mode");
    try {
      expect(await migrate(db.url, "maitred_queue")).toEqual([]);
    } finally {
      vacuum.release(true);
    }
  });

  test("whose connection is lost say so, and may be run again", async ({ db }) => {
    const rival = await db.pool.connect();
    await rival.query("select pg_advisory_lock(hashtext('maitred migrate'))");
    try {
      const refused = expect(migrate(db.url, "maitred_queue")).rejects.toMatchObject({
        code: "DATABASE_UNAVAILABLE",
        retry: true,
      });
      const lose =
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query like '%pg_try_advisory_lock%' and pid <> pg_backend_pid()";
      await expect.poll(async () => (await rival.query(lose)).rowCount, { timeout: 20_000 }).toBe(1);
      await refused;
    } finally {
      rival.release(true);
    }
    expect(await migrate(db.url, "maitred_queue")).toEqual([]);
  });

  test("take as long as they do, and wait for a table for longer than it takes Postgres to cancel an autovacuum", async ({
    db,
    folder: longer,
  }) => {
    const database = new URL(db.url).pathname.slice(1);
    for (const setting of [
      "statement_timeout = '1min'",
      "transaction_timeout = '1min'",
      "deadlock_timeout = '2s'",
    ])
      await db.pool.query(`alter database ${database} set ${setting}`);
    cpSync(folder, longer, { recursive: true });
    writeFileSync(
      join(longer, "9999_future.sql"),
      `-- Up Migration
      create table future as select current_setting('statement_timeout') as statement,
        current_setting('transaction_timeout') as transaction,
        current_setting('lock_timeout')::interval > current_setting('deadlock_timeout')::interval as longer;`,
    );
    await migrate(db.url, "maitred_queue", longer);
    expect((await db.pool.query("select * from future")).rows).toEqual([
      { statement: "0", transaction: "0", longer: true },
    ]);
  });

  test("take the right to create in the schema public from everybody but those who own the tables or have it by name, and doctor looks", async ({
    db,
  }) => {
    const may = async (role: string) =>
      (await db.pool.query("select has_schema_privilege($1, 'public', 'create') as may", [role])).rows[0].may;
    await db.pool.query("grant create on schema public to public");
    expect(await may("maitred_dashboard")).toBe(true);
    const doctor = await ended(["doctor"], { DATABASE_URL: db.url });
    expect(doctor.code).toBe(1);
    expect(doctor.out).toMatch(/FAIL +postgres +every role .* revoke create on schema public from public/);
    await migrate(db.url, "maitred_queue");
    expect(await may("maitred_dashboard")).toBe(false);
    expect(await may("maitred_migrator")).toBe(true);
  });

  describe("on a database that the former ones made", () => {
    const ledger = async (db: Database) =>
      (await db.pool.query("select name from pgmigrations order by id")).rows.map(({ name }) => name);
    const made = (db: Database, ...names: string[]) =>
      db.pool.query(
        "with gone as (delete from pgmigrations) insert into pgmigrations (name, run_on) select unnest($1::text[]), now()",
        [names],
      );

    test("write their own names in place of those, and go on with what is newer", async ({
      db,
      folder: longer,
    }) => {
      const baseline = await ledger(db);
      const [id] = await register(db, "a");
      await made(db, "0001_photos", "0012_desk", "0026_overtaken");
      await db.pool.query("alter table object_order alter column overtaken type jsonb using null");
      await db.pool.query("alter table feeding drop column lane_paused");
      await db.pool.query("drop function feed_page, take_in");
      await db.pool.query("drop trigger object_order_outbox on object_order");
      await db.pool.query(`insert into object_order (store, bucket, key, overtaken) values
        ('s3', 'b', 'a', '{"kind": "created", "version": "v2", "ord": "20"}'),
        ('s3', 'b', 'b', '{"kind": "removed", "version": "", "ord": "30"}'), ('s3', 'b', 'c', null)`);
      await expect(requireSchema(db.pool)).rejects.toMatchObject({
        code: "CONFIG_INVALID",
        message: expect.stringMatching(/^the database lacks .*: run maitred migrate first$/),
      });
      cpSync(folder, longer, { recursive: true });
      writeFileSync(join(longer, "9999_future.sql"), "-- Up Migration\ncreate table future ();\n");
      expect(await migrate(db.url, "maitred_queue", longer)).toEqual([
        "0019_events",
        "0020_lane_paused",
        "0021_known_and_queued",
        "0022_clocks",
        "9999_future",
      ]);
      expect(await ledger(db)).toEqual([...baseline, "9999_future"]);
      expect((await db.pool.query("select id from photos")).rows).toEqual([{ id }]);
      const { rows } = await db.pool.query("select key, latest, overtaken from object_order order by key");
      expect(rows).toEqual([
        { key: "a", latest: "20", overtaken: "v2" },
        { key: "b", latest: "30", overtaken: "" },
        { key: "c", latest: null, overtaken: null },
      ]);
    });

    test("refuse one that has some of those only, or was not migrated to their end", async ({ db }) => {
      const refused = {
        code: "CONFIG_INVALID",
        message: expect.stringContaining("last version that has 0026_overtaken first"),
      };
      await made(db, "0001_photos", "0012_desk");
      await expect(migrate(db.url, "maitred_queue")).rejects.toMatchObject(refused);
      await expect(requireSchema(db.pool)).rejects.toMatchObject(refused);
      await made(db, "0001_photos", "0012_desk", "0026_overtaken");
      await db.pool.query("update rollups set built_at = null");
      await expect(migrate(db.url, "maitred_queue")).rejects.toMatchObject(refused);
      expect(await ledger(db)).toEqual(["0001_photos", "0012_desk", "0026_overtaken"]);
    });
  });

  test("refuse a database that is newer, and a worker refuses one that is older", async ({ db }) => {
    const longer = mkdtempSync(join(tmpdir(), "maitred-migrations-"));
    cpSync(folder, longer, { recursive: true });
    writeFileSync(join(longer, "9999_future.sql"), "-- Up Migration\ncreate table future ();\n");
    await expect(requireSchema(db.pool, longer)).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("run maitred migrate"),
    });
    expect(await migrate(db.url, "maitred_queue", longer)).toEqual(["9999_future"]);
    await expect(migrate(db.url, "maitred_queue")).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("9999_future"),
    });
    await expect(requireSchema(db.pool)).rejects.toMatchObject({
      message: expect.stringContaining("use a newer maitred"),
    });
  });
});
