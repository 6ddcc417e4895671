/** Messages of a queue that hold several records or photos, of which not all are understood. */
import { expect } from "vitest";
import { Scope } from "../../src/lifecycle.ts";
import { createLog } from "../../src/log.ts";
import { replayBadMessage } from "../../src/wiring/replay.ts";
import { startListening } from "../../workers/listen.ts";
import { s3Record } from "../events.ts";
import { type Database, test } from "../fixtures.ts";
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
