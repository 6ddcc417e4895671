import fc from "fast-check";
import { describe, expect, inject } from "vitest";
import { addBackfill, rollbackBackfill } from "../../src/store/backfills.ts";
import { recordEvents } from "../../src/store/events.ts";
import { forgetObjects } from "../../src/store/forget.ts";
import { checkRollups, foldRollups, mendRollups, rollupState } from "../../src/store/rollups.ts";
import { type Outcome, recordAnew, recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, rows, test, transaction } from "../fixtures.ts";
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
    const client = await transaction(db);
    await client.query("select record_review($1, 'ann', 'hidden')", [id]);
    expect((await client.query("select photos from daily_counts")).rows).toEqual([{ photos: "1" }]);
    await client.finish("rollback");
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
    const first = await transaction(db);
    expect((await first.query("select mend_rollups() as wrong")).rows).toEqual([{ wrong: "1" }]);
    const second = mendRollups(db.pool);
    await waitersIn(db);
    await first.finish("commit");
    expect(await second).toBe(0);
    await expectRight(db);
  });

  test("doctor says that nobody folds", async ({ db }) => {
    await rows(
      db,
      "insert into rollup_scores_changes select '2026-01-01', 'model:m', 'human', 0, 0 from generate_series(1, 500000)",
    );
    const doctor = await ended(["doctor"], { DATABASE_URL: db.url, MAITRED_MODEL: inject("idleModel") });
    expect(doctor.code).toBe(1);
    expect(doctor.out).toMatch(/FAIL +postgres +nobody has folded .* maitred rollups fold/);
    expect((await ended(["rollups", "fold"], { DATABASE_URL: db.url })).code).toBe(0);
    expect(await rollupState(db.pool)).toMatchObject({ built: true, waiting: 0 });
  });
});
