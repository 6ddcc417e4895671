import { writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { describe, expect } from "vitest";
import type { Config } from "../../src/config.ts";
import { forgetObjects } from "../../src/store/forget.ts";
import { eventBridge, gcsPush } from "../events.ts";
import { BACKENDS, rows } from "../fixtures.ts";
import { created, job, KEY, know, OBJECT, ofKey, tablesWith, test } from "../forgetting.ts";
import { ended } from "../maitred.ts";
import { startS3 } from "../s3.ts";
import { waitersIn } from "../waits.ts";

const PHOTO_TABLES = [
  ..."tags verdicts reviews shadow_scores unqueued backfill_photos backfill_changes proposals outbox".split(
    " ",
  ),
  ..."deliveries appeals review_claims review_decisions review_passes".split(" "),
];

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
      review_passes: 1,
      backfills: 2,
      outbox: 1,
      deliveries: 1,
      bad_messages: 3,
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

  test("finds its key in messages, however that is written, and no other's", async ({ db }) => {
    const key = `42/cafe "é" (1)!*~'&<=+.jpg`;
    const form = "42/cafe+%22%C3%A9%22+%281%29%21";
    const sns = (body: object) => JSON.stringify({ Message: JSON.stringify(body) });
    const escaped = (json: string, them: RegExp, upper = false) =>
      json.replaceAll(them, (each) => {
        const hex = each.charCodeAt(0).toString(16).padStart(4, "0");
        return `\\u${upper ? hex.toUpperCase() : hex}`;
      });
    const told = JSON.stringify({ bucket: "photos", key });
    const bodies = {
      S3: `{"bucket":"photos","key":"${form}*%7E%27%26%3C%3D%2B.jpg"}`,
      MinIO: `{"bucket":"photos","key":"${form}%2A~%27%26%3C%3D%2B.jpg"}`.replace("/", "%2F"),
      "MinIO, beside its records": JSON.stringify({ Key: `photos/${key}` }),
      EventBridge: JSON.stringify(eventBridge("Object Created", { key })),
      "EventBridge in SNS": sns(eventBridge("Object Created", { key })),
      "an encoded key in SNS": sns({ bucket: "photos", key: encodeURIComponent(key) }),
      Go: escaped(told, /[<>&]/g),
      "Cloud Storage": escaped(JSON.stringify(gcsPush("OBJECT_FINALIZE", key, 7)), /[<>&=']/g),
      Python: escaped(told, /[^ -~]/g),
      Jackson: escaped(told, /[^ -~]/g, true),
      PHP: escaped(told, /[^ -~]/g).replaceAll("/", "\\/"),
    };
    const keep = (body: string, id: string) =>
      rows(
        db,
        `insert into bad_messages (source, message_id, body, bytes, code, detail) values ('sqs:q', $1, $2, 1, 'BAD_MESSAGE', 'odd')`,
        id,
        body,
      );
    for (const [name, body] of Object.entries(bodies)) await keep(body, name);
    await keep(told.replace("(1)", "(2)"), "another");
    await keep(told.replace("photos", "menus"), "elsewhere");
    await forgetObjects(db.pool, [{ ...OBJECT, key }], "ann", false);
    expect(await rows(db, "select message_id from bad_messages order by 1")).toEqual([
      { message_id: "another" },
      { message_id: "elsewhere" },
    ]);
  });

  test("lets events that waited for it come one after the other, as all of one object do", async ({ db }) => {
    await created(db);
    const [forgetting, one, other] = await Promise.all([1, 2, 3].map(() => db.pool.connect()));
    const told = (client: typeof one, version: string) =>
      client!.query("select outcome from record_events($1, 'right')", [
        JSON.stringify([{ ...ofKey(), version, ord: null }]),
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
    const s3 = await startS3("photos");
    try {
      await s3.put(KEY, "x");
      const config = configFor(BACKENDS[0]!);
      const env = envOf(config, { MAITRED_S3_ENDPOINT: s3.address });
      const [, id] = await know(db, KEY);
      await open(config).queues.add("live", [job(id!)]);

      const dry = await ended(["forget", "--dry-run", "--json", `photos/${KEY}`], env);
      expect(dry.code).toBe(0);
      expect(JSON.parse(dry.out)).toMatchObject({ erased: false, jobs: 1, counts: { photos: 2 } });
      expect(dry.err).toContain("the object is still there");
      expect(dry.err).toContain("3 messages that could not be taken would go too");

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
      await s3.stop();
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
