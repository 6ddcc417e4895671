/** Queues of SQS, on a real server of its protocol, listened to by the process that listens. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { describe, expect, inject } from "vitest";
import { migrateAll } from "../../src/cli/migrate.ts";
import { readConfig } from "../../src/config.ts";
import { startPostgres } from "../../src/embedded/postgres.ts";
import { Scope } from "../../src/lifecycle.ts";
import { createLog } from "../../src/log.ts";
import { consume } from "../../src/queue/consumer.ts";
import { openQueues, type Queues } from "../../src/queue/queues.ts";
import { openQueueServer, type QueueServer } from "../../src/queue/server.ts";
import { countBadMessages } from "../../src/store/bad-messages.ts";
import { startListening } from "../../workers/listen.ts";
import { eventBridge, minioMessage, s3Record } from "../events.ts";
import { BACKENDS, type Backend, test as base } from "../fixtures.ts";
import { maitred } from "../maitred.ts";
import { notification, subscription } from "../sns.ts";
import { gone, openSqs, type Sqs, settled } from "../sqs.ts";

interface Listening {
  url: string;
  server: QueueServer;
  queues: Queues;
  close(): Promise<void>;
}

const test = base.extend<{
  sqs: Sqs;
  start(backend?: Backend, env?: Record<string, string>): Promise<Listening>;
}>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the names of the fixtures from the pattern
  sqs: async ({}, use) => {
    const sqs = await openSqs();
    await use(sqs);
    await sqs.close();
  },
  start: async ({ configFor, sqs }, use) => {
    const scopes: Scope[] = [];
    await use(async (backend = "postgres", env = {}) => {
      const config = configFor(backend, { ...sqs.env, ...env });
      const scope = new Scope();
      scopes.push(scope);
      const { url } = await startListening(config, createLog("silent"), scope);
      const own = new Scope();
      scopes.push(own);
      const server = own.hold(
        "server",
        openQueueServer(config, () => {}),
      );
      const queues = own.hold(
        "queues",
        openQueues(server, () => {}),
      );
      return { url, server, queues, close: () => scope.close() };
    });
    for (const scope of scopes) await scope.close();
  },
});

const record = (key: string) => s3Record("ObjectCreated:Put", { key, etag: "e1", sequencer: "10" });
const keys = async (db: { pool: pg.Pool }): Promise<string[]> =>
  (await db.pool.query('select key from photos order by key collate "C"')).rows.map(({ key }) => key);
const bad = async (db: { pool: pg.Pool }) =>
  (await db.pool.query("select * from bad_messages order by id")).rows;

describe.each(BACKENDS)("with the queue of photos on %s", (backend) => {
  test("a message in every wrapping is taken, its photo queued, and it is deleted", async ({
    sqs,
    start,
    db,
  }) => {
    const { queues, url } = await start(backend);
    await sqs.send(
      { Records: [record("s3 bare+.jpg")] },
      notification({ Records: [record("s3 in sns.jpg")] }),
      eventBridge("Object Created", { key: "bridge bare.jpg", etag: "e1" }),
      notification(eventBridge("Object Created", { key: "bridge in sns.jpg", etag: "e1" })),
      minioMessage("ObjectCreated:Put", { key: "minio/ü.jpg", etag: "e1" }),
      { bucket: "photos", key: "told.jpg", listing: "42" },
      [
        { bucket: "photos", key: "told twice.jpg" },
        { bucket: "photos", key: "told+.jpg" },
      ],
      { Service: "Amazon S3", Event: "s3:TestEvent", Bucket: "photos" },
    );
    await expect.poll(() => sqs.held(), settled).toEqual(gone);
    expect(await keys(db)).toEqual([
      "bridge bare.jpg",
      "bridge in sns.jpg",
      "minio/ü.jpg",
      "s3 bare+.jpg",
      "s3 in sns.jpg",
      "told twice.jpg",
      "told+.jpg",
      "told.jpg",
    ]);
    expect((await queues.depth("live")).waiting).toBe(8);
    expect(await bad(db)).toEqual([]);
    expect((await db.pool.query("select from unqueued")).rows).toEqual([]);
    expect((await db.pool.query("select from photos where listing = '42'")).rows).toHaveLength(1);
    const metrics = await (await fetch(`${url}/metrics`)).text();
    // no alert waits for the API where only listeners run
    expect(metrics).toContain("maitred_unqueued_photos 0");
    expect(metrics).toContain('maitred_listen_messages_total{source="sqs:uploads",outcome="taken"} 8');
    expect(metrics).toContain('maitred_listen_events_total{source="sqs:uploads",outcome="accepted"} 8');
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
  });

  test("beyond the limit of uploads that wait nothing more is received, until there is room", async ({
    sqs,
    start,
    db,
  }) => {
    const { queues, server } = await start(backend, { MAITRED_QUEUE_LIMIT: "1", MAITRED_SQS_RECEIVES: "1" });
    let sent = 0;
    // what waits is asked for once a second, and a poll that began before still brings something
    await expect
      .poll(async () => {
        await sqs.send({ Records: [record(`k${sent++}`)] });
        return sqs.held().waiting;
      }, settled)
      .toBe(15);
    expect((await queues.depth("live")).waiting).toBeGreaterThan(0);
    expect(sqs.receives()).toContain(0);
    const limits = { concurrency: 4, lockMs: 5_000, attempts: 1, backoffMs: 1, patienceMs: 0 };
    const nothing = async (): Promise<void> => {};
    const consumer = await consume(server, "live", limits, {
      photo: nothing,
      abandoned: nothing,
      error() {},
    });
    await expect.poll(() => sqs.held(), settled).toEqual(gone);
    expect(await keys(db)).toHaveLength(sent);
    await consumer.close();
  });

  test("several listeners share a queue, and every message is taken once", async ({ sqs, start, db }) => {
    await sqs.send(...Array.from({ length: 120 }, (_, n) => ({ Records: [record(`k${n}`)] })));
    const [one, two] = await Promise.all([start(backend), start(backend)]);
    await expect.poll(() => sqs.held(), settled).toEqual(gone);
    expect(await keys(db)).toHaveLength(120);
    expect((await one.queues.depth("live")).waiting).toBe(120);
    await Promise.all([one.close(), two.close()]);
  });
});

describe("a message that cannot be understood", () => {
  const bodies = [
    "hello",
    JSON.stringify({ Records: [record("good"), { eventVersion: "3.0" }] }),
    JSON.stringify({ bucket: "photos", key: "a", lisitng: "42" }),
    JSON.stringify(notification("hello")),
    JSON.stringify(subscription("SubscriptionConfirmation")),
    "[]",
    "null",
  ];

  test("is kept with its body and the reason, and deleted; the others of its receive are taken, and its own that are understood", async ({
    sqs,
    start,
    db,
  }) => {
    const ids = await sqs.send(...bodies, { Records: [record("b")] }, { Records: [record("a")] });
    await start();
    await expect.poll(() => sqs.held(), settled).toEqual(gone);
    expect(await keys(db)).toEqual(["a", "b", "good"]);
    const kept = await bad(db);
    expect(kept.map(({ body }) => body).toSorted()).toEqual(bodies.toSorted());
    expect(await countBadMessages(db.pool)).toBe(bodies.length);
    const hello = kept.find(({ body }) => body === "hello");
    expect(hello).toMatchObject({
      source: "sqs:uploads",
      message_id: ids[0],
      bytes: 5,
      sent_at: expect.any(Date),
      code: "EVENT_INVALID",
      detail: "the message: expected JSON",
      attempts: 1,
      resolution: null,
    });
    expect(kept.map(({ detail }) => detail).join()).toMatch(/lisitng/);
    expect(kept.map(({ detail }) => detail).join()).toMatch(/SubscribeURL/);
  });
});

test.for(["in its envelope", "raw"])(
  "what SNS delivers to a queue %s is taken",
  async (how, { sqs, start, db }) => {
    const { topicArn } = sqs.server.createTopic("events");
    const attributes = { RawMessageDelivery: String(how === "raw") };
    sqs.server.subscribe({ topic: "events", queue: "uploads", attributes });
    const publish = async (message: unknown): Promise<void> => {
      const body = new URLSearchParams({
        Action: "Publish",
        TopicArn: topicArn,
        Message: JSON.stringify(message),
        Version: "2010-03-31",
      });
      expect((await fetch(sqs.server.address, { method: "POST", body })).status).toBe(200);
    };
    await publish({ Records: [record("a+b %.jpg")] });
    await publish(eventBridge("Object Created", { key: "c", etag: "e1" }));
    expect(sqs.held().waiting).toBe(2);
    await start();
    await expect.poll(() => sqs.held(), settled).toEqual(gone);
    expect(await keys(db)).toEqual(["a+b %.jpg", "c"]);
    expect(await bad(db)).toEqual([]);
  },
);

test("maitred listen takes what comes, drains, and needs a queue", async ({ sqs, db }) => {
  const env = { DATABASE_URL: db.url, ...sqs.env };
  const listening = maitred(["listen"], env);
  await listening.says('"msg":"listening"');
  await sqs.send({ Records: [record("a")] }, "hello");
  await expect.poll(() => sqs.held(), settled).toEqual(gone);
  expect(await keys(db)).toEqual(["a"]);
  const url = /"url":"([^"]+)"/.exec(listening.stderr())![1]!;
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
  listening.child.kill("SIGTERM");
  expect(await listening.exit).toBe(0);
  expect(listening.stderr()).toContain("put a message aside");

  const none = maitred(["listen"], { DATABASE_URL: db.url });
  expect(await none.exit).toBe(2);
  expect(none.stderr()).toContain("MAITRED_SQS_QUEUES");
});

test.each(BACKENDS)(
  "with the queue of photos on %s, a restart of Postgres under a listener costs no message, and one delivery of each",
  async (backend) => {
    const home = mkdtempSync(join(tmpdir(), "maitred-listen-"));
    const sqs = await openSqs();
    let postgres = await startPostgres(home);
    const { url } = postgres;
    const scope = new Scope();
    const pool = new pg.Pool({ connectionString: url });
    pool.on("error", () => {});
    const config = readConfig({
      DATABASE_URL: url,
      MAITRED_QUEUE_URL: backend === "redis" ? inject("redisUrl") : url,
      MAITRED_QUEUE_PREFIX: `listen_${process.pid}`,
      MAITRED_PORT: "0",
      MAITRED_SQS_VISIBILITY_S: "3",
      ...sqs.env,
    });
    try {
      await migrateAll(config);
      const { url: http } = await startListening(config, createLog("silent"), scope);
      await sqs.send({ Records: [record("before")] });
      await expect.poll(() => sqs.held(), settled).toEqual(gone);
      await postgres.close();
      await sqs.send({ Records: [record("while 1")] }, { Records: [record("while 2")] });
      await expect.poll(async () => (await fetch(`${http}/readyz`)).status, settled).toBe(503);
      const hidden = Math.max(...sqs.deadlines());
      // beyond the time that a delivery hides a message for
      await expect.poll(() => Math.min(...sqs.deadlines()), settled).toBeGreaterThan(hidden + 3_000);
      // one that nobody had received by then is received by nobody
      expect(Math.max(...sqs.receives())).toBe(1);
      postgres = await startPostgres(home);
      await expect.poll(() => sqs.held(), { ...settled, timeout: 60_000 }).toEqual(gone);
      expect(await keys({ pool })).toEqual(["before", "while 1", "while 2"]);
      await expect
        .poll(async () => (await fetch(`${http}/readyz`)).status, { ...settled, timeout: 60_000 })
        .toBe(200);
    } finally {
      await scope.close();
      await pool.end();
      await postgres.close();
      await sqs.close();
      rmSync(home, { recursive: true, force: true });
    }
  },
  120_000,
);

test("a Postgres that nobody may write to costs a message one delivery, however long it is so", async ({
  sqs,
  start,
  db,
}) => {
  const { queueArn } = sqs.server.createQueue("dead");
  await sqs.redrive(queueArn, 1);
  const { url } = await start("postgres", { MAITRED_SQS_RECEIVES: "1", MAITRED_SQS_VISIBILITY_S: "3" });
  // as one that is read-only refuses each of them; to make it so would end connections, where BullMQ may not hear of that
  const tables = ["object_order", "photos", "bad_messages"];
  await db.pool.query(`create function refuse() returns trigger language plpgsql as
    $$ begin raise exception 'it is read-only' using errcode = '25006'; end $$`);
  for (const table of tables)
    await db.pool.query(`create trigger refuse before insert on ${table} execute function refuse()`);
  const failures = async (): Promise<number> => {
    const metrics = await (await fetch(`${url}/metrics`)).text();
    return Number(
      /^maitred_listen_failures_total{.*code="DATABASE_UNAVAILABLE"} (\d+)$/m.exec(metrics)?.[1] ?? 0,
    );
  };
  await sqs.send({ Records: [record("a")] }, "hello");
  // more than the tries of one that fails while others are taken
  await expect.poll(failures, { ...settled, timeout: 30_000 }).toBeGreaterThan(3);
  await db.pool.query("drop function refuse cascade");
  await expect.poll(() => sqs.held(), { ...settled, timeout: 30_000 }).toEqual(gone);
  expect(await keys(db)).toEqual(["a"]);
  expect(await bad(db)).toMatchObject([{ body: "hello" }]);
  expect(sqs.server.inspectQueue("dead")!.messages.ready).toEqual([]);
});
