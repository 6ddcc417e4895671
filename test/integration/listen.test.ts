/** Queues of SQS, on a real server of its protocol, listened to by the process that listens. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ReceiveMessageCommand, SendMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
import { type FauxqsServer, startFauxqs } from "fauxqs";
import pg from "pg";
import { describe, expect, inject } from "vitest";
import { migrateAll } from "../../src/cli/migrate.ts";
import { readConfig } from "../../src/config.ts";
import { startPostgres } from "../../src/embedded/postgres.ts";
import { UpstreamError } from "../../src/errors.ts";
import { type Bad, type ListenDeps, type ListenEvents, listenTo } from "../../src/intake/listen.ts";
import { openSqsQueue } from "../../src/intake/sqs.ts";
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

interface Sqs {
  server: FauxqsServer;
  url: string;
  /** Puts messages into the queue, and answers with their ids. */
  send(...bodies: unknown[]): Promise<string[]>;
  /** Messages that the queue holds: those that wait, and those that somebody has. */
  held(): { waiting: number; hidden: number };
  /** How often the messages that it holds were delivered. */
  receives(): number[];
  /** When the messages that somebody has become visible again, in milliseconds. */
  deadlines(): number[];
  /** Delivers what waits that often, to nobody. */
  deliver(times: number): Promise<void>;
  env: Record<string, string>;
}
interface Listening {
  url: string;
  server: QueueServer;
  queues: Queues;
  close(): Promise<void>;
}

async function openSqs(): Promise<Sqs & { close(): Promise<void> }> {
  const server = await startFauxqs({ port: 0, logger: false });
  const { queueUrl: url } = server.createQueue("uploads");
  const client = new SQSClient({ endpoint: server.address, region: "us-east-1" });
  const look = () => server.inspectQueue("uploads")!.messages;
  return {
    server,
    url,
    async send(...bodies) {
      const sent = bodies.map((body) => {
        const MessageBody = typeof body === "string" ? body : JSON.stringify(body);
        return client.send(new SendMessageCommand({ QueueUrl: url, MessageBody }));
      });
      return (await Promise.all(sent)).map(({ MessageId }) => MessageId!);
    },
    async deliver(times) {
      const receive = new ReceiveMessageCommand({
        QueueUrl: url,
        VisibilityTimeout: 0,
        MaxNumberOfMessages: 10,
      });
      for (let n = 0; n < times; n++) {
        await expect.poll(async () => (await client.send(receive)).Messages ?? [], settled).not.toEqual([]);
      }
    },
    held: () => ({ waiting: look().ready.length, hidden: look().inflight.length }),
    receives: () =>
      [...look().ready, ...look().inflight.map(({ message }) => message)].map(
        ({ approximateReceiveCount }) => approximateReceiveCount,
      ),
    deadlines: () => look().inflight.map(({ visibilityDeadline }) => visibilityDeadline),
    env: { MAITRED_SQS_QUEUES: url, MAITRED_SQS_ENDPOINT: server.address },
    async close() {
      client.destroy();
      await server.stop();
    },
  };
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

const record = (key: string, sequencer = "10") =>
  s3Record("ObjectCreated:Put", { key, etag: "e1", sequencer });
const gone = { waiting: 0, hidden: 0 };
const keys = async (db: { pool: pg.Pool }): Promise<string[]> =>
  (await db.pool.query('select key from photos order by key collate "C"')).rows.map(({ key }) => key);
const bad = async (db: { pool: pg.Pool }) =>
  (await db.pool.query("select * from bad_messages order by id")).rows;
const settled = { timeout: 15_000, interval: 50 };

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
    const limits = { concurrency: 4, lockMs: 5_000, attempts: 1, backoffMs: 1 };
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

  test("is kept with its body and the reason, and deleted; the others of its receive are taken", async ({
    sqs,
    start,
    db,
  }) => {
    const ids = await sqs.send(...bodies, { Records: [record("b")] }, { Records: [record("a")] });
    await start();
    await expect.poll(() => sqs.held(), settled).toEqual(gone);
    expect(await keys(db)).toEqual(["a", "b"]);
    const kept = await bad(db);
    expect(kept.map(({ body }) => body).toSorted()).toEqual(bodies.toSorted());
    expect(await countBadMessages(db.pool)).toBe(bodies.length);
    const hello = kept.find(({ body }) => body === "hello");
    expect(hello).toMatchObject({
      source: "sqs:uploads",
      message_id: ids[0],
      bytes: 5,
      code: "EVENT_INVALID",
      detail: "the message: expected JSON",
      attempts: 1,
      resolution: null,
    });
    expect(kept.map(({ detail }) => detail).join()).toMatch(/lisitng/);
    expect(kept.map(({ detail }) => detail).join()).toMatch(/SubscribeURL/);
  });

  test("is listed, shown, replayed once it is understood, and discarded", async ({ sqs, start, db }) => {
    await sqs.send(...bodies.slice(0, 3));
    const { close } = await start();
    await expect.poll(() => sqs.held(), settled).toEqual(gone);
    await close();
    const run = async (...args: string[]) => {
      const { exit, stdout, stderr } = maitred(["events", ...args], { DATABASE_URL: db.url });
      const code = await exit;
      const out = stdout().trim();
      const lines = args.includes("--json") && out ? out.split("\n").map((line) => JSON.parse(line)) : [];
      return { code, out, err: stderr(), lines };
    };
    const { lines: listed } = await run("list", "--json");
    expect(listed.map(({ id }) => id)).toHaveLength(3);
    const shown = (text: string) => listed.find(({ detail }) => detail.includes(text)).id;
    const [hello, version, told] = [shown("expected JSON"), shown("Records[1]"), shown("lisitng")];
    expect((await run("show", hello)).out).toMatch(/\n\nhello$/);
    expect((await run("list", "--source", "sqs:other", "--json")).lines).toEqual([]);
    expect((await run("list", "--since", "2100-01-01", "--json")).lines).toEqual([]);

    // nobody mends a message in place; here a later version would understand it
    await db.pool.query("update bad_messages set body = replace(body, 'lisitng', 'listing')");
    const replayed = await run("replay", "--all", "--source", "sqs:uploads", "--json");
    expect(replayed.code).toBe(1);
    expect(new Map(replayed.lines.map(({ id, state }) => [id, state]))).toEqual(
      new Map([
        [hello, "failed"],
        [version, "failed"],
        [told, "replayed"],
      ]),
    );
    expect((await db.pool.query("select key, listing from photos")).rows).toEqual([
      { key: "a", listing: "42" },
    ]);
    const before = await bad(db);
    const again = await run("replay", told);
    expect(again).toMatchObject({ code: 0, out: expect.stringMatching(/replayed on .* already$/) });
    expect(await bad(db)).toEqual(before);
    expect(before.find(({ id }) => id === hello)).toMatchObject({ attempts: 2, resolution: null });

    expect(await run("discard", hello)).toMatchObject({ code: 0, out: `${hello} discarded` });
    expect((await run("list", "--json")).lines.map(({ id }) => id)).toEqual([version]);
    expect((await run("list", "--all", "--json")).lines).toHaveLength(3);
    expect(await countBadMessages(db.pool)).toBe(1);
    expect(await run("replay", "99", version)).toMatchObject({ code: 1, err: expect.stringContaining("99") });
    for (const wrong of [
      ["replay"],
      ["replay", "--all", "1"],
      ["show"],
      ["list", "--since", "x"],
      ["lsit"],
      ["show", "x"],
    ]) {
      expect((await run(...wrong)).code).toBe(2);
    }
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

describe("a listener whose neighbours", () => {
  const limits = { receives: 1, visibilityS: 3, queueLimit: 0 };
  const open = (sqs: Sqs, deps: Partial<ListenDeps>, events: Partial<ListenEvents> = {}) => {
    const settings = {
      sqsEndpoint: sqs.server.address,
      s3Region: "us-east-1",
      sqsReceives: 1,
      sqsVisibilityS: 3,
    };
    const queue = openSqsQueue(sqs.url, settings);
    const all: ListenDeps = {
      take: async (said) => said.map(() => ({ photoId: "1", outcome: "accepted", queue: false })),
      keepBad: async () => {},
      waiting: async () => 0,
      askDatabase: async () => {},
      ...deps,
    };
    const listener = listenTo(queue, all, limits, { took() {}, bad() {}, unwell() {}, ...events });
    return {
      well: () => listener.well(),
      async close() {
        await listener.close();
        await queue.close();
      },
    };
  };
  const away = new UpstreamError("DATABASE_UNAVAILABLE", "Postgres: away");

  test("refuse one message takes the others, and puts it aside once it failed five times", async ({
    sqs,
  }) => {
    const taken: string[] = [];
    const aside: Bad[] = [];
    const take: ListenDeps["take"] = async (said) => {
      if (said.some(({ key }) => key.startsWith("poison"))) throw new TypeError("a bug");
      taken.push(...said.map(({ key }) => key));
      return [];
    };
    const keepBad = async (_source: string, messages: readonly Bad[]) => void aside.push(...messages);
    const [old] = await sqs.send({ bucket: "b", key: "poison old" });
    await sqs.deliver(4);
    await sqs.send(
      { bucket: "b", key: "one" },
      { bucket: "b", key: "poison new" },
      { bucket: "b", key: "two" },
      // what is understood and says nothing is taken too
      { Records: [] },
    );
    const errors: string[] = [];
    const { well, close } = open(
      sqs,
      { take, keepBad },
      { unwell: ({ message }) => void errors.push(message) },
    );
    await expect.poll(() => aside, settled).toHaveLength(1);
    await expect.poll(() => sqs.held().waiting + sqs.held().hidden, settled).toBe(1);
    expect(aside).toEqual([
      { messageId: old, body: '{"bucket":"b","key":"poison old"}', code: "INTERNAL", detail: "a bug" },
    ]);
    expect(taken.toSorted()).toEqual(["one", "two"]);
    expect(errors[0]).toContain("a bug");
    expect(well()).toBe(true);
    await close();
  });

  test("cannot queue what is committed deletes the message, which is not needed any more", async ({
    sqs,
  }) => {
    await sqs.send({ bucket: "b", key: "a" });
    const take = () => Promise.reject(new UpstreamError("QUEUE_UNAVAILABLE", "the queue's server: away"));
    const { close } = open(sqs, { take });
    await expect.poll(() => sqs.held(), settled).toEqual(gone);
    await close();
  });

  test("are away leaves the message, receives nothing until they are back, and then takes it", async ({
    sqs,
  }) => {
    let [down, asked] = [true, 0];
    const taken: string[] = [];
    const { well, close } = open(sqs, {
      async take(said) {
        if (down) throw away;
        taken.push(...said.map(({ key }) => key));
        return [];
      },
      async askDatabase() {
        asked++;
        if (down) throw away;
      },
    });
    await sqs.send({ bucket: "b", key: "first" });
    await expect.poll(() => asked, settled).toBeGreaterThan(0);
    expect(well()).toBe(false);
    await sqs.send({ bucket: "b", key: "second" });
    // by then the first one has become visible again, and both are left alone
    await expect.poll(() => [asked > 1, sqs.held()], settled).toEqual([true, { waiting: 2, hidden: 0 }]);
    expect(sqs.receives().toSorted()).toEqual([0, 1]);
    down = false;
    await expect.poll(() => sqs.held(), settled).toEqual(gone);
    expect(taken.toSorted()).toEqual(["first", "second"]);
    expect(well()).toBe(true);
    await close();
  });

  test("keep bad messages from being kept keeps them in the queue", async ({ sqs }) => {
    const errors: Error[] = [];
    const keepBad = () => Promise.reject(away);
    await sqs.send("hello", { bucket: "b", key: "a" });
    const { close } = open(sqs, { keepBad }, { unwell: (error) => void errors.push(error) });
    await expect.poll(() => errors, settled).toContain(away);
    await expect.poll(() => sqs.held().waiting + sqs.held().hidden, settled).toBe(1);
    await close();
  });

  test("are slow hides the message for as long as it takes, and ends what is in hand when it is closed", async ({
    sqs,
  }) => {
    let calls = 0;
    let finish = (): void => {};
    const working = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const { close } = open(sqs, {
      async take() {
        calls++;
        await working;
        return [];
      },
    });
    await sqs.send({ bucket: "b", key: "a" });
    await expect.poll(() => sqs.deadlines(), settled).toHaveLength(1);
    const [first] = sqs.deadlines();
    // beyond the time that the first delivery hid it for
    await expect.poll(() => sqs.deadlines()[0], settled).toBeGreaterThan(first! + 3_000);
    let closed = false;
    const closing = close().then(() => {
      closed = true;
    });
    const then = sqs.deadlines()[0]!;
    await expect.poll(() => sqs.deadlines()[0], settled).toBeGreaterThan(then);
    expect([calls, closed, sqs.receives()]).toEqual([1, false, [1]]);
    finish();
    await closing;
    expect(sqs.held()).toEqual(gone);
  });
});

test.each(BACKENDS)(
  "with the queue of photos on %s, a restart of Postgres under a listener costs no message, and at most two deliveries of each",
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
      // those that were in hand are visible again, and nobody takes them
      await expect.poll(() => sqs.held(), settled).toEqual({ waiting: 2, hidden: 0 });
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
