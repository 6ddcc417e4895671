import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, inject } from "vitest";
import { packageRoot } from "../../src/package-root.ts";
import { addDestination } from "../../src/store/destinations.ts";
import { functionsOf } from "../../src/store/functions.ts";
import { migrate, requireSchema } from "../../src/store/migrate.ts";
import { type Database, test } from "../fixtures.ts";
import { ended } from "../maitred.ts";
import { judge, register } from "../verdicts.ts";

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

  test("tell the planner of a column that a large table got, or each photo that is shown would read all reviews", async ({
    db,
  }) => {
    const id = await register(db, "a");
    const connection = await db.pool.connect();
    try {
      await connection.query("set session_replication_role = replica");
      await connection.query(
        "insert into reviews (verdict_id, photo_id, verdict, moderator) select i, $1, 'hidden', 'ann' from generate_series(1, 50000) i",
        [id],
      );
      await connection.query("analyze reviews");
      // as where the migration finds the reviews there
      await connection.query(
        "delete from pg_statistic where (starelid, staattnum) = (select attrelid, attnum from pg_attribute where attrelid = 'reviews'::regclass and attname = 'digest')",
      );
    } finally {
      connection.release(true);
    }
    const look = async () => {
      const { rows } = await db.pool.query(
        `explain (analyze, buffers, format json) select verdict from reviews
        where digest = any (array[sha256('a'), null]) order by verdict_id desc limit 1`,
      );
      return rows[0]["QUERY PLAN"][0].Plan["Shared Hit Blocks"];
    };
    expect(await look()).toBeGreaterThan(300);
    await migrate(db.url, "maitred_queue");
    expect(await look()).toBeLessThan(10);
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
    // transaction_timeout is of Postgres 17 and newer
    const limits = (
      await db.pool.query(
        "select name from pg_settings where name in ('statement_timeout', 'transaction_timeout')",
      )
    ).rows.map(({ name }) => `${name} = '1min'`);
    for (const setting of [...limits, "deadlock_timeout = '2s'"])
      await db.pool.query(`alter database ${database} set ${setting}`);
    cpSync(folder, longer, { recursive: true });
    writeFileSync(
      join(longer, "9999_future.sql"),
      `-- Up Migration
      create table future as select current_setting('statement_timeout') as statement,
        coalesce(current_setting('transaction_timeout', true), '0') as transaction,
        current_setting('lock_timeout')::interval > current_setting('deadlock_timeout')::interval as longer;`,
    );
    await migrate(db.url, "maitred_queue", longer);
    expect((await db.pool.query("select * from future")).rows).toEqual([
      { statement: "0", transaction: "0", longer: true },
    ]);
  });

  test("name all that was applied where a table was held meanwhile", async ({ db, folder: longer }) => {
    cpSync(folder, longer, { recursive: true });
    writeFileSync(join(longer, "9998_first.sql"), "-- Up Migration\ncreate table first_table ();");
    writeFileSync(
      join(longer, "9999_second.sql"),
      "-- Up Migration\nalter table photos add column second text;",
    );
    const reader = await db.pool.connect();
    try {
      await reader.query("begin; lock table photos in access share mode");
      const applied = migrate(db.url, "maitred_queue", longer);
      const asking = async () =>
        (
          await db.pool.query(
            "select virtualtransaction as id from pg_locks where relation = 'photos'::regclass and not granted",
          )
        ).rows[0]?.id;
      const seen = new Set<string>();
      // it asks anew in another transaction
      await expect
        .poll(
          async () => {
            const id = await asking();
            if (id) seen.add(id);
            return seen.size;
          },
          { timeout: 20_000, interval: 20 },
        )
        .toBe(2);
      await reader.query("commit");
      expect(await applied).toEqual(["9998_first", "9999_second"]);
    } finally {
      reader.release(true);
    }
  });

  test("give no number again that was given before the database was restored, where they are told of it", async ({
    db,
  }) => {
    const numbers = async (key: string) => {
      const id = await register(db, key);
      await judge(db, id, "shown");
      const { rows } = await db.pool.query(
        "select max(o.seq)::float as sequence, max(v.id)::float as verdict from outbox o join verdicts v using (photo_id) where photo_id = $1",
        [id],
      );
      return { id: Number(id), ...rows[0] };
    };
    const hook = { id: "abc", kind: "webhook", url: "http://127.0.0.1:9/", bucket: null } as const;
    await addDestination(db.pool, hook, "secret");
    const before = await numbers("a");
    const { code, out } = await ended(["migrate", "--restored"], {
      DATABASE_URL: db.url,
      MAITRED_QUEUE_URL: db.url,
    });
    expect({ code, out }).toEqual({
      code: 0,
      out: expect.stringMatching(/^nothing to do.*\nmessages have a sequence above \d+ from now on:/),
    });
    const told = Number(/above (\d+)/.exec(out)![1]);
    const after = await numbers("b");
    expect([before.sequence <= told, after.sequence > told]).toEqual([true, true]);
    expect(after.id - before.id).toBeGreaterThan(10_000_000);
    expect(after.sequence - before.sequence).toBeGreaterThan(1_000_000_000);
    expect(after.verdict - before.verdict).toBeGreaterThan(1_000_000_000);
  });

  test("take the right to create in the schema public from everybody but those who own the tables or have it by name, and doctor looks", async ({
    db,
  }) => {
    const may = async (role: string) =>
      (await db.pool.query("select has_schema_privilege($1, 'public', 'create') as may", [role])).rows[0].may;
    await db.pool.query("grant create on schema public to public");
    expect(await may("maitred_dashboard")).toBe(true);
    const doctor = await ended(["doctor"], { DATABASE_URL: db.url, MAITRED_MODEL: inject("idleModel") });
    expect(doctor.code).toBe(1);
    expect(doctor.out).toMatch(/FAIL +postgres +every role .* revoke create on schema public from public/);
    await migrate(db.url, "maitred_queue");
    expect(await may("maitred_dashboard")).toBe(false);
    expect(await may("maitred_migrator")).toBe(true);
  });

  test("leave no function that keeps the planner from a way to be compiled at each call, as Postgres 14 to 17 would", async ({
    db,
  }) => {
    const { rows } = await db.pool.query(
      `select proname as name, 'jit=off' = any (proconfig) as plain from pg_proc
      where pronamespace = 'public'::regnamespace and array_to_string(proconfig, ' ') ~ 'jit=|enable_\\w+=off' order by 1`,
    );
    expect(rows).toEqual([
      { name: "forget_objects", plain: true },
      { name: "tell", plain: true },
    ]);
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
      const id = await register(db, "a");
      await made(db, "0001_photos", "0012_desk", "0026_overtaken");
      await db.pool.query("alter table object_order alter column overtaken type jsonb using null");
      await db.pool.query("alter table feeding drop column lane_paused");
      await db.pool.query("drop index bad_messages_resolved");
      await db.pool.query("drop table lineage, functions");
      await db.pool.query("drop function notice_lineage");
      await db.pool.query("drop table review_passes cascade");
      await db.pool.query("drop function commit_decisions, undo_review");
      await db.pool.query("alter function commit_shown_or_hidden rename to commit_decisions");
      await db.pool.query("alter function undo_decision rename to undo_review");
      await db.pool.query("drop view current_photos");
      await db.pool.query("drop table decoders");
      await db.pool.query("drop function decide_reviews, undo_review");
      await db.pool.query("alter function commit_decisions rename to decide_reviews");
      await db.pool.query("alter function take_back rename to undo_review");
      await db.pool.query("drop function record_verdicts, bytes_of");
      await db.pool.query("alter function commit_verdicts rename to record_verdicts");
      await db.pool.query("alter table reviews drop column digest");
      await db.pool.query("drop trigger object_order_outbox on object_order");
      await db.pool.query("drop function look_at_upload cascade");
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
        "0023_bytes_of_reviews",
        "0024_hidden_copies",
        "0025_told",
        "0026_put_aside",
        "0027_copies_in_hand",
        "0028_tell_by_photo",
        "0029_decoders",
        "0030_current_photos",
        "0031_review_passes",
        "0032_without_jit",
        "0033_model_of_a_run",
        "0034_hidden_categories",
        "0035_named_sources",
        "0036_few_rows",
        "0037_same_picture",
        "0038_lineage",
        "0039_same_etag",
        "0040_first_uploads",
        "0041_applied",
        "0042_other_bytes",
        "0043_functions",
        "9999_future",
        "functions",
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

  test("replace the functions where they are others, all or none, and a worker refuses those of another version", async ({
    db,
    folder: longer,
  }) => {
    const answer = async () => (await db.pool.query("select has_no_id('etag:1') as no")).rows[0].no;
    cpSync(folder, longer, { recursive: true });
    const other = join(longer, "functions", "other.sql");
    const replaced = `create or replace function has_no_id(p_version text) returns boolean language sql as $$ select null::boolean $$;\n`;
    const future = join(longer, "9999_future.sql");
    writeFileSync(future, "-- Up Migration\ncreate table future ();\n");
    writeFileSync(other, `${replaced}select 1 / 0;`);
    await expect(migrate(db.url, "maitred_queue", longer)).rejects.toThrow("division by zero");
    expect(await answer()).toBe(true);
    expect((await db.pool.query("select to_regclass('future') as future")).rows).toEqual([{ future: null }]);
    rmSync(future);
    await expect(requireSchema(db.pool)).resolves.toBeUndefined();

    writeFileSync(other, replaced);
    expect(await migrate(db.url, "maitred_queue", longer)).toEqual(["functions"]);
    expect(await answer()).toBeNull();
    await expect(requireSchema(db.pool)).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("has the functions of another version"),
    });
    expect(await migrate(db.url, "maitred_queue")).toEqual(["functions"]);
    expect(await answer()).toBe(true);
  });

  test("have a numbered file for each change of functions, so that an older version does not undo it", () => {
    const { digest } = functionsOf(folder);
    const named = readdirSync(folder)
      .filter((file) => file.endsWith(".sql"))
      .sort()
      .flatMap((file) => /^-- functions: (\w+)$/m.exec(readFileSync(join(folder, file), "utf8"))?.[1] ?? []);
    expect(named.at(-1), "see 0043_functions.sql").toBe(digest);
  });

  test("write each function in one place", () => {
    const definitions = (files: string[]) =>
      files
        .filter((file) => file.endsWith(".sql"))
        .map((file) => readFileSync(join(folder, file), "utf8"))
        .flatMap((text) => [...text.matchAll(/^create (?:or replace )?function (\w+)\(.*/gm)]);
    const current = definitions(
      readdirSync(join(folder, "functions")).map((file) => join("functions", file)),
    );
    // what a trigger is made with before its function is written says so
    const others = definitions(readdirSync(folder)).filter(([line]) => !line.includes("has not ended"));
    const names = [...current, ...others].map(([, name]) => name);
    expect(names.length).toBeGreaterThan(90);
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
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
