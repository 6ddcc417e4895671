/** Messages of a queue or over HTTP that hold several records or photos, of which not all are understood. */
import { expect } from "vitest";
import { Scope } from "../../src/lifecycle.ts";
import { createLog } from "../../src/log.ts";
import { replayBadMessage } from "../../src/wiring/replay.ts";
import { startListening } from "../../workers/listen.ts";
import { test } from "../api.ts";
import { eventBridge, gcsPush, minioMessage, s3Record } from "../events.ts";
import type { Database } from "../fixtures.ts";
import { notification } from "../sns.ts";
import { gone, openSqs, settled } from "../sqs.ts";

const good = (key: string): object => s3Record("ObjectCreated:Put", { key, etag: "e1" });
const later = s3Record("ObjectCreated:Put", { key: "of a later version" }, { eventVersion: "3.0" });
const keys = async (db: Database): Promise<string[]> =>
  (await db.pool.query('select key from photos order by key collate "C"')).rows.map(({ key }) => key);
const aside = async (db: Database) =>
  (await db.pool.query("select id, body, detail, attempts from bad_messages order by id")).rows;

test("what a message says of other photos is taken, and it is put aside for the rest", async ({
  db,
  configFor,
}) => {
  const sqs = await openSqs();
  const scope = new Scope();
  try {
    const config = configFor("postgres", sqs.env);
    await startListening(config, createLog("silent"), scope);
    const told = [
      { bucket: "photos", key: "told 1" },
      { bucket: "photos", key: "told wrongly", uploader: "chef" },
      { bucket: "photos", key: "told 2" },
    ];
    await sqs.send({ Records: [good("s3 1"), later, good("s3 2")] });
    await sqs.send(notification({ Records: [later, good("sns")] }));
    await sqs.send(told);
    await sqs.send({ Records: [later] });
    await expect.poll(() => sqs.held(), settled).toEqual(gone);
    const all = ["s3 1", "s3 2", "sns", "told 1", "told 2"];
    expect(await keys(db)).toEqual(all);
    const rows = await aside(db);
    expect(rows.map(({ detail }) => detail).sort()).toEqual([
      expect.stringMatching(/^Records\[0\]\.eventVersion: /),
      expect.stringMatching(/^Records\[0\]\.eventVersion: /),
      expect.stringMatching(/^Records\[1\]\.eventVersion: /),
      expect.stringMatching(/^\[1\]\.uploader: /),
    ]);
  } finally {
    await scope.close();
    await sqs.close();
  }
});

test("a replay of it takes what is understood, and it stays", async ({ db }) => {
  const taken: string[] = [];
  const events = {
    add: async () => {},
    markQueued: async () => {},
    unqueued: async () => [],
    async record(said: readonly { key: string }[]) {
      taken.push(...said.map(({ key }) => key));
      return said.map(() => ({ photoId: null, outcome: "known", queue: false }) as const);
    },
  };
  await db.pool.query(
    `insert into bad_messages (source, message_id, body, bytes, code, detail)
      values ('sqs:uploads', 'm', $1, 1, 'EVENT_INVALID', 'of before')`,
    [JSON.stringify({ Records: [good("one"), later] })],
  );
  const [{ id }] = await aside(db);
  expect(await replayBadMessage({ db: db.pool, events }, id)).toMatchObject({
    state: "failed",
    code: "EVENT_INVALID",
    detail: expect.stringMatching(/^Records\[1\]\.eventVersion: /),
  });
  expect(taken).toEqual(["one"]);
  expect(await aside(db)).toMatchObject([{ attempts: 2, detail: expect.stringMatching(/^Records\[1\]/) }]);
});

test("a list that is longer than a message may say is refused as a whole", async ({ db, configFor }) => {
  const sqs = await openSqs();
  const scope = new Scope();
  try {
    await startListening(configFor("postgres", sqs.env), createLog("silent"), scope);
    await sqs.send(Array.from({ length: 1_001 }, (_, n) => ({ bucket: "photos", key: `${n}` })));
    await expect.poll(async () => (await aside(db)).length, settled).toBe(1);
    expect(await keys(db)).toEqual([]);
  } finally {
    await scope.close();
    await sqs.close();
  }
});

test("over HTTP what is understood of a notification is taken, and it is put aside once for the rest", async ({
  start,
  db,
}) => {
  const { post, url } = await start();
  const message = { Records: [good("1"), later, good("2"), s3Record("ObjectTagging:Put", { key: "1" })] };
  const first = await post("/v1/events/s3", message);
  expect(first).toMatchObject({
    status: 202,
    body: {
      photos: [
        { key: "1", outcome: "accepted" },
        { key: "2", outcome: "accepted" },
      ],
      ignored: 1,
      putAside: { code: "EVENT_INVALID", detail: expect.stringMatching(/^Records\[1\]\.eventVersion: /) },
    },
  });
  const again = await post("/v1/events/s3", message);
  expect(again).toMatchObject({ status: 202, body: { photos: [{ outcome: "duplicate" }, {}] } });
  const { rows } = await db.pool.query("select source, body, code, detail, sent_at from bad_messages");
  const { code, detail } = first.body.putAside;
  expect(rows).toEqual([{ source: "http:s3", body: JSON.stringify(message), code, detail, sent_at: null }]);
  const metrics = await (await fetch(`${url}/metrics`)).text();
  expect(metrics).toContain('maitred_events_total{source="s3",outcome="bad"} 1');
  expect(metrics).toMatch(/^maitred_bad_messages 1$/m);
});

test.for([
  [
    "s3",
    minioMessage("ObjectCreated:Put", { key: "a", sequencer: "first" }),
    /^Records\[0\]\.s3\.object\.seq/,
  ],
  ["eventbridge", eventBridge("Object Created", { key: "a", sequencer: null }), /^detail\.object\.sequencer/],
  ["gcs", gcsPush("OBJECT_FINALIZE", "a\0b", 7), /^objectId: /],
] as const)(
  "a notification of %s that says nothing else does not hold up what comes after it",
  async ([source, message, why], { start, db }) => {
    const { post } = await start();
    expect(await post(`/v1/events/${source}`, message)).toMatchObject({
      status: 202,
      body: { photos: [], ignored: 0, putAside: { detail: expect.stringMatching(why) } },
    });
    const events = { add: async () => {}, markQueued: async () => {}, unqueued: async () => [] };
    const replaying = { db: db.pool, events: { ...events, record: async () => [] } };
    const [{ id }] = await aside(db);
    // a replay reads it as what it was
    expect(await replayBadMessage(replaying, id)).toMatchObject({
      state: "failed",
      detail: expect.stringMatching(why),
    });
  },
);

test("what was settled and comes again waits again", async ({ start, db }) => {
  const { post } = await start();
  const message = { Records: [later] };
  await post("/v1/events/s3", message);
  for (const resolution of ["discarded", "replayed"]) {
    await db.pool.query("update bad_messages set resolved_at = now(), resolution = $1", [resolution]);
    expect(await post("/v1/events/s3", message)).toMatchObject({ status: 202, body: { putAside: {} } });
    const { rows } = await db.pool.query("select resolved_at, resolution from bad_messages");
    expect(rows).toEqual([{ resolved_at: null, resolution: null }]);
  }
  expect(await aside(db)).toMatchObject([{ body: JSON.stringify(message), attempts: 3 }]);
});

test("what is put aside is kept as it came, to its numbers, names that come twice, and depth", async ({
  start,
  db,
}) => {
  const { ask } = await start();
  const record = JSON.stringify(later);
  const deep = "[".repeat(100_000) + "]".repeat(100_000);
  const bodies = [
    `{"Records": [${record}], "at": 12345678901234567891}`,
    `{"Records": [${record}], "at": 12345678901234567892}`,
    `{"Records": [], "Records": [${record}], "name": "caf\\u00e9"}`,
    `{"Records": [${record}], "deep": ${deep}}`,
    `{"Records": [${record}], "many": [${"1e20,".repeat(150_000)}0]}`,
  ];
  // a replay would take no mark of the order of bytes
  for (const raw of [...bodies, `\uFEFF${bodies[0]}`])
    expect(await ask("POST", "/v1/events/s3", { raw })).toMatchObject({ status: 202 });
  expect((await aside(db)).map(({ body }) => body)).toEqual(bodies);
});

test("a source of which a thousand wait is refused what is not understood, and nothing of it is taken", async ({
  start,
  db,
}) => {
  const { post } = await start();
  const before = { Records: [later] };
  await post("/v1/events/s3", before);
  await db.pool.query(
    `insert into bad_messages (source, message_id, body, bytes, code, detail)
      select 'http:s3', n, 'x', 1, 'EVENT_INVALID', 'of before' from generate_series(2, 1000) n`,
  );
  const message = { Records: [good("1"), later] };
  const refused = await post("/v1/events/s3", message);
  expect(refused).toMatchObject({
    // which a sender tries again, as it does not after 400
    status: 429,
    body: {
      code: "EVENT_INVALID",
      detail: expect.stringMatching(
        /^Records\[1\].*1000 messages of http:s3 wait already: see maitred events$/,
      ),
    },
  });
  expect(refused.headers.get("retry-after")).toBe("300");
  expect(await keys(db)).toEqual([]);
  const other = eventBridge("Object Created", { key: "a", sequencer: null });
  expect((await post("/v1/events/eventbridge", other)).status).toBe(202);
  expect((await post("/v1/events/s3", { Records: [good("1")] })).status).toBe(202);
  expect((await post("/v1/events/s3", before)).status).toBe(202);
  await db.pool.query("update bad_messages set resolved_at = now(), resolution = 'discarded' where id = 1");
  expect((await post("/v1/events/s3", message)).status).toBe(202);
});

test("a list of POST /v1/photos is all or none", async ({ start, db }) => {
  const { post } = await start();
  const told = [{ bucket: "photos", key: "1" }, { bucket: "photos" }];
  expect((await post("/v1/photos", told)).status).toBe(400);
  expect([await keys(db), await aside(db)]).toEqual([[], []]);
});
