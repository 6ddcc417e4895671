import pg from "pg";

/** What the generated rows are like; written into the result. */
export const DISTRIBUTIONS = {
  listings: "one for 50 photos; their sizes follow a square law, so that the largest has thousands",
  states:
    "82 % shown, 12 % hidden for a human, 13 % of menus and uncertain humans in review, 2 % failed, 0.1 % pending",
  categories: "60 % food, 20 % ambience, 10 % menu, 10 % other",
  time: "three years, evenly; the first 40 % judged by one model, the rest by the next",
  history: "15 % of photos have a second model's verdict, 2 % a moderator's, of which a fifth are audits",
  versions: "3 % of photos are superseded",
};

/**
 * Fills photos, tags, verdicts and reviews with so many photos, over `workers` connections. The
 * tables are logged, and their indexes are dropped meanwhile and built again. Triggers do not fire: what they write is not
 * what is measured here.
 */
export async function fillTables(
  url: string,
  photos: number,
  workers: number,
  say: (text: string) => void,
): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  const { rows: indexes } = await client.query<{ name: string; definition: string }>(
    `select indexrelid::regclass::text as name, pg_get_indexdef(indexrelid) as definition from pg_index
      where indrelid in ('photos'::regclass, 'tags'::regclass, 'verdicts'::regclass, 'reviews'::regclass) and not indisunique`,
  );
  for (const { name } of indexes) await client.query(`drop index ${name}`);
  await client.query("alter table photos drop constraint photos_store_bucket_key_version_key");
  const chunk = Math.min(500_000, Math.ceil(photos / workers));
  let next = 1;
  const work = async (): Promise<void> => {
    const own = new pg.Client({ connectionString: url, options: "-c synchronous_commit=off" });
    await own.connect();
    await own.query("set session_replication_role = replica");
    while (next <= photos) {
      const [from, to] = [next, Math.min(photos, next + chunk - 1)];
      next = to + 1;
      for (const statement of [PHOTOS, VERDICTS, TAGS, REVIEWS]) {
        // numbers of ours, which a prepared statement would not let the planner see
        await own.query(
          statement.replaceAll("$FROM", `${from}`).replaceAll("$TO", `${to}`).replaceAll("$ALL", `${photos}`),
        );
      }
      say(`${to} photos`);
    }
    await own.end();
  };
  await Promise.all(Array.from({ length: workers }, work));
  await client.query("select setval(pg_get_serial_sequence('photos', 'id'), $1)", [photos]);
  await client.query("set maintenance_work_mem = '1GB'");
  await client.query(
    "alter table photos add constraint photos_store_bucket_key_version_key unique (store, bucket, key, version)",
  );
  for (const { name, definition } of indexes) {
    await client.query(definition);
    say(`index ${name}`);
  }
  await client.query("vacuum (analyze) photos, tags, verdicts, reviews");
  await client.query("checkpoint");
  await client.end();
}

/** What `random()` decides is decided in the inner query, so that all columns of a row agree. */
const PHOTOS = `
insert into photos (id, store, bucket, key, version, listing, uploader, claimed, state, category, human, rule, reason, failure,
  decided_by, policy, lane, registered_at, decided_at, superseded_at) overriding system value
select n, 's3', 'photos', 'uploads/' || listing || '/' || md5(n::text) || '.jpg', 'etag:' || md5('v' || n), listing,
  case when u < 0.8 then 'user' else 'moderator' end, case when c < 0.3 then category end, state,
  case when state not in ('failed', 'pending') then category end,
  case when state in ('failed', 'pending') then null when rule = 'human' then 0.5 + h / 2 when rule = 'human-uncertain' then 0.05 + h * 0.45
    else 0.05 * h * h end,
  case when state <> 'pending' then rule end,
  case when state <> 'pending' then rule || ': ' || category || ' 0.84, human 0.02 < 0.05' end,
  case when state = 'failed' then (array['CORRUPT', 'UNSUPPORTED_FORMAT', 'GONE', 'TOO_LARGE', 'STORE_UNAVAILABLE'])[1 + floor(h * 5)::int] end,
  case when state = 'pending' then null when rule = 'moderator' then 'moderator:' || (array['ann', 'bob', 'cyd', 'dee', 'eve', 'fay', 'gus', 'hal'])[1 + floor(h * 8)::int]
    when n < $ALL * 0.4 then 'model:restaurant-2' else 'model:restaurant-4' end,
  case when state <> 'pending' and rule <> 'moderator' then '5f0c1d9be2a7' end, 'live', at, case when state <> 'pending' then at + make_interval(secs => 2 + 5 * h) end,
  case when v < 0.03 then at + interval '1 day' end
from (
  select *, case when rule = 'failed' then 'failed' when rule = 'pending' then 'pending' when rule = 'human' then 'hidden'
      when rule in ('human-uncertain', 'verify') then 'review' when rule = 'moderator' and h < 0.3 then 'hidden' else 'shown' end as state
  from (
    select *, case when s < 0.02 then 'failed' when s < 0.021 then 'pending' when s < 0.14 then 'human' when s < 0.17 then 'human-uncertain'
        when s < 0.19 then 'moderator' when category = 'menu' then 'verify' else 'clear' end as rule
    from (
      select n, floor($ALL / 50.0 * power(random(), 2))::int::text as listing, random() as u, random() as c, random() as s, random() as h, random() as v,
        (array['food', 'food', 'food', 'food', 'food', 'food', 'ambience', 'ambience', 'menu', 'other'])[1 + floor(random() * 10)::int] as category,
        now() - interval '3 years' * (1 - n / $ALL.0) as at
      from generate_series($FROM, $TO) n
    ) drawn
  ) ruled
) stated`;

/** A model's verdict; before it perhaps one of the model before; after it perhaps a moderator's. */
const VERDICTS = `
insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, policy, batch, decided_at, failure)
select id, verdict, rule, reason, category, human,
  case when verdict <> 'failed' and by like 'model:%' then
    jsonb_build_object(category, 0.5 + id * 7919 % 500 / 1000.0, 'next', 0.1, 'third', 0.06, 'last', 0.01) end, by,
  case when by like 'model:%' then '5f0c1d9be2a7' end, 'w-' || id / 8, at, failure
from (
  select 2 as step, id, state as verdict, rule, reason, category, human, failure, decided_by as by, decided_at as at
  from photos where id between $FROM and $TO and state <> 'pending' and rule <> 'moderator'
  union all
  select 1, id, 'shown', 'clear', 'clear: 0.84', coalesce(category, 'food'), 0.01, null, 'model:restaurant-0', decided_at - interval '1 second'
  from photos where id between $FROM and $TO and state <> 'pending' and id % 100 < 15
  union all
  select 2, id, case when id % 10 < 7 then state else 'review' end, 'human-uncertain', 'human 0.20', category, 0.2, null, 'model:restaurant-2', decided_at - interval '1 second'
  from photos where id between $FROM and $TO and rule = 'moderator'
  union all
  select 3, id, state, rule, reason, category, null, null, decided_by, decided_at
  from photos where id between $FROM and $TO and rule = 'moderator'
) v order by id, step`;

const TAGS = `
insert into tags (photo_id, category, score, threshold, model)
select id, category, 0.5 + random() / 2, 0.4, decided_by from photos where id between $FROM and $TO and category is not null
union all
select id, 'menu', 0.25, 0.2, decided_by from photos where id between $FROM and $TO and category <> 'menu' and id % 10 = 0`;

const REVIEWS = `
insert into reviews (verdict_id, photo_id, category, human, audit, moderator, at, verdict, model, model_verdict, model_rule, model_category)
select v.id, v.photo_id, v.category, v.verdict = 'hidden', v.photo_id % 5 = 0, substr(v.decided_by, 11), v.decided_at, v.verdict,
  m.decided_by, m.verdict, m.rule, m.category
from photos p join verdicts v on v.photo_id = p.id and v.decided_by = p.decided_by
join verdicts m on m.photo_id = p.id and m.rule = 'human-uncertain'
where p.id between $FROM and $TO and p.rule = 'moderator'`;
