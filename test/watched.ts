import { createRecent } from "../src/moderate/recent.ts";
import { feedBackfill } from "../src/store/backfill-feed.ts";
import { addBackfill, changeBackfill } from "../src/store/backfills.ts";
import { keepBadMessages } from "../src/store/bad-messages.ts";
import { addDestination } from "../src/store/destinations.ts";
import { reportFigures, reportWorker } from "../src/store/models.ts";
import { beginSweep, finishSweep } from "../src/store/sweeps.ts";
import type { Database } from "./fixtures.ts";
import { fail, judge, ofAll, register } from "./verdicts.ts";

/** Something of everything that operators watch, made as the product makes it. */
export async function troubled(db: Database): Promise<{ failed: string[]; backfill: string }> {
  await workers(db);
  const failed: string[] = [];
  for (const name of ["a", "b", "c"]) {
    const id = await register(db, `42/broken-${name}.jpg`);
    await fail(db, id);
    failed.push(id);
  }
  await keepBadMessages(db.pool, "sqs:uploads", [
    { messageId: "m1", sentAt: new Date(), body: "hello", code: "EVENT_INVALID", detail: "expected JSON" },
    {
      messageId: "m2",
      sentAt: new Date(),
      body: JSON.stringify({ bucket: "photos", key: "42/late.jpg", listing: "42" }),
      code: "EVENT_INVALID",
      detail: "a version before did not understand it",
    },
  ]);
  await deadDelivery(db);
  const backfill = await halfway(db);
  const { id } = await beginSweep(db.pool, "photos", "2026/");
  await db.pool.query(
    "update sweeps set listed = 120000, known = 119990, missed = 7, gone = 3 where id = $1",
    [id],
  );
  await finishSweep(db.pool, id, 61);
  return { failed, backfill };
}

/** Two workers, of which one has been at work for half a minute. */
async function workers(db: Database): Promise<void> {
  const common = { model: "restaurant-6", pinned: false };
  await reportWorker(db.pool, {
    ...common,
    worker: "gpu-1:71",
    variant: "fp16",
    provider: "cuda",
    problem: "",
  });
  await reportWorker(db.pool, {
    ...common,
    worker: "cpu-1:12",
    variant: "int8",
    provider: "cpu",
    problem: "restaurant-7: there is no such folder",
  });
  let clock = 0;
  const recent = createRecent(() => clock);
  for (let photo = 0; photo < 240; photo++) {
    clock += 125;
    recent.stage("fetch", 0.04);
    recent.stage("decode", 0.011);
    recent.stage("batch", 0.03);
    recent.stage("record", 0.004);
    recent.stage("total", 0.085);
    recent.left(photo % 4 === 0 ? "backfill" : "live", photo % 60 !== 0);
    if (photo % 30 === 0) recent.batch(24, 0.02);
    if (photo % 80 === 0) recent.batch(8, 0.01);
  }
  await reportFigures(db.pool, "gpu-1:71", recent.figures());
}

async function deadDelivery(db: Database): Promise<void> {
  await addDestination(
    db.pool,
    { id: "3f9c2a71b0d4", kind: "webhook", bucket: null, url: "https://platform.example.com/told" },
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
  );
  await judge(db, await register(db, "42/told.jpg"), "shown");
  // not by claiming it: a process that delivers may have been faster
  await db.pool.query(
    `update deliveries set state = 'dead', attempts = 1, claimed_until = null, delivered_at = null,
      last_error = 'the receiver answered 503'`,
  );
}

/** A backfill that runs: one photo waits, one was judged, one failed. */
async function halfway(db: Database): Promise<string> {
  const ids = [];
  for (const name of ["waits", "judged", "fails"]) ids.push(await register(db, `archive/${name}.jpg`));
  const id = await addBackfill(db.pool, {
    ...ofAll,
    what: { kind: "prefix", bucket: "photos", prefix: "archive/" },
    model: "model:restaurant-6",
    maxRate: 200,
    hours: "22-06",
    startedBy: "oda",
  });
  await feedBackfill(db.pool, id, null, { ids, cursor: { after: "archive/x" }, end: false, unreadable: 0 });
  await judge(db, ids[1]!, "hidden");
  await fail(db, ids[2]!);
  const over = await addBackfill(db.pool, {
    ...ofAll,
    what: { kind: "manifest", at: "s3://lists/2019.csv.gz" },
    model: "model:restaurant-1",
    propose: true,
    startedBy: "oda",
  });
  await changeBackfill(db.pool, over, "cancelled", "lea", "the list was of last year");
  return id;
}

/**
 * Sixty days of uploads, judged by two models of which one followed the other, and audits of them. Always the same. The later
 * thirty days have more photos of which the model is not sure.
 */
export async function judgedOverTime(db: Database, today: string): Promise<void> {
  await db.pool.query(
    `create temporary table drawn as
      select n, key, at, category, model, chance, u,
        least(1, greatest(0, case when person then 1 - power(u, 4) * 0.5 else power(u, 6) * 0.6 + later * 0.12 * u end))::real as human,
        (0.55 + 0.44 * v)::real as score, person
      from (
        select n, 'seed/' || n || '.jpg' as key,
          ($1::date - (n % 60))::timestamp at time zone 'UTC' + make_interval(mins => (n * 37) % 1440) as at,
          case when c < 0.6 then 'food' when c < 0.82 then 'ambience' when c < 0.92 then 'menu' else 'other' end as category,
          case when n % 60 < 41 then 'model:restaurant-6' else 'model:restaurant-1' end as model,
          (n % 60 < 30)::int as later, n % 60 as age, chance, u, v, chance < 0.11 as person
        from (
          select n, ('x' || substr(md5('a' || n), 1, 6))::bit(24)::int / 16777216.0 as chance,
            ('x' || substr(md5('b' || n), 1, 6))::bit(24)::int / 16777216.0 as c,
            ('x' || substr(md5('c' || n), 1, 6))::bit(24)::int / 16777216.0 as u,
            ('x' || substr(md5('d' || n), 1, 6))::bit(24)::int / 16777216.0 as v
          from generate_series(1, 6000) n) a) b`,
    [today],
  );
  await db.pool.query(`
    with decided as (
      select *, case when human >= 0.5 then 'hidden' when human >= 0.1 or category = 'menu' then 'review' else 'shown' end as verdict,
        case when human >= 0.5 then 'human' when human >= 0.1 then 'human-uncertain' when category = 'menu' then 'verify' else 'clear' end as rule
      from drawn
    ), made as (
      insert into photos (store, bucket, key, version, listing, state, category, human, rule, reason, decided_by, policy, decided_at, registered_at)
      select 's3', 'photos', key, 'v1', (n % 40)::text, verdict, category, human, rule, 'because', model, 'p1', at, at from decided order by n
      returning *
    )
    insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, policy, decided_at)
    select m.id, m.state, m.rule, m.reason, m.category, m.human, jsonb_build_object(m.category, d.score), m.decided_by, 'p1', m.decided_at
    from made m join drawn d using (key) order by d.n`);
  // moderators look at one in twelve of what was shown or hidden: they see every human, and mend one category in twenty
  await db.pool.query(`
    with seen as (
      select p.id, p.category, d.n, d.at, d.person or d.n % 240 = 0 as person
      from photos p join drawn d using (key) where p.state in ('shown', 'hidden') and d.n % 12 = 0
    ), given as (
      insert into verdicts (photo_id, verdict, rule, reason, category, decided_by, decided_at)
      select id, case when person then 'hidden' else 'shown' end, 'moderator', 'decided by ann',
        case when n % 240 = 12 then 'other' end, 'moderator:ann', at + interval '1 hour'
      from seen order by n returning id, photo_id, category
    )
    insert into reviews (verdict_id, photo_id, category, human, audit)
    select g.id, g.photo_id, g.category, s.person, true from given g join seen s on s.id = g.photo_id`);
  await db.pool.query("drop table drawn");
}
