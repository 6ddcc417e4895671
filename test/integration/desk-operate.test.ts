import { describe, expect } from "vitest";
import { wordsOf } from "../../desk/src/access/entries.ts";
import { createLog } from "../../src/log.ts";
import { openQueues } from "../../src/queue/queues.ts";
import { openQueueServer } from "../../src/queue/server.ts";
import { endBackfills, feedBackfill, feedRetries } from "../../src/store/backfill-feed.ts";
import {
  addBackfill,
  applyProposals,
  changeBackfill,
  discardProposals,
  rollbackBackfill,
} from "../../src/store/backfills.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { openDesk } from "../../src/wiring/desk.ts";
import { openEventIntake } from "../../src/wiring/intake.ts";
import { test as base, type Person } from "../desk.ts";
import { BACKENDS, type Database, queueUrl } from "../fixtures.ts";
import { ended } from "../maitred.ts";
import { judged, ofAll, register } from "../verdicts.ts";
import { troubled } from "../watched.ts";

const test = base.extend<{ queued(): Promise<string[]> }>({
  /** Keys of the photos that wait in either lane. */
  queued: async ({ configFor }, use) => {
    const server = openQueueServer(configFor("postgres"), () => {});
    const queues = openQueues(server, () => {});
    await use(async () => {
      const jobs = await Promise.all(queues.own.map((queue) => queue.getJobs()));
      return jobs
        .flat()
        .map(({ data }) => (data as { key: string }).key)
        .sort();
    });
    await queues.close();
    await server.close();
  },
});

/** What was done but for signing in, and by lea before the test began. */
const logged = async (db: Database) =>
  (
    await db.pool.query(
      "select who, did, about from audit_log where did not like 'signed%' and who <> 'lea' order by id",
    )
  ).rows;

/** The log as the desk words it. */
const told = async (db: Database): Promise<string[]> => (await logged(db)).map(wordsOf);

describe("what operators do", () => {
  test("replays photos that failed for a code, and says who did", async ({ openDesk, db, queued }) => {
    await troubled(db);
    const oda = await (await openDesk()).signIn("oda", "operate");
    const replay = (code: string) => oda.ask("POST", "/desk/api/operate/failures/replay", { code });
    expect((await replay("GONE")).body).toEqual({ queued: 0, after: null });
    expect((await replay("CORRUPT")).body).toEqual({ queued: 4, after: null });
    expect(await queued()).toEqual([
      "42/broken-a.jpg",
      "42/broken-b.jpg",
      "42/broken-c.jpg",
      "archive/fails.jpg",
    ]);
    expect(await logged(db)).toEqual([
      { who: "oda", did: "replayed-failures", about: { code: "CORRUPT", photos: 4 } },
    ]);
    expect(await told(db)).toEqual(["had 4 photos that failed with CORRUPT judged again"]);
  });

  test("pauses a backfill with why, resumes it, retries what failed in it, and cancels it", async ({
    openDesk,
    db,
  }) => {
    const { backfill } = await troubled(db);
    const oda = await (await openDesk()).signIn("oda", "operate");
    const at = `/desk/api/operate/backfills/${backfill}`;
    const change = async (state: string, why?: string) =>
      (await oda.ask("POST", `${at}/state`, { state, ...(why && { why }) })).status;
    expect(await change("paused")).toBe(400);
    expect(await change("paused", "the store is slow")).toBe(204);
    expect(await change("paused", "again")).toBe(409);
    expect((await oda.ask("GET", "/desk/api/operate")).body.backfills[0]).toMatchObject({
      state: "paused",
      changedBy: "oda",
      why: "the store is slow",
      // one got its first verdict, and one failed
      changed: 0,
    });
    expect(await change("running")).toBe(204);
    expect((await oda.ask("POST", `${at}/retry`, { code: "GONE" })).body).toEqual({ photos: 0 });
    expect((await oda.ask("POST", `${at}/retry`, {})).body).toEqual({ photos: 1 });
    expect((await feedRetries(db.pool, backfill, 10))!.map(({ key }) => key)).toEqual(["archive/fails.jpg"]);
    expect(await change("cancelled", "no need")).toBe(204);
    expect(await change("running")).toBe(409);
    expect((await oda.ask("POST", "/desk/api/operate/backfills/99/retry", {})).status).toBe(409);
    expect(await told(db)).toEqual([
      `set backfill ${backfill} to paused: the store is slow`,
      `set backfill ${backfill} to running`,
      `had 0 photos of backfill ${backfill} that failed with GONE judged again`,
      `had 1 photo of backfill ${backfill} judged again`,
      `set backfill ${backfill} to cancelled: no need`,
    ]);
  });

  test("pauses a lane with why, and resumes it", async ({ openDesk, db }) => {
    const desk = await openDesk();
    const [vic, oda] = [await desk.signIn("vic", "read"), await desk.signIn("oda", "operate")];
    const change = async (who: Person, lane: string, state: string, why?: string) =>
      (await who.ask("POST", `/desk/api/operate/lanes/${lane}/state`, { state, ...(why && { why }) })).status;
    const lanes = async () => (await vic.ask("GET", "/desk/api/operate")).body.lanes;
    expect(await change(vic, "live", "paused", "no")).toBe(403);
    expect(await change(oda, "live", "paused")).toBe(400);
    expect(await change(oda, "fast", "paused", "what lane")).toBe(400);
    expect(await change(oda, "live", "paused", "the store is moved")).toBe(204);
    expect(await change(oda, "live", "paused", "again")).toBe(409);
    await expect.poll(lanes).toMatchObject([
      { lane: "live", paused: true, pausedBy: { who: "oda", why: "the store is moved" } },
      { lane: "backfill", paused: false, pausedBy: null },
    ]);
    expect(await change(oda, "live", "running")).toBe(204);
    expect(await change(oda, "live", "running")).toBe(409);
    await expect.poll(lanes).toMatchObject([{ paused: false, pausedBy: null }, {}]);
    expect(await told(db)).toEqual(["paused the lane live: the store is moved", "resumed the lane live"]);
  });

  test("is in one log with what commands and the feeder do to backfills, each once however many pages it takes", async ({
    db,
  }) => {
    const { backfill } = await troubled(db);
    for (const args of [
      ["pause", backfill, "--why", "too early"],
      ["resume", backfill],
      ["retry-failed", backfill, "--code", "CORRUPT"],
    ]) {
      const { code, err } = await ended(["backfill", ...args, "--by", "ann"], { DATABASE_URL: db.url });
      expect(code, err).toBe(0);
    }
    await changeBackfill(db.pool, backfill, "paused", "maitred feed", "MANIFEST: gone");
    const ids = [await register(db, "p1"), await register(db, "p2")];
    const proposed = async (): Promise<string> => {
      const id = await addBackfill(db.pool, { ...ofAll, again: true, propose: true });
      await feedBackfill(db.pool, id, null, { ids, cursor: { after: "x" }, end: true, unreadable: 0 });
      await recordOutcomes(
        db.pool,
        ids.map((photo) => ({ ...judged(photo, "shown", "model:m-2"), fed: true as const })),
      );
      await endBackfills(db.pool);
      return id;
    };
    const [applied, discarded] = [await proposed(), await proposed()];
    for (let page = 0; page < 3; page++) await applyProposals(db.pool, applied, "0", "ann", 1);
    for (let page = 0; page < 3; page++) await discardProposals(db.pool, discarded, "0", "ann", 1);
    for (const after of ["0", ids[0]!, ids[1]!]) await rollbackBackfill(db.pool, applied, after, "bob", 1);
    expect((await logged(db)).map((entry) => `${entry.who} ${wordsOf(entry)}`)).toEqual([
      `ann set backfill ${backfill} to paused: too early`,
      `ann set backfill ${backfill} to running`,
      `ann had 1 photo of backfill ${backfill} that failed with CORRUPT judged again`,
      `maitred feed set backfill ${backfill} to paused: MANIFEST: gone`,
      `ann made what backfill ${applied} proposed verdicts`,
      `ann discarded what backfill ${discarded} proposed`,
      `bob rolled back backfill ${applied}`,
    ]);
  });

  test("sends dead deliveries again, and nothing that is not dead", async ({ openDesk, db }) => {
    await troubled(db);
    const oda = await (await openDesk()).signIn("oda", "operate");
    const dead = async () => (await oda.ask("GET", "/desk/api/operate/deliveries")).body.deliveries;
    const [delivery, ...others] = await dead();
    expect(others).toEqual([]);
    expect(delivery).toMatchObject({ key: "42/told.jpg", error: "the receiver answered 503", attempts: 1 });
    const replay = async (body: object) =>
      (await oda.ask("POST", "/desk/api/operate/deliveries/replay", body)).body;
    expect(await replay({ destination: "000000000000" })).toEqual({ replayed: 0 });
    expect(await replay({ destination: delivery.destination, seq: delivery.seq })).toEqual({ replayed: 1 });
    expect(await replay({ destination: delivery.destination })).toEqual({ replayed: 0 });
    expect(await dead()).toEqual([]);
    expect(await logged(db)).toContainEqual({
      who: "oda",
      did: "replayed-deliveries",
      about: { destination: delivery.destination, seq: delivery.seq, replayed: 1 },
    });
    expect(await told(db)).toContain(`had 1 delivery to ${delivery.destination} sent again`);
  });

  test("replays or discards messages that were put aside; what fails again stays", async ({
    openDesk,
    db,
    queued,
  }) => {
    await troubled(db);
    const desk = await openDesk();
    const oda = await desk.signIn("oda", "operate");
    const messages = async () => (await oda.ask("GET", "/desk/api/operate/messages")).body.messages;
    const [broken, late] = await messages();
    const settle = (id: string, how: string) =>
      oda.ask("POST", `/desk/api/operate/messages/${id}/${how}`, {});
    expect((await oda.ask("GET", `/desk/api/operate/messages/${broken.id}`)).body.body).toBe("hello");
    const vic = await desk.signIn("vic", "read");
    expect((await vic.ask("GET", `/desk/api/operate/messages/${broken.id}`)).status).toBe(403);

    expect((await settle(broken.id, "replay")).body).toMatchObject({
      state: "failed",
      code: "EVENT_INVALID",
    });
    const taken = (await settle(late.id, "replay")).body;
    expect(taken).toMatchObject({ state: "replayed", photos: [expect.any(String)] });
    expect(await queued()).toEqual(["42/late.jpg"]);
    expect(
      (await messages()).map(({ id, attempts }: { id: string; attempts: number }) => [id, attempts]),
    ).toEqual([[broken.id, 2]]);
    expect((await settle(broken.id, "discard")).body.state).toBe("discarded");
    expect((await settle(late.id, "discard")).body.state).toBe("replayed");
    expect((await settle("999", "replay")).status).toBe(404);
    expect(await messages()).toEqual([]);
    expect(await logged(db)).toEqual([
      { who: "oda", did: "replayed-message", about: { message: broken.id, source: "sqs:uploads" } },
      { who: "oda", did: "replayed-message", about: { message: late.id, source: "sqs:uploads" } },
      { who: "oda", did: "discarded-message", about: { message: broken.id, source: "sqs:uploads" } },
    ]);
    expect(await told(db)).toEqual([
      `replayed message ${broken.id} of sqs:uploads`,
      `replayed message ${late.id} of sqs:uploads`,
      `discarded message ${broken.id} of sqs:uploads`,
    ]);
  });
});

test("nothing is done of which it cannot be written down who did it", async ({
  db,
  configFor,
  queued,
  scope,
}) => {
  const { backfill } = await troubled(db);
  const config = configFor("postgres");
  const intake = await openEventIntake(config, createLog("silent"), scope);
  const { deps } = await openDesk(config, intake, scope, () => undefined);
  const { operate } = deps;
  const [dead] = await operate.deadDeliveries();
  const [message] = await operate.badMessages();
  const [{ id: photo }] = (await db.pool.query("select id from photos where state = 'shown'")).rows;
  const everything = async () => ({
    queued: await queued(),
    lanes: (await operate.now()).lanes?.map(({ paused }) => paused),
    deliveries: await operate.deadDeliveries(),
    messages: await operate.badMessages(),
    backfills: (await db.pool.query("select * from backfills")).rows,
    photos: (await db.pool.query("select count(*) from photos")).rows,
  });
  const before = await everything();
  await db.pool.query("alter table audit_log add constraint full_disk check (false) not valid");
  const acts = [
    () => operate.replayDeliveries({ destination: dead!.destination }, "oda"),
    () => operate.replayBadMessage(message!.id, "oda"),
    () => operate.discardBadMessage(message!.id, "oda"),
    () => operate.replayFailures("CORRUPT", undefined, "oda"),
    () => operate.changeLane("live", "paused", "oda", "lunch"),
    () => operate.changeBackfill(backfill, "paused", "oda", "lunch"),
    () => operate.retryBackfill(backfill, undefined, "oda"),
    () => deps.rerun(photo, "oda"),
    () => deps.forget(photo, "oda"),
  ];
  for (const act of acts) {
    await expect(act()).rejects.toThrow("full_disk");
    expect(await everything()).toEqual(before);
  }
});

describe.each(BACKENDS)("the queue's own view on %s", (backend) => {
  test("is for operators, and changes nothing", async ({ openDesk, db }) => {
    const desk = await openDesk({
      MAITRED_QUEUE_URL: queueUrl(backend, db),
      MAITRED_QUEUE_PREFIX: backend === "redis" ? new URL(db.url).pathname.slice(1) : "maitred_queue",
    });
    const [vic, oda] = [await desk.signIn("vic", "read"), await desk.signIn("oda", "operate")];
    await troubled(db);
    await oda.ask("POST", "/desk/api/operate/failures/replay", { code: "CORRUPT" });
    expect((await desk.ask("GET", "/desk/bull/")).status).toBe(401);
    const opened = await desk.ask("GET", "/desk/bull/queue/live?page=2", undefined, {
      accept: "text/html,*/*",
    });
    expect([opened.status, opened.headers.get("location")]).toEqual([
      302,
      "/desk/?to=%2Fdesk%2Fbull%2Fqueue%2Flive%3Fpage%3D2",
    ]);
    expect((await vic.ask("GET", "/desk/bull/")).status).toBe(403);
    expect((await vic.ask("GET", "/desk/bull/api/queues")).status).toBe(403);
    const page = await oda.ask("GET", "/desk/bull/");
    expect(page.status).toBe(200);
    expect(page.headers.get("content-security-policy")).toContain("script-src 'self';");
    const { queues } = (await oda.ask("GET", "/desk/bull/api/queues")).body;
    expect(
      queues.map(({ name, readOnlyMode }: { name: string; readOnlyMode: boolean }) => [name, readOnlyMode]),
    ).toEqual([
      ["live", true],
      ["backfill", true],
    ]);
    expect(queues[0].counts.waiting).toBe(4);
    // not by asking as the page does: what bull-board refuses is no problem document
    const paused = await fetch(`${desk.url}/desk/bull/api/queues/live/pause`, {
      method: "PUT",
      headers: { cookie: oda.cookie, "x-maitred-desk": "1" },
    });
    expect(paused.status).toBe(405);
    expect((await oda.ask("GET", "/desk/api/operate")).body.lanes[0]).toMatchObject({
      paused: false,
      waiting: 4,
    });
  });
});
