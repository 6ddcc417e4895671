import { describe, expect } from "vitest";
import { argumentsOf } from "../../src/cli/arguments.ts";
import { events } from "../../src/cli/events.ts";
import { parseEach } from "../../src/intake/message.ts";
import {
  countBadMessages,
  forgetBadMessages,
  keepBadMessage,
  keepBadMessages,
} from "../../src/store/bad-messages.ts";
import { recordEvents } from "../../src/store/events.ts";
import { BACKENDS, type Database, queueUrl, test } from "../fixtures.ts";

const bad = (messageId: string, body: string, detail = "expected JSON") => ({
  messageId,
  sentAt: new Date("2026-01-02T03:04:05Z"),
  body,
  code: "EVENT_INVALID",
  detail,
});
const told = (key: string) => JSON.stringify({ bucket: "photos", key, listing: "42" });
const rows = async (db: Database) => (await db.pool.query("select * from bad_messages order by id")).rows;
const keep = (db: Database, ...messages: ReturnType<typeof bad>[]) =>
  keepBadMessages(db.pool, "sqs:uploads", messages);

/** Runs `maitred events` in this process. */
async function run(env: Record<string, string>, ...args: string[]) {
  const out: string[] = [];
  const err: string[] = [];
  const terminal = {
    env,
    print: (line: string) => void out.push(line),
    say: (text: string) => void err.push(text),
    columns: 0,
    stdin: process.stdin,
  };
  const code = await events.run(argumentsOf(args, events.options), terminal);
  const lines = args.includes("--json") ? out.map((line) => JSON.parse(line)) : [];
  return { code, out: out.join("\n"), err: err.join(""), lines };
}

describe("a message that was put aside", () => {
  test("is kept once, however often it is delivered", async ({ db }) => {
    await keep(db, bad("m1", "hello"), bad("m2", "hello"));
    await keep(db, bad("m1", "hello"), bad("m3", "x"));
    expect((await rows(db)).map(({ message_id }) => message_id)).toEqual(["m1", "m2", "m3"]);
    expect(await countBadMessages(db.pool)).toBe(3);
  });

  test("of a queue stays settled where it is delivered again", async ({ db }) => {
    await keep(db, bad("m1", "hello"));
    await db.pool.query("update bad_messages set resolved_at = now(), resolution = 'discarded'");
    await keep(db, bad("m1", "hello"));
    expect(await rows(db)).toMatchObject([{ resolution: "discarded" }]);
  });

  test("over HTTP is kept while its source has room, once while it waits, and anew where it was settled", async ({
    db,
  }) => {
    const take = (id: string, source = "http:s3") => keepBadMessage(db.pool, source, bad(id, "x"), 2);
    expect([await take("m1"), await take("m1"), await take("m2"), await take("m3")]).toEqual([
      "kept",
      "waits",
      "kept",
      "full",
    ]);
    expect(await take("m1", "http:gcs")).toBe("kept");
    const settle = (id: string) =>
      db.pool.query(
        "update bad_messages set resolved_at = now(), resolution = 'discarded' where message_id = $1",
        [id],
      );
    await settle("m1");
    expect([await take("m3"), await take("m1")]).toEqual(["kept", "full"]);
    await settle("m3");
    expect([await take("m1"), await take("m1")]).toEqual(["kept", "waits"]);
    expect((await rows(db)).map(({ attempts, resolution }) => [attempts, resolution])).toEqual([
      [2, null],
      [1, null],
      [1, "discarded"],
      [1, "discarded"],
    ]);
  });

  test("is kept as far as it can be: at most a mebibyte, and no characters that no table holds", async ({
    db,
  }) => {
    const large = `${"é".repeat(700_000)}!`;
    await keep(db, bad("m1", large), bad("m2", "a\0b\ud800c", "d\0"));
    const [first, second] = await rows(db);
    expect(first.bytes).toBe(1_400_001);
    expect(Buffer.byteLength(first.body)).toBeGreaterThan(1_048_570);
    expect(large.startsWith(first.body.slice(0, -1))).toBe(true);
    expect(second).toMatchObject({ body: "a\uFFFDb\uFFFDc", detail: "d\uFFFD" });
  });

  test("is forgotten 30 days after it was settled, and not before", async ({ db }) => {
    await keep(db, bad("m1", "x"), bad("m2", "x"), bad("m3", "x"));
    const settle =
      "update bad_messages set resolution = 'discarded', resolved_at = now() - $2::interval where message_id = $1";
    await db.pool.query(settle, ["m1", "31 days"]);
    await db.pool.query(settle, ["m2", "29 days"]);
    await forgetBadMessages(db.pool);
    expect((await rows(db)).map(({ message_id }) => message_id)).toEqual(["m2", "m3"]);
  });

  test("may be kept, replayed and forgotten by a worker's role, and not seen by a dashboard's", async ({
    db,
  }) => {
    const client = await db.pool.connect();
    try {
      await client.query("set role maitred_worker");
      await client.query(
        "insert into bad_messages (source, message_id, body, bytes, code, detail) values ('s', 'm', 'b', 1, 'c', 'd')",
      );
      await client.query("update bad_messages set attempts = 2");
      await client.query("delete from bad_messages");
      await client.query("set role maitred_dashboard");
      await expect(client.query("select from bad_messages")).rejects.toMatchObject({ code: "42501" });
    } finally {
      await client.query("reset role");
      client.release();
    }
  });
});

describe.each(BACKENDS)("maitred events, with the queue on %s,", (backend) => {
  test("lists, shows, replays what is understood by now, and discards", async ({ db }) => {
    const env = {
      DATABASE_URL: db.url,
      MAITRED_QUEUE_URL: queueUrl(backend, db),
      ...(backend === "redis" && { MAITRED_QUEUE_PREFIX: new URL(db.url).pathname.slice(1) }),
    };
    await keep(db, bad("m1", "hello"), bad("m2", told("a")), bad("m3", "[]"));
    await keepBadMessages(db.pool, "sqs:other", [bad("m1", told("b"))]);
    const [hello, first, empty, other] = (await rows(db)).map(({ id }) => id);
    const waiting = async (...args: string[]) =>
      (await run(env, "list", "--json", ...args)).lines.map(({ id }) => id);
    expect(await waiting()).toEqual([hello, first, empty, other]);
    expect(await waiting("--source", "sqs:other")).toEqual([other]);
    expect(await waiting("--since", "2100-01-01")).toEqual([]);
    expect((await run(env, "list")).out).toMatch(/^id +source +received/);
    const shown = await run(env, "show", hello);
    expect(shown.out).toMatch(/\n\nhello$/);
    expect(shown.out).toMatch(/^detail +expected JSON$/m);

    const replayed = await run(env, "replay", "--all", "--source", "sqs:uploads", "--json");
    expect(replayed.code).toBe(1);
    const [{ id: photo }] = (await db.pool.query("select id from photos where key = 'a' and listing = '42'"))
      .rows;
    expect(replayed.lines).toEqual([
      { id: hello, state: "failed", code: "EVENT_INVALID", detail: "the message: expected JSON" },
      { id: first, state: "replayed", photos: [photo] },
      { id: empty, state: "failed", code: "EVENT_INVALID", detail: expect.any(String) },
    ]);
    const after = await rows(db);
    expect(after.map(({ attempts, resolution }) => [attempts, resolution])).toEqual([
      [2, null],
      [2, "replayed"],
      [2, null],
      [1, null],
    ]);
    expect(after[0].detail).toBe("the message: expected JSON");

    const again = await run(env, "replay", first);
    expect(again).toMatchObject({ code: 0, out: expect.stringMatching(/replayed on .* already$/) });
    expect(await rows(db)).toEqual(after);
    expect(await run(env, "discard", first)).toMatchObject({ out: expect.stringContaining("replayed on") });
    expect(await run(env, "discard", hello)).toMatchObject({ code: 0, out: `${hello} discarded` });
    expect(await waiting()).toEqual([empty, other]);
    expect(await waiting("--all")).toEqual([hello, first, empty, other]);
    const absent = await run(env, "replay", "99", other);
    expect(absent).toMatchObject({ code: 1, err: expect.stringContaining("no message 99") });
    expect(await run(env, "show", "99")).toMatchObject({ code: 1 });
    expect(await countBadMessages(db.pool)).toBe(1);
    expect((await db.pool.query("select from photos")).rows).toHaveLength(2);
    expect((await db.pool.query("select from unqueued")).rows).toEqual([]);
  });
});

test("a message that is replayed is as old as its being sent, and replaces nothing that was told since", async ({
  db,
}) => {
  const env = { DATABASE_URL: db.url };
  const ago = (hours: number) => new Date(Date.now() - hours * 3_600_000);
  const upload = (etag: string) => JSON.stringify({ bucket: "photos", key: "a", etag });
  await keep(db, { ...bad("m1", upload("1")), sentAt: ago(48) });
  await recordEvents(db.pool, parseEach(upload("2"), ago(24)).events, "right");
  const listed = await run(env, "list", "--json");
  expect(Date.parse(listed.lines[0].sentAt)).toBeLessThan(ago(47).valueOf());
  expect(await run(env, "replay", "--all")).toMatchObject({ code: 0 });
  const current = "select version from photos where superseded_at is null";
  expect((await db.pool.query(current)).rows).toEqual([{ version: "etag:2" }]);
});

test.for([
  ["replay"],
  ["replay", "--all", "1"],
  ["discard"],
  ["show"],
  ["show", "1", "2"],
  ["show", "x"],
  ["list", "1"],
  ["list", "--since", "soon"],
  ["lsit"],
  [],
])("maitred events %j is wrong usage", async (args) => {
  await expect(run({}, ...args)).rejects.toThrow(/expected/);
});
