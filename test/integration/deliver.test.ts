import { Webhook } from "standardwebhooks";
import { describe, expect } from "vitest";
import { purgeDeliveries } from "../../src/store/deliveries.ts";
import { readWebhook } from "../../src/store/destinations.ts";
import { ALLOW, allAre, states, test } from "../delivering.ts";
import { type Database, rows } from "../fixtures.ts";
import { maitred, type Running } from "../maitred.ts";
import { judge, register } from "../verdicts.ts";
import { latch, until } from "../waits.ts";

describe("a webhook", () => {
  test("is one that the library of Standard Webhooks verifies, and says what became of the photo", async ({
    db,
    receiver,
    hook,
    start,
  }) => {
    const { id, secret } = await hook(receiver.url);
    await start();
    const photo = await register(db, "Zoë's café.jpg");
    await judge(db, photo, "shown");
    const [got] = await receiver.got(1);
    expect(new Webhook(secret).verify(got!.body, got!.headers)).toEqual(got!.message);
    expect(() => new Webhook(secret).verify(`${got!.body} `, got!.headers)).toThrow();
    expect(got!.message).toMatchObject({
      type: "photo.verdict",
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      data: { id: photo, key: "Zoë's café.jpg", state: "shown", public: true, sequence: expect.any(Number) },
    });
    expect(got!.headers).toMatchObject({
      "content-type": "application/json",
      "webhook-id": `msg_${id}_${got!.message.data.sequence}`,
    });
    await until(allAre(db, "delivered"));
  });

  test("has two signatures while a key is rotated, and one once that is finished", async ({
    db,
    receiver,
    hook,
    start,
    cli,
  }) => {
    const { id, secret: before } = await hook(receiver.url);
    const after = JSON.parse((await cli(["destination", "rotate", id, "--json"])).out).secret as string;
    expect(after).not.toBe(before);
    await start();
    const photo = await register(db, "a");
    await judge(db, photo, "shown");
    const [both] = await receiver.got(1);
    expect(both!.headers["webhook-signature"]).toMatch(/^v1,\S+ v1,\S+$/);
    for (const secret of [before, after]) new Webhook(secret).verify(both!.body, both!.headers);
    expect((await cli(["destination", "rotate", id, "--finish"])).code).toBe(0);
    await judge(db, photo, "hidden");
    const one = (await receiver.got(2))[1]!;
    new Webhook(after).verify(one.body, one.headers);
    expect(() => new Webhook(before).verify(one.body, one.headers)).toThrow();
  });

  test("is signed with the key that receivers have also after a new one was lost and rotated again", async ({
    db,
    hook,
    cli,
  }) => {
    const { id, secret } = await hook("http://127.0.0.1:9/");
    const rotate = async () => JSON.parse((await cli(["destination", "rotate", id, "--json"])).out);
    expect(await rotate()).toMatchObject({ replaced: false });
    const again = await rotate();
    expect(again).toMatchObject({ replaced: true });
    const secrets = async () => (await readWebhook(db.pool, id))!.secrets;
    expect(await secrets()).toEqual([again.secret, secret]);
    await db.pool.query("update destinations set old_until = now() - interval '1 second'");
    expect(await secrets()).toEqual([again.secret]);
    expect(await rotate()).toMatchObject({ replaced: false });
  });

  test("comes again under the same id until it is taken, and then no more", async ({
    db,
    receiver,
    hook,
    start,
  }) => {
    await hook(receiver.url);
    const answers = [500, 404, 302, 200];
    receiver.answer = (response) =>
      void response
        .writeHead(answers.shift() ?? 200, { location: receiver.url.replace("hook", "elsewhere") })
        .end();
    await start();
    await judge(db, await register(db, "a"), "shown");
    await until(allAre(db, "delivered"));
    expect(receiver.received.map(({ path }) => path)).toEqual(["/hook", "/hook", "/hook", "/hook"]);
    expect(new Set(receiver.received.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    expect(new Set(receiver.received.map(({ body }) => body)).size).toBe(1);
    expect(await rows(db, "select attempts from deliveries")).toEqual([{ attempts: 4 }]);
  });

  test("of a photo that is forgotten names it and says no more, and leaves nothing behind", async ({
    db,
    receiver,
    hook,
    start,
  }) => {
    await hook(receiver.url);
    await start();
    const id = await register(db, "a", "etag:secret");
    await judge(db, id, "shown");
    await until(allAre(db, "delivered"));
    await db.pool.query("delete from photos");
    const [, got] = await receiver.got(2);
    expect(got!.message).toEqual({
      type: "photo.forgotten",
      timestamp: expect.any(String),
      data: { id, sequence: expect.any(Number), bucket: "photos", key: "a" },
    });
    expect(got!.message.data.sequence).toBeGreaterThan(receiver.received[0]!.message.data.sequence);
    await until(async () => (await rows(db, "select from outbox")).length === 0);
  });
});

describe("several processes", () => {
  test("tell each photo's changes in their order, one at a time, though receivers fail", async ({
    db,
    receiver,
    hook,
    start,
  }) => {
    await hook(receiver.url);
    const open = new Set<string>();
    const taken = new Map<string, number[]>();
    let overlaps = 0;
    receiver.answer = (response, { message: { data } }) => {
      if (open.has(data.id)) overlaps++;
      open.add(data.id);
      setImmediate(() => {
        open.delete(data.id);
        const fails = receiver.received.length % 3 === 0;
        if (!fails) taken.set(data.id, [...(taken.get(data.id) ?? []), data.sequence]);
        response.writeHead(fails ? 500 : 200).end();
      });
    };
    const photos = await Promise.all([..."abcdefgh"].map((key) => register(db, key)));
    const running = Promise.all([1, 2, 3].map(() => start({ MAITRED_DELIVER_BACKOFF_MS: "20" })));
    for (let n = 0; n < 5; n++)
      for (const photo of photos) await judge(db, photo, n % 2 ? "shown" : "hidden");
    await running;
    await until(allAre(db, "delivered"));
    expect(overlaps).toBe(0);
    expect(taken.size).toBe(8);
    for (const sequences of taken.values()) {
      expect(sequences).toHaveLength(5);
      expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
    }
  });

  const run = (db: Database): Running =>
    maitred(["deliver"], { DATABASE_URL: db.url, ...ALLOW, MAITRED_LOG_LEVEL: "debug" });

  test("lose nothing when one is killed in the middle of a delivery: another tells it under the same id", async ({
    db,
    receiver,
    hook,
    start,
  }) => {
    const { secret } = await hook(receiver.url);
    receiver.answer = () => {};
    const victim = run(db);
    await judge(db, await register(db, "a"), "shown");
    const [first] = await receiver.got(1);
    victim.child.kill("SIGKILL");
    expect(await victim.exit).toBe("SIGKILL");
    receiver.answer = (response) => void response.writeHead(200).end();
    expect(await rows(db, "select claimed_until > now() as claimed from deliveries")).toEqual([
      { claimed: true },
    ]);
    // a minute passes
    await db.pool.query("update deliveries set claimed_until = now(), next_at = now()");
    await start();
    const [, second] = await receiver.got(2);
    expect(second!.headers["webhook-id"]).toBe(first!.headers["webhook-id"]);
    await until(allAre(db, "delivered"));
    expect(victim.stderr()).not.toContain(secret.slice(6));
  });

  test("end what is in hand at SIGTERM, begin nothing more, exit with 0, and log no secret", async ({
    db,
    receiver,
    hook,
  }) => {
    const { secret } = await hook(receiver.url);
    const { promise: answered, resolve: answer } = latch();
    receiver.answer = (response) => void answered.then(() => response.writeHead(200).end());
    const process = run(db);
    const photo = await register(db, "a");
    await judge(db, photo, "shown");
    await judge(db, photo, "hidden");
    await receiver.got(1);
    process.child.kill("SIGTERM");
    await process.says("ending what is in hand");
    answer();
    expect(await process.exit).toBe(0);
    expect((await states(db)).map(({ state }) => state)).toEqual(["delivered", "pending"]);
    expect(process.stderr()).toContain("delivered");
    expect(process.stderr()).not.toContain(secret.slice(6));
  });
});

test("what was delivered is kept for a while, and what was not for as long as it takes", async ({
  db,
  receiver,
  hook,
  start,
}) => {
  await hook(receiver.url);
  await start();
  const photo = await register(db, "a");
  await judge(db, photo, "shown");
  await until(allAre(db, "delivered"));
  const { promise: answered, resolve: answer } = latch();
  receiver.answer = (response) => void answered.then(() => response.writeHead(204).end());
  await judge(db, photo, "hidden");
  await receiver.got(2);
  await db.pool.query(
    "update deliveries set delivered_at = now() - interval '8 days' where state = 'delivered'",
  );
  expect(await purgeDeliveries(db.pool, { days: 9, deadDays: 0 }, 100)).toBe(0);
  expect(await purgeDeliveries(db.pool, { days: 7, deadDays: 0 }, 100)).toBe(1);
  expect(await rows(db, "select payload ->> 'state' as state from outbox")).toEqual([{ state: "hidden" }]);
  answer();
});
