import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import pg from "pg";
import { describe, expect } from "vitest";
import { documentedQueries } from "../../bench/tables.ts";
import { packageRoot } from "../../src/package-root.ts";
import { addBackfill, rollbackBackfill } from "../../src/store/backfills.ts";
import { recordEvents } from "../../src/store/events.ts";
import { forgetObjects } from "../../src/store/forget.ts";
import { registerPhotos } from "../../src/store/photos.ts";
import { checkRollups, foldRollups, mendRollups, rollupState } from "../../src/store/rollups.ts";
import { type Outcome, recordAnew, recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, rows, test } from "../fixtures.ts";
import { ended } from "../maitred.ts";
import { judged, ofAll, register } from "../verdicts.ts";
import { waitersIn } from "../waits.ts";

/** What the views say, and the same counted from the tables by hand, each a list of rows as text. */
const COUNTED: Record<string, [view: string, tables: string]> = {
  hours: [
    "select hour, verdict, rule, category, model, code, photos from hourly_counts",
    `select date_trunc('hour', decided_at, 'UTC'), state, rule, category, decided_by, failure, count(*) from photos
      where decided_at is not null and superseded_at is null group by 1, 2, 3, 4, 5, 6`,
  ],
  days: [
    "select day, verdict, rule, category, model, code, photos from daily_counts",
    `select date(decided_at at time zone 'UTC'), state, rule, category, decided_by, failure, count(*) from photos
      where decided_at is not null and superseded_at is null group by 1, 2, 3, 4, 5, 6`,
  ],
  listings: [
    "select listing, verdict, category, photos from listing_counts",
    `select listing, state, category, count(*) from photos
      where state <> 'pending' and superseded_at is null and listing is not null group by 1, 2, 3`,
  ],
  scores: [
    "select day, model, score, bucket, photos from score_counts",
    `select date(decided_at at time zone 'UTC'), decided_by, score, least(19, floor(value * 20)), count(*)
      from verdicts cross join lateral (values ('human', human), (category, (scores ->> category)::real)) s (score, value)
      where decided_by like 'model:%' and scores is not null and backfill_id is null and batch not like 'rollback-%'
      group by 1, 2, 3, 4`,
  ],
  reviews: [
    `select day, moderator, audit, model, model_verdict, model_category, verdict, category, human, reviews from review_counts`,
    `select date(v.decided_at at time zone 'UTC'), replace(v.decided_by, 'moderator:', ''), r.audit, m.decided_by, m.verdict,
        m.category, v.verdict, r.category, r.human, count(*)
      from reviews r join verdicts v on v.id = r.verdict_id
      left join verdicts m on m.id = (
        select max(id) from verdicts where photo_id = r.photo_id and id < v.id and decided_by like 'model:%')
      group by 1, 2, 3, 4, 5, 6, 7, 8, 9`,
  ],
};

async function expectRight(db: Database): Promise<void> {
  for (const [name, queries] of Object.entries(COUNTED)) {
    const [said, counted] = await Promise.all(
      queries.map((query) => db.pool.query({ text: `${query} order by 1, 2, 3, 4`, rowMode: "array" })),
    );
    const texts = (answer: typeof said) => answer!.rows.map((row) => JSON.stringify(row)).sort();
    expect(texts(said), name).toEqual(texts(counted));
  }
  expect(await checkRollups(db.pool, 10)).toEqual([]);
}

const KEYS = ["a", "b", "c", "d", "e"];
const key = fc.constantFrom(...KEYS);
const keys = fc.uniqueArray(key, { minLength: 1 });
const verdict = fc.constantFrom("shown", "hidden", "review", "CORRUPT", "STORE_UNAVAILABLE");
const step = fc.oneof(
  fc.record({ does: fc.constant("upload"), key, version: fc.constantFrom("1", "2"), listed: fc.boolean() }),
  fc.record({
    does: fc.constant("judge"),
    keys,
    verdict,
    model: fc.constantFrom("m-1", "m-2"),
    backfill: fc.boolean(),
  }),
  fc.record({
    does: fc.constant("review"),
    key,
    verdict: fc.constantFrom("shown", "hidden"),
    human: fc.option(fc.boolean()),
  }),
  fc.record({ does: fc.constant("remove"), key, erase: fc.boolean() }),
  fc.record({ does: fc.constant("forget"), key }),
  fc.record({ does: fc.constant("roll back") }),
  fc.record({ does: fc.constant("fold") }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const photosOf = async (db: Database, of: readonly string[]): Promise<string[]> =>
  (await rows(db, "select id from photos where key = any ($1) order by id", of)).map(({ id }) => id);

function outcome(id: string, verdict: string, by: string): Outcome {
  const shown = judged(id, "shown", by);
  if (verdict === verdict.toUpperCase()) {
    const failure = verdict as "CORRUPT" | "STORE_UNAVAILABLE";
    return { ...shown, result: { failure, message: "no", transient: failure !== "CORRUPT" } };
  }
  return judged(id, verdict as "shown" | "hidden" | "review", by);
}

async function take(db: Database, backfill: string, step: Step): Promise<void> {
  const object = (key: string) => ({ store: "s3", bucket: "photos", key }) as const;
  if (step.does === "upload") {
    const known = step.listed ? { listing: step.key } : {};
    const event = {
      kind: "created",
      ...object(step.key),
      version: step.version,
      order: null,
      known,
    } as const;
    await recordEvents(db.pool, [event], "right");
  } else if (step.does === "judge") {
    const ids = await photosOf(db, step.keys);
    const of = step.backfill ? { backfill } : {};
    await recordOutcomes(
      db.pool,
      ids.map((id) => ({ ...outcome(id, step.verdict, `model:${step.model}`), ...of })),
    );
  } else if (step.does === "review") {
    for (const id of await photosOf(db, [step.key])) {
      // one that was forgotten meanwhile cannot be reviewed
      await rows(
        db,
        "select record_review($1, 'ann', $2, 'menu', $3, true)",
        id,
        step.verdict,
        step.human,
      ).catch((error: { code: string }) => expect(error.code).toBe("MD404"));
    }
  } else if (step.does === "remove") {
    const event = { kind: "removed", ...object(step.key), version: "", order: null, known: {} } as const;
    await recordEvents(db.pool, [event], "right", step.erase);
  } else if (step.does === "forget") {
    await forgetObjects(db.pool, [object(step.key)], "ann", false);
  } else if (step.does === "roll back") {
    await rollbackBackfill(db.pool, backfill, "0", "ann");
  } else {
    await foldRollups(db.pool);
  }
}

async function finishedBackfill(db: Database): Promise<string> {
  const what = { kind: "policy", policy: "p1" };
  const id = await addBackfill(db.pool, { ...ofAll, what, model: "model:m-1" });
  await recordAnew(db.pool, id, [], { from: null, to: { after: "0" }, seen: 0, end: true });
  return id;
}

describe("counts", () => {
  test("are what the tables say after anything that can happen to photos, one thing after the other", async ({
    db,
  }) => {
    const backfill = await finishedBackfill(db);
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 15 }), async (steps) => {
        for (const each of steps) await take(db, backfill, each);
        await expectRight(db);
      }),
      { numRuns: 40 },
    );
    await foldRollups(db.pool);
    await expectRight(db);
    expect(
      await rows(db, "select from rollup_hours_changes union all select from rollup_listings_changes"),
    ).toEqual([]);
  });

  test("are what the tables say when all of it happens at once, and somebody folds", async ({ db }) => {
    const backfill = await finishedBackfill(db);
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 30 }), async (steps) => {
        await Promise.all(steps.map((each) => take(db, backfill, each)));
        await expectRight(db);
      }),
      { numRuns: 15 },
    );
  });

  test("lose what is rolled back with it", async ({ db }) => {
    const id = await register(db, "a");
    const client = await db.pool.connect();
    await client.query("begin");
    await client.query("select record_review($1, 'ann', 'hidden')", [id]);
    expect((await client.query("select photos from daily_counts")).rows).toEqual([{ photos: "1" }]);
    await client.query("rollback");
    client.release();
    expect(await rows(db, "select photos from daily_counts")).toEqual([]);
    await expectRight(db);
  });

  test("let a group be committed while another one of the same hour and listing is open, and while somebody folds", async ({
    db,
  }) => {
    const [first, second] = [await register(db, "a"), await register(db, "b")];
    const open = await db.pool.connect();
    const folding = await db.pool.connect();
    await open.query("begin");
    await open.query("select record_review($1, 'ann', 'hidden')", [first]);
    await folding.query("begin");
    await folding.query("select fold_rollups(null)");
    // neither waits for the other, or this would never end
    await recordOutcomes(db.pool, [judged(second, "shown")]);
    expect(await foldRollups(db.pool)).toBe(0);
    expect(await rows(db, "select listing, verdict, photos from listing_counts")).toEqual([
      { listing: "42", verdict: "shown", photos: "1" },
    ]);
    for (const client of [folding, open]) {
      await client.query("commit");
      client.release();
    }
    expect(await foldRollups(db.pool)).toBeGreaterThan(0);
    await expectRight(db);
  });

  test("begin anew with tables that were emptied", async ({ db }) => {
    await recordOutcomes(db.pool, [judged(await register(db, "a"), "shown")]);
    await foldRollups(db.pool);
    await recordOutcomes(db.pool, [judged(await register(db, "b"), "shown")]);
    await rows(db, "truncate photos cascade");
    expect(await rows(db, "select from daily_counts")).toEqual([]);
    await expectRight(db);
  });

  test("put a photo into the hour and day of UTC, in whatever time zone it is written and read", async ({
    db,
  }) => {
    const client = await db.pool.connect();
    await client.query("set time zone 'Asia/Kathmandu'");
    await client.query(`insert into photos (store, bucket, key, state, decided_at)
      values ('s3', 'b', 'k', 'shown', '2026-01-01 23:50Z')`);
    const { rows } = await client.query("select to_json(hour at time zone 'UTC') as hour from hourly_counts");
    expect(rows).toEqual([{ hour: "2026-01-01T23:00:00" }]);
    const days = await client.query("select day::text from daily_counts");
    expect(days.rows).toEqual([{ day: "2026-01-01" }]);
    client.release(true);
  });
});

describe("maitred rollups", () => {
  test("finds a count that a hand made wrong, and mends it beside those who write", async ({ db }) => {
    const [first, second] = [await register(db, "a"), await register(db, "b")];
    await recordOutcomes(db.pool, [judged(first, "shown"), judged(second, "shown")]);
    await foldRollups(db.pool);
    await rows(db, "update rollup_listings set photos = 7; delete from rollup_days");
    const env = { DATABASE_URL: db.url };
    const check = await ended(["rollups", "check", "--json"], env);
    expect(check.code).toBe(1);
    expect(JSON.parse(check.out).wrong).toMatchObject([
      { rollup: "listings", of: { listing: "42", verdict: "shown", category: "food" }, missing: -5 },
      { rollup: "days", missing: 2 },
    ]);
    const mending = ended(["rollups", "mend"], env);
    await recordOutcomes(db.pool, [judged(first, "hidden", "model:m-2")]);
    expect(await mending).toMatchObject({ code: 0, out: "mended 2 counts\n" });
    await expectRight(db);
    const again = await ended(["rollups", "check"], env);
    expect(again.code).toBe(0);
    expect(again.out).toBe("every count is what the tables say\n");
  });

  test("mends once, when two do at once", async ({ db }) => {
    await recordOutcomes(db.pool, [judged(await register(db, "a"), "shown")]);
    await rows(db, "delete from rollup_hours_changes");
    const first = await db.pool.connect();
    await first.query("begin");
    expect((await first.query("select mend_rollups() as wrong")).rows).toEqual([{ wrong: "1" }]);
    const second = mendRollups(db.pool);
    await waitersIn(db);
    await first.query("commit");
    first.release();
    expect(await second).toBe(0);
    await expectRight(db);
  });

  test("doctor says that nobody folds", async ({ db }) => {
    await rows(
      db,
      "insert into rollup_scores_changes select '2026-01-01', 'model:m', 'human', 0, 0 from generate_series(1, 500000)",
    );
    const doctor = await ended(["doctor"], { DATABASE_URL: db.url });
    expect(doctor.code).toBe(1);
    expect(doctor.out).toMatch(/FAIL +postgres +nobody has folded .* maitred rollups fold/);
    expect((await ended(["rollups", "fold"], { DATABASE_URL: db.url })).code).toBe(0);
    expect(await rollupState(db.pool)).toMatchObject({ built: true, waiting: 0 });
  });
});

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
      where p.prosecdef and p.pronamespace = 'public'::regnamespace and a.grantee <> p.proowner`,
  );
  expect(callers).toEqual([{ name: "fold_rollups(integer)", caller: "maitred_worker" }]);
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
