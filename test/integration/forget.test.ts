import { writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { CreateBucketCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { startFauxqs } from "fauxqs";
import { Redis } from "ioredis";
import pg from "pg";
import { describe, expect } from "vitest";
import { type Intake, openIntake } from "../../src/cli/intake.ts";
import type { Config } from "../../src/config.ts";
import { UpstreamError } from "../../src/errors.ts";
import { Scope } from "../../src/lifecycle.ts";
import type { PhotoJob } from "../../src/photo.ts";
import { consume } from "../../src/queue/consumer.ts";
import { recordEvents, type StoredEvent } from "../../src/store/events.ts";
import { forgetObjects } from "../../src/store/forget.ts";
import { type Outcome, recordOutcomes } from "../../src/store/verdicts.ts";
import { erase } from "../../src/wiring/erase.ts";
import { BACKENDS, test as base, type Database, rows } from "../fixtures.ts";
import { ended } from "../maitred.ts";
import { waitersIn } from "../waits.ts";

const KEY = "42/secret-dish-4711.jpg";
const PHOTO_TABLES = [
  ..."tags verdicts reviews shadow_scores unqueued backfill_photos backfill_changes proposals outbox".split(
    " ",
  ),
  ..."deliveries appeals review_claims review_decisions".split(" "),
];
const OBJECT = { store: "s3", bucket: "photos", key: KEY } as const;
const event = (over: Partial<StoredEvent> = {}): StoredEvent => ({
  kind: "created",
  store: "s3",
  bucket: "photos",
  key: KEY,
  version: "etag:1",
  order: null,
  known: {},
  ...over,
});
const verdict = (photoId: string): Outcome => ({
  photoId,
  known: {},
  batch: "t-1",
  by: "model:m-1",
  policy: "p1",
  result: {
    scores: { categories: { food: 1 }, human: 0 },
    decision: {
      verdict: "shown",
      rule: "clear",
      reason: "because",
      category: "food",
      tags: [{ category: "food", score: 1, threshold: 0.5 }],
    },
  },
});
const created = async (db: Database, over: Partial<StoredEvent> = {}): Promise<string> =>
  (await recordEvents(db.pool, [event(over)], "right"))[0]!.photoId!;

/** Everything that can be known of an object, in every table. Answers with the ids of its photos. */
async function know(db: Database, key: string): Promise<string[]> {
  const old = await created(db, { key });
  const now = await created(db, { key, version: "etag:2" });
  await recordOutcomes(db.pool, [verdict(old), verdict(now)]);
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
async function tablesWith(db: Database, text: string): Promise<string[]> {
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

/** Every key of our Redis prefix under which this text stands. */
async function redisKeysWith(config: Config, text: string): Promise<string[]> {
  const redis = new Redis(config.queueUrl);
  const found: string[] = [];
  for await (const keys of redis.scanStream({ match: `${config.queuePrefix}*` })) {
    for (const key of keys as string[]) {
      const kind = await redis.type(key);
      const value =
        kind === "hash"
          ? await redis.hgetall(key)
          : kind === "list"
            ? await redis.lrange(key, 0, -1)
            : kind === "zset"
              ? await redis.zrange(key, "0", "-1")
              : kind === "stream"
                ? await redis.xrange(key, "-", "+")
                : kind;
      if (`${key}${JSON.stringify(value)}`.includes(text)) found.push(key);
    }
  }
  redis.disconnect();
  return found;
}

const test = base.extend<{ open(config: Config): Intake }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the names of the fixtures from the pattern
  open: async ({}, use) => {
    const scope = new Scope();
    await use((config) => openIntake(config, scope, () => {}));
    await scope.close();
  },
});
const job = (id: string, key = KEY): PhotoJob => ({
  id,
  store: "s3",
  bucket: "photos",
  key,
  version: "",
  known: {},
});

describe("forgetting an object", () => {
  test("leaves its key in no table, and nothing of its photos, and others as they are", async ({ db }) => {
    const other = await know(db, "other");
    const ids = await know(db, KEY);
    const { counts, photoIds } = await forgetObjects(db.pool, [OBJECT], "ann", false);
    expect(photoIds).toEqual(ids);
    expect(counts).toEqual({
      photos: 2,
      tags: 2,
      verdicts: 3,
      reviews: 1,
      shadow_scores: 1,
      unqueued: 1,
      backfill_photos: 1,
      backfill_changes: 1,
      proposals: 1,
      appeals: 1,
      review_claims: 1,
      review_decisions: 1,
      backfills: 2,
      outbox: 1,
      deliveries: 1,
      bad_messages: 2,
      idempotent_answers: 2,
      sweeps: 2,
      object_order: 1,
    });
    expect(await tablesWith(db, "secret-dish-4711")).toEqual([]);
    for (const table of PHOTO_TABLES)
      expect(await rows(db, `select distinct photo_id from ${table} where photo_id = any ($1)`, ids)).toEqual(
        [],
      );
    expect((await forgetObjects(db.pool, [{ ...OBJECT, key: "other" }], "ann", false)).counts).toEqual(
      counts,
    );
    expect(other).toHaveLength(2);
  });

  test("lets events that waited for it come one after the other, as all of one object do", async ({ db }) => {
    await created(db);
    const [forgetting, one, other] = await Promise.all([1, 2, 3].map(() => db.pool.connect()));
    const told = (client: typeof one, version: string) =>
      client!.query("select outcome from record_events($1, 'right')", [
        JSON.stringify([{ ...event(), version, ord: null }]),
      ]);
    try {
      for (const client of [forgetting, one, other]) await client!.query("begin");
      // as far as it is when it holds the object and has erased nothing yet
      await forgetting!.query("select from object_order where key = $1 for update", [KEY]);
      const first = told(one!, "etag:2");
      await waitersIn(db);
      const second = told(other!, "etag:3");
      await waitersIn(db, 2);
      await forgetting!.query("select forget_objects($1, 'ann')", [
        JSON.stringify([{ ...OBJECT, spellings: [] }]),
      ]);
      await forgetting!.query("commit");
      // either may be the first, and the other waits for its commit
      const done = await Promise.race([first.then(() => one!), second.then(() => other!)]);
      await waitersIn(db);
      await done.query("commit");
      expect((await Promise.all([first, second])).map(({ rows: [row] }) => row.outcome)).toEqual(
        Array(2).fill("accepted"),
      );
      await (done === one ? other! : one!).query("commit");
    } finally {
      for (const client of [forgetting, one, other]) client!.release(true);
    }
    expect(await rows(db, "select from photos where key = $1 and superseded_at is null", KEY)).toHaveLength(
      1,
    );
  });

  test("keeps who did it, when, and how much it was", async ({ db }) => {
    await know(db, KEY);
    const { counts } = await forgetObjects(db.pool, [OBJECT], "ann", false);
    expect(
      await rows(db, "select by, counts, at > now() - interval '1 minute' as now from erasures"),
    ).toEqual([{ by: "ann", counts, now: true }]);
    await expect(rows(db, "delete from erasures")).rejects.toMatchObject({ code: "MD409" });
    await forgetObjects(db.pool, [OBJECT], "ann", false);
    expect(await rows(db, "select from erasures")).toHaveLength(1);
  });

  test("only says what it would do, where that is asked", async ({ db }) => {
    await know(db, KEY);
    const would = await forgetObjects(db.pool, [OBJECT], "ann", true);
    expect(await rows(db, "select from photos")).toHaveLength(2);
    expect(await forgetObjects(db.pool, [OBJECT], "ann", false)).toEqual(would);
  });

  test("covers every table that has a photo's id or an object's key", async ({ db }) => {
    const tables = await rows(
      db,
      `select distinct c.table_name as name from information_schema.columns c
        join information_schema.tables t using (table_schema, table_name)
        where c.table_schema = 'public' and t.table_type = 'BASE TABLE'
          and (c.column_name in ('photo_id', 'cursor')
            or c.column_name = 'key' and exists (
              select from information_schema.columns b
              where b.table_name = c.table_name and b.column_name = 'bucket'))
        union select conrelid::regclass::text from pg_constraint where confrelid = 'photos'::regclass
        order by 1`,
    );
    const { counts } = await forgetObjects(db.pool, [OBJECT], "ann", true);
    expect(Object.keys(counts)).toEqual(expect.arrayContaining(tables.map(({ name }) => name)));
  });

  test("is not for a worker's role", async ({ db }) => {
    const client = await db.pool.connect();
    try {
      await client.query("set role maitred_worker");
      const call = client.query("select forget_objects($1, 'x')", [JSON.stringify([OBJECT])]);
      await expect(call).rejects.toMatchObject({ code: "42501" });
    } finally {
      await client.query("reset role");
      client.release();
    }
  });
});

describe.each(BACKENDS)("on %s, the queue", (backend) => {
  const keep = async (db: Database, config: Config, text: string): Promise<string[]> =>
    backend === "redis" ? redisKeysWith(config, text) : tablesWith(db, text);

  test("holds no job of its photos any more, in either lane", async ({ db, configFor, open }) => {
    const config = configFor(backend);
    const { queues } = open(config);
    await queues.add("live", [job("1"), job("3", "other")]);
    await queues.add("backfill", [job("2")]);
    expect(await queues.held(["1", "2", "4"])).toBe(2);
    expect(await keep(db, config, "secret-dish-4711")).not.toEqual([]);
    expect(await queues.remove(["1", "2", "4"])).toEqual({ removed: 2, inHand: 0 });
    expect(await keep(db, config, "secret-dish-4711")).toEqual([]);
    expect((await queues.depth("live")).waiting).toBe(1);
  });

  test("keeps the jobs of an object that whoever asked may not forget", async ({ db, configFor, open }) => {
    const { queues } = open(configFor(backend));
    const id = await created(db);
    await queues.add("live", [job(id)]);
    const worker = new pg.Pool({ connectionString: db.url, options: "-c role=maitred_worker" });
    await expect(erase(worker, queues, [OBJECT], "oda")).rejects.toMatchObject({
      code: "DATABASE_FORBIDDEN",
    });
    await worker.end();
    expect(await queues.held([id])).toBe(1);
    expect(await erase(db.pool, queues, [OBJECT], "ann")).toMatchObject({ removed: 1, inHand: 0 });
    expect(await queues.held([id])).toBe(0);
  });

  test("ends a job in hand without effect, and has none follow it: its verdict has no row to go to", async ({
    db,
    configFor,
    open,
  }) => {
    const config = configFor(backend);
    const { queues, server } = open(config);
    const id = await created(db);
    await queues.add("live", [job(id)]);
    let begin = (): void => {};
    let judge = (): void => {};
    const begun = new Promise<void>((resolve) => (begin = resolve));
    const judged = new Promise<void>((resolve) => (judge = resolve));
    const outcomes: Map<string, boolean>[] = [];
    const settings = { concurrency: 1, lockMs: 30_000, attempts: 3, backoffMs: 10, patienceMs: 0 };
    const consumer = await consume(server, "live", settings, {
      async photo(photo) {
        await queues.add("live", [photo]);
        begin();
        await judged;
        outcomes.push(await recordOutcomes(db.pool, [verdict(photo.id)]));
      },
      abandoned: async () => {},
      error: () => {},
    });
    await begun;
    expect(await queues.remove([id])).toEqual({ removed: 0, inHand: 1 });
    await forgetObjects(db.pool, [OBJECT], "ann", false);
    judge();
    await consumer.close();
    expect(outcomes).toEqual([new Map()]);
    expect(await rows(db, "select from photos")).toEqual([]);
    expect(await rows(db, "select from verdicts")).toEqual([]);
    expect(await keep(db, config, "secret-dish-4711")).toEqual([]);
  });

  test("holds nothing either of what was to follow a job that is to be tried again", async ({
    db,
    configFor,
    open,
  }) => {
    const config = configFor(backend);
    const { queues, server } = open(config);
    await queues.add("live", [job("1")]);
    const settings = { concurrency: 1, lockMs: 30_000, attempts: 3, backoffMs: 60_000, patienceMs: 0 };
    const consumer = await consume(server, "live", settings, {
      async photo(photo) {
        await queues.add("live", [photo]);
        throw new UpstreamError("STORE_UNAVAILABLE", "down");
      },
      abandoned: async () => {},
      error: () => {},
    });
    await expect.poll(() => queues.depth("live")).toMatchObject({ delayed: 1 });
    await consumer.close();
    expect(await queues.remove(["1"])).toEqual({ removed: 1, inHand: 0 });
    expect(await keep(db, config, "secret-dish-4711")).toEqual([]);
  });
});

describe("maitred forget", () => {
  const envOf = (config: Config, over: Record<string, string> = {}): Record<string, string> => ({
    DATABASE_URL: config.databaseUrl,
    MAITRED_QUEUE_URL: config.queueUrl,
    MAITRED_QUEUE_PREFIX: config.queuePrefix,
    ...over,
  });

  test("lists, asks, erases, and then knows nothing; and warns of an object that is still there", async ({
    db,
    configFor,
    open,
  }) => {
    const store = await startFauxqs({ port: 0, logger: false });
    const s3 = new S3Client({ endpoint: store.address, region: "us-east-1", forcePathStyle: true });
    try {
      await s3.send(new CreateBucketCommand({ Bucket: "photos" }));
      await s3.send(new PutObjectCommand({ Bucket: "photos", Key: KEY, Body: "x" }));
      const config = configFor(BACKENDS[0]!);
      const env = envOf(config, { MAITRED_S3_ENDPOINT: store.address });
      const [, id] = await know(db, KEY);
      await open(config).queues.add("live", [job(id!)]);

      const dry = await ended(["forget", "--dry-run", "--json", `photos/${KEY}`], env);
      expect(dry.code).toBe(0);
      expect(JSON.parse(dry.out)).toMatchObject({ erased: false, jobs: 1, counts: { photos: 2 } });
      expect(dry.err).toContain("the object is still there");
      expect(dry.err).toContain("2 messages that could not be taken would go too");

      const unsure = await ended(["forget", `photos/${KEY}`], env, "no\n");
      expect(unsure.code).toBe(1);
      const silent = await ended(["forget", `photos/${KEY}`], env);
      expect(silent.code).toBe(2);
      expect(silent.err).toContain("--yes");
      expect(await rows(db, "select from photos")).toHaveLength(2);

      const sure = await ended(["forget", "--by", "ann", `s3://photos/${KEY}`], env, "yes\n");
      expect(sure.code).toBe(0);
      expect(sure.out).toMatch(/^photos +2$/m);
      expect(sure.out).toMatch(/^jobs in the queue +1$/m);
      expect(sure.out).not.toMatch(/ 0$/m);
      expect(await rows(db, "select by from erasures")).toEqual([{ by: "ann" }]);

      const again = await ended(["forget", "--yes", "--json", `photos/${KEY}`], env);
      expect(again.code).toBe(1);
      expect(JSON.parse(again.out)).toMatchObject({ erased: false, stillThere: "yes" });
      expect(again.err).toContain("nothing is known");

      const anew = await ended(["forget", "--yes", `photos/${KEY}`], env);
      expect(anew.code).toBe(1);
      expect(anew.out).toBe("");
      expect(anew.err).toBe(
        `nothing is known of "photos/${KEY}", so there is nothing to erase; a photo of a folder is named by a path that begins with / or .\n`,
      );
    } finally {
      s3.destroy();
      await store.stop();
    }
  });

  test("finds a photo of a folder by its path", async ({ db, configFor, folder }) => {
    await created(db, { store: "folder", bucket: folder, key: "a/b.jpg" });
    const command = await ended(
      ["forget", "--yes", "--json", `${folder}/a/b.jpg`],
      envOf(configFor("postgres")),
    );
    expect(command.code).toBe(0);
    expect(JSON.parse(command.out)).toMatchObject({
      erased: true,
      counts: { photos: 1 },
      stillThere: "no",
    });
  });

  test("finds it by a relative path too, and erases nothing where that may be an object's name", async ({
    db,
    configFor,
    folder,
  }) => {
    for (const key of ["a.jpg", "gone.jpg"]) await created(db, { store: "folder", bucket: folder, key });
    await created(db, { bucket: "src", key: "index.ts" });
    writeFileSync(join(folder, "a.jpg"), "");
    const env = envOf(configFor("postgres"));
    const forget = async (path: string) => {
      const command = await ended(["forget", "--yes", "--json", path], env);
      return { code: command.code, out: command.out, err: command.err };
    };
    const here = relative(process.cwd(), folder);
    expect(here).toMatch(/^\.\.\//);
    for (const [key, stillThere] of [
      ["a.jpg", "yes"],
      ["gone.jpg", "no"],
    ] as const) {
      const { code, out } = await forget(`${here}/${key}`);
      expect(code).toBe(0);
      expect(JSON.parse(out)).toMatchObject({ erased: true, counts: { photos: 1 }, stillThere });
    }
    const either = await forget("src/index.ts");
    expect(either.code).toBe(2);
    expect(either.err).toContain("expected ./src/index.ts, a file here, or s3://src/index.ts, an object");
    expect((await forget("s3://src/index.ts")).code).toBe(0);
  });
});

describe("a removal that erases", () => {
  const removed = (db: Database, over: Partial<StoredEvent> = {}) =>
    recordEvents(db.pool, [event({ kind: "removed", version: "", ...over })], "right", true);

  test("deletes the photos of the object with all that was said of them, and remembers the order", async ({
    db,
  }) => {
    await know(db, KEY);
    const { counts } = await forgetObjects(db.pool, [OBJECT], "x", true);
    expect(counts["tags"]).toBe(2);
    expect(await removed(db, { order: "20" })).toMatchObject([{ outcome: "removed" }]);
    for (const table of ["photos", "tags", "verdicts", "reviews", "shadow_scores", "unqueued"])
      expect(await rows(db, `select from ${table}`)).toEqual([]);
    expect(await recordEvents(db.pool, [event({ order: "15" })], "right", true)).toMatchObject([
      { outcome: "stale" },
    ]);
    expect(await recordEvents(db.pool, [event({ order: "25" })], "right", true)).toMatchObject([
      { outcome: "accepted", queue: true },
    ]);
  });

  test("of one version deletes that one, and of an older event nothing", async ({ db }) => {
    for (const [n, order] of ["10", "12", "20"].entries()) await created(db, { version: `v${n}`, order });
    expect(await removed(db, { order: "15" })).toMatchObject([{ outcome: "stale" }]);
    expect(await rows(db, "select from photos")).toHaveLength(3);
    await removed(db, { version: "v0", order: "30" });
    const left = "select version, superseded_at is null as current from photos order by id";
    expect(await rows(db, left)).toEqual([
      { version: "v1", current: false },
      { version: "v2", current: true },
    ]);
  });

  test("has a photo judged anew that the same message brings back, as if the next one did", async ({
    db,
  }) => {
    await recordOutcomes(db.pool, [verdict(await created(db, { order: "10" }))]);
    await recordEvents(
      db.pool,
      [event({ kind: "removed", version: "", order: "11" }), event({ order: "12" })],
      "right",
      true,
    );
    expect(await rows(db, "select state from photos where superseded_at is null")).toEqual([
      { state: "pending" },
    ]);
    expect(await rows(db, "select from tags")).toEqual([]);
  });

  test("may be done by a worker's role, and leaves tags and history where it is not asked for", async ({
    db,
  }) => {
    await recordOutcomes(db.pool, [verdict(await created(db))]);
    await recordEvents(db.pool, [event({ kind: "removed", version: "" })], "right", false);
    expect(await rows(db, "select from verdicts")).toHaveLength(1);
    const client = await db.pool.connect();
    try {
      await client.query("set role maitred_worker");
      await client.query("select record_events($1, 'right', true)", [
        JSON.stringify([event({ kind: "removed", version: "" })]),
      ]);
    } finally {
      await client.query("reset role");
      client.release();
    }
    expect(await rows(db, "select from verdicts")).toEqual([]);
  });
});
