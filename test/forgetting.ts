import { type Intake, openIntake } from "../src/cli/intake.ts";
import type { Config } from "../src/config.ts";
import type { PhotoJob } from "../src/photo.ts";
import { recordEvents, type StoredEvent } from "../src/store/events.ts";
import { recordOutcomes } from "../src/store/verdicts.ts";
import { s3Record } from "./events.ts";
import { test as base, type Database, rows } from "./fixtures.ts";
import { judged } from "./verdicts.ts";

export const KEY = "42/secret-dish-4711 (1).jpg";
export const OBJECT = { store: "s3", bucket: "photos", key: KEY } as const;

/** What is told of that object, nobody says when. */
export const ofKey = (over: Partial<StoredEvent> = {}): StoredEvent => ({
  ...OBJECT,
  kind: "created",
  version: "etag:1",
  order: null,
  known: {},
  ...over,
});

export const created = async (db: Database, over: Partial<StoredEvent> = {}): Promise<string> =>
  (await recordEvents(db.pool, [ofKey(over)], "right"))[0]!.photoId!;

/** Everything that can be known of an object, in every table. Answers with the ids of its photos. */
export async function know(db: Database, key: string): Promise<string[]> {
  const old = await created(db, { key });
  const now = await created(db, { key, version: "etag:2" });
  await recordOutcomes(db.pool, [judged(old, "shown"), judged(now, "shown")]);
  await rows(
    db,
    `insert into destinations (id, kind, url, secret) values ('d', 'webhook', 'https://d', 's')
      on conflict (id) do update set enabled = true`,
  );
  await rows(db, "select record_review($1, 'ann', 'hidden', 'menu', true, false, 'no')", now);
  // or that it is forgotten would be told, with its key
  await rows(db, "update destinations set enabled = false");
  await rows(
    db,
    "insert into models (id, sha256, registered_by) values ('m-2', repeat('0', 64), 'ann') on conflict do nothing",
  );
  await rows(
    db,
    `insert into shadow_scores (model, photo_id, verdict, category, human, scores, beside, beside_verdict, beside_category,
      beside_human, beside_scores) values ('m-2', $1, 'shown', 'food', 0, '{}', 'm-1', 'shown', 'food', 0, '{}')`,
    now,
  );
  await rows(db, "insert into unqueued values ($1) on conflict do nothing", now);
  await rows(db, "insert into tokens values ('t', 'n', '', '{}') on conflict do nothing");
  const answer = (ids: string[]) => ({ photos: ids.map((id) => ({ id, outcome: "accepted" })) });
  const keep = "insert into idempotent_answers values ('t', $1, '', 202, $2)";
  await rows(db, keep, `one of ${now}`, { id: now, outcome: "accepted" });
  await rows(db, keep, `all of ${now}`, answer([old, now]));
  await rows(
    db,
    `insert into bad_messages (source, message_id, body, bytes, code, detail)
      select 'sqs:q', $1 || n, body, 1, 'BAD_MESSAGE', 'odd' from unnest($2::text[]) with ordinality b (body, n)`,
    `${now}-`,
    [
      JSON.stringify({ bucket: "photos", key }),
      JSON.stringify({ Message: JSON.stringify({ bucket: "photos", key }) }),
      JSON.stringify({ Records: [s3Record("ObjectCreated:Put", { key })] }),
    ],
  );
  const [{ id: run }] = await rows(
    db,
    `insert into backfills (what, cursor, model, started_by)
      values ('{"kind": "prefix", "bucket": "photos"}', $1, 'model:m-1', 'ann') returning id`,
    { after: key },
  );
  await rows(db, "insert into backfill_photos values ($1, $2)", now, run);
  await rows(
    db,
    "insert into backfill_changes values ($2, $1, 'shown', 'food', 'hidden', 'food', null)",
    now,
    run,
  );
  await rows(db, "insert into proposals values ($2, $1, '{}')", now, run);
  await rows(db, "select open_appeal($1, $2, 'uploader:7', 'token:t')", now, `not ${key}`);
  await rows(db, "insert into review_claims values ($1, 'ann', 'appeal', now())", now);
  await rows(
    db,
    `insert into review_decisions (id, photo_id, moderator, verdict, verdict_id, before)
      values (gen_random_uuid(), $1, 'ann', 'hidden', 1, '{}')`,
    now,
  );
  await rows(db, "insert into review_passes values (gen_random_uuid(), $1, 'ann', 1)", now);
  await rows(db, "insert into sweeps (bucket, prefix, cursor) values ('photos', $1, $2)", `${now}`, key);
  // of this one object
  await rows(
    db,
    `insert into backfills (what, model, started_by, state, ended_at)
      values (jsonb_build_object('kind', 'prefix', 'bucket', 'photos', 'prefix', $1::text), 'model:m-1', 'ann', 'done', now())`,
    key,
  );
  await rows(db, "insert into sweeps (bucket, prefix, state) values ('photos', $1, 'done')", key);
  return [old, now];
}

/** Every table of the database that has a row with this text in it. */
export async function tablesWith(db: Database, text: string): Promise<string[]> {
  const tables = await rows(
    db,
    `select format('%I.%I', table_schema, table_name) as name from information_schema.tables
      where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')`,
  );
  const found: string[] = [];
  for (const { name } of tables) {
    const hits = await rows(db, `select from ${name} t where t::text like '%' || $1 || '%'`, text);
    if (hits.length > 0) found.push(name);
  }
  return found;
}

export const test = base.extend<{ open(config: Config): Intake }>({
  open: async ({ scope }, use) => {
    await use((config) => openIntake(config, scope, () => {}));
  },
});

export const job = (id: string, key = KEY): PhotoJob => ({
  id,
  store: "s3",
  bucket: "photos",
  key,
  version: "",
  known: {},
});
