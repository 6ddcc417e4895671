import { readFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { describe, expect } from "vitest";
import { documentedQueries } from "../../bench/tables.ts";
import { packageRoot } from "../../src/package-root.ts";
import { registerPhotos } from "../../src/store/photos.ts";
import { foldRollups } from "../../src/store/rollups.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { rows, test } from "../fixtures.ts";
import { ended } from "../maitred.ts";
import { judged, register } from "../verdicts.ts";
import { waitersIn } from "../waits.ts";

describe("what docs/tables.md says", () => {
  test("every query runs, as a dashboard, and says the same in every time zone", async ({ db }) => {
    const id = await register(db, "a");
    await rows(
      db,
      `with days as (
        insert into photos (store, bucket, key, state, rule, category, human, decided_by, decided_at)
        select 's3', 'b', n, 'hidden', 'human', 'food', n / 100.0, 'model:m-1', now() - make_interval(days => n) from generate_series(0, 99) n
        returning *
      )
      insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, decided_at)
      select id, state, rule, '', category, human, '{"food": 1}'::jsonb, decided_by, decided_at from days
      union all select id, state, 'moderator', '', category, null, null, 'moderator:ann', decided_at from days order by 1, 3`,
    );
    await rows(
      db,
      `insert into reviews (verdict_id, photo_id, category, human, audit)
        select id, photo_id, 'menu', true, true from verdicts where rule = 'moderator'`,
    );
    await recordOutcomes(db.pool, [judged(id, "hidden")]);
    const queries = documentedQueries();
    expect(queries.length).toBeGreaterThan(10);
    const client = await db.pool.connect();
    const said = async (zone: string, sql: string) => {
      await client.query(`set time zone '${zone}'`);
      return (await client.query({ text: sql, rowMode: "array" })).rows;
    };
    try {
      await client.query("set role maitred_dashboard");
      for (const { title, sql } of queries) {
        const ask = (zone: string) =>
          said(zone, sql).catch((cause) => expect.unreachable(`${title}: ${cause.message}`));
        // at any moment it is another day here than there
        expect(await ask("Pacific/Kiritimati"), title).toEqual(await ask("Etc/GMT+12"));
      }
    } finally {
      client.release(true);
    }
  });

  test("the cover of a listing is its newest food photo that is shown", async ({ db }) => {
    const [old, cover, hidden] = [await register(db, "a"), await register(db, "b"), await register(db, "c")];
    await recordOutcomes(db.pool, [judged(old, "shown"), judged(cover, "shown"), judged(hidden, "hidden")]);
    const { sql } = documentedQueries().find(({ title }) => title.startsWith("the covers"))!;
    expect(await rows(db, sql)).toEqual([{ listing: "42", photo_id: cover, version: "etag:1" }]);
  });

  test("a picture that was uploaded twice is shown once, as its newest photo, and one of unknown bytes as itself", async ({
    db,
  }) => {
    const ids = [];
    for (const key of ["a", "b", "same", "taken-over", "unknown", "as-unknown"])
      ids.push(await register(db, key));
    const [a, b, same, takenOver, ...unknown] = ids as [string, string, string, string, string, string];
    const verdict = (id: string, digest?: string) => {
      const { result, ...about } = judged(id, "shown");
      return { ...about, result: { ...result, ...(digest && { digest }) } };
    };
    await recordOutcomes(db.pool, [
      verdict(a, "11".repeat(32)),
      verdict(b, "22".repeat(32)),
      verdict(same, "11".repeat(32)),
      ...unknown.map((id) => verdict(id)),
    ]);
    await recordOutcomes(db.pool, [{ ...verdict(takenOver), batch: `same-${b}` }]);
    const { sql } = documentedQueries().find(({ title }) => title.startsWith("the same, each picture once"))!;
    const client = await db.pool.connect();
    try {
      await client.query("set role maitred_dashboard");
      const { rows: shown } = await client.query(sql);
      expect(shown.map(({ key }) => key)).toEqual(["as-unknown", "unknown", "taken-over", "same"]);
    } finally {
      client.release(true);
    }
  });

  test("shares of what there is none of are 0, and not blank", async ({ db }) => {
    await recordOutcomes(db.pool, [judged(await register(db, "a"), "hidden")]);
    await rows(db, "update photos set rule = 'unsure'");
    const id = await register(db, "b");
    await recordOutcomes(db.pool, [judged(id, "hidden")]);
    await rows(db, "select record_review($1, 'ann', 'shown', null, true)", id);
    for (const [title, zero] of [
      [/hidden because of a human/, { hidden: "0", photos: "1", rate: "0.0000" }],
      [/left the model's verdict/, { agreement: "0.0000" }],
      [/each moderator did/, { hidden: "0.000" }],
    ] as const) {
      const { sql } = documentedQueries().find((query) => title.test(query.title))!;
      expect(await rows(db, sql), String(title)).toMatchObject([zero]);
    }
  });

  test("of photos hidden for a human, one that a moderator has hidden too is in neither number", async ({
    db,
  }) => {
    const ids = [await register(db, "a"), await register(db, "b")];
    await recordOutcomes(
      db.pool,
      ids.map((id) => judged(id, "hidden")),
    );
    await rows(db, "update photos set rule = 'human'");
    await rows(db, "select record_review($1, 'ann', 'hidden', null, true)", ids[0]);
    const { sql } = documentedQueries().find(({ title }) => /hidden because of a human/.test(title))!;
    expect(await rows(db, sql)).toMatchObject([{ hidden: "1", photos: "1" }]);
  });
});

test("the README counts what was decided by hour, each verdict and category once, whoever decided", async ({
  db,
}) => {
  const ids = [await register(db, "a"), await register(db, "b")];
  await recordOutcomes(
    db.pool,
    ids.map((id, n) => judged(id, "shown", `model:m-${n}`)),
  );
  const readme = readFileSync(join(packageRoot(), "README.md"), "utf8");
  const [, query] = /^-- what was decided.*\n([^;]+);/m.exec(readme)!;
  expect(await rows(db, query!)).toMatchObject([{ verdict: "shown", photos: "2" }]);
});

test("current_photos has what waits too, and like photo_tags nothing that is gone, and no key to show a photo by", async ({
  db,
}) => {
  const [waits, gone] = [await register(db, "a"), await register(db, "b")];
  await rows(db, "update photos set superseded_at = now() where id = $1", gone);
  const { rows: current, fields } = await db.pool.query("select * from current_photos");
  expect(current).toMatchObject([{ photo_id: waits, state: "pending" }]);
  expect(fields.filter(({ name }) => /bucket|key|version/.test(name))).toEqual([]);
  await rows(db, "insert into tags select id, 'food', 0.9, 0.5, 'model:m-1' from photos");
  expect(await rows(db, "select photo_id from photo_tags")).toEqual([{ photo_id: waits }]);
});

test("all that migrations make belongs to the migrators, so that each of them may change it", async ({
  db,
}) => {
  const others = await rows(
    db,
    `select relname as name from pg_class
      where relnamespace = 'public'::regnamespace and relkind in ('r', 'v', 'S') and relowner <> 'maitred_migrator'::regrole
      union all select proname from pg_proc
      where pronamespace = 'public'::regnamespace and proowner <> 'maitred_migrator'::regrole`,
  );
  expect(others).toEqual([]);
});

test("what runs with the rights of its owner, workers may call where they need it, and nobody else may", async ({
  db,
}) => {
  const callers = await rows(
    db,
    `select p.oid::regprocedure::text as name, coalesce(r.rolname, 'public') as caller
      from pg_proc p cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
      left join pg_roles r on r.oid = a.grantee
      where p.prosecdef and p.pronamespace = 'public'::regnamespace and a.grantee <> p.proowner order by 1`,
  );
  expect(callers).toEqual([
    { name: "fold_rollups(integer)", caller: "maitred_worker" },
    { name: "notice_lineage()", caller: "maitred_worker" },
  ]);
  // the database is dropped before a connection that is being ended has heard of it
  const as = (role: string) =>
    new pg.Pool({ connectionString: db.url, options: `-c role=${role}` }).on("error", () => {});
  const [worker, dashboard] = [as("maitred_worker"), as("maitred_dashboard")];
  await foldRollups(worker);
  await expect(foldRollups(dashboard)).rejects.toMatchObject({ code: "DATABASE_FORBIDDEN" });
  await Promise.all([worker.end(), dashboard.end()]);
});

test("a photo and its tag stay on their pages when a few of many get a verdict", async ({ db }) => {
  const photo = { store: "s3", bucket: "photos", version: "etag:1", known: { listing: "1" } } as const;
  const photos = Array.from({ length: 1000 }, (_, n) => ({ ...photo, key: `${n}` }));
  const ids = (await registerPhotos(db.pool, photos, "live")).map(({ id }) => id);
  const record = (of: readonly string[], by: string) =>
    recordOutcomes(
      db.pool,
      of.map((id) => judged(id, "shown", by)),
    );
  const pages = (table: string, id: string, of: readonly string[]) =>
    rows(db, `select (ctid::text::point)[0] as page from ${table} where ${id} = any ($1) order by ${id}`, of);

  const few = ids.filter((_, n) => n % 50 === 0);
  const ofPhotos = await pages("photos", "id", few);
  await record(few, "model:m-1");
  expect(await pages("photos", "id", few)).toEqual(ofPhotos);

  const rest = ids.filter((_, n) => n % 50 !== 0);
  await record(rest, "model:m-1");
  const fewOfRest = rest.filter((_, n) => n % 50 === 0);
  const ofTags = await pages("tags", "photo_id", fewOfRest);
  await record(fewOfRest, "model:m-2");
  expect(await pages("tags", "photo_id", fewOfRest)).toEqual(ofTags);
});

describe("a migration", () => {
  test("gives way to somebody who holds a table, and goes on when they are done", async ({ db }) => {
    const holder = await db.pool.connect();
    // as an administrator's first migration finds it
    await rows(db, "alter table reviews owner to current_user");
    await holder.query("begin; lock table reviews in share mode");
    const migrating = ended(["migrate"], { DATABASE_URL: db.url });
    await waitersIn(db);
    // who reads waits behind the migration that waits, which must not be for ever
    await rows(db, "select from reviews");
    await holder.query("commit");
    holder.release();
    expect((await migrating).code).toBe(0);
  });
});
