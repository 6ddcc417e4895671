import pg from "pg";
import { describe, expect } from "vitest";
import { rollbackBackfill } from "../../src/store/backfills.ts";
import {
  claimDeliveries,
  deliveryFigures,
  purgeDeliveries,
  replayDeliveries,
  settleDelivery,
} from "../../src/store/deliveries.ts";
import {
  addDestination,
  enableDestination,
  removeDestination,
  tellAgain,
} from "../../src/store/destinations.ts";
import { recordEvents } from "../../src/store/events.ts";
import { undoReview } from "../../src/store/reviews.ts";
import { recordOutcomes, recordWith } from "../../src/store/verdicts.ts";
import { type Database, rows, test } from "../fixtures.ts";
import { decide, fail, judge, judged, register, removeObject } from "../verdicts.ts";
import { waitersIn } from "../waits.ts";

const outbox = (db: Database) => rows(db, "select seq, photo_id, kind, payload from outbox order by seq");
const kinds = async (db: Database): Promise<string[]> => (await outbox(db)).map(({ kind }) => kind);
const webhook = (db: Database, id = "w", bucket: string | null = null) =>
  addDestination(db.pool, { id, kind: "webhook", bucket, url: "https://app.example/hook" }, "whsec_c2VjcmV0");
const claim = (db: Database, leaseS = 60) => claimDeliveries(db.pool, {}, { each: 100, total: 100, leaseS });
const delivered = { state: "delivered", note: null, waitMs: 0 } as const;
/** What ann decides; answers with what takes it back. */
async function annDecides(db: Database, photo: string): Promise<() => Promise<unknown>> {
  const id = await decide(db, photo, { verdict: "shown", category: "menu" });
  return () => undoReview(db.pool, "ann", id, 60);
}
/** A backfill that showed these photos; answers with what rolls it back. */
async function backfilled(db: Database, ids: string[]): Promise<() => Promise<unknown>> {
  const [{ id }] = await rows(
    db,
    `insert into backfills (what, model, started_by, state, ended_at) values ('{}', '', 'ann', 'done', now()) returning id`,
  );
  await recordOutcomes(
    db.pool,
    ids.map((photo) => ({ ...judged(photo, "shown", "model:m-9"), backfill: id })),
  );
  return () => rollbackBackfill(db.pool, id, "0", "ann");
}

describe("the outbox", () => {
  test("says everything of a verdict that the API says, with its sequence", async ({ db }) => {
    await webhook(db);
    const id = await register(db, "a b+c.jpg");
    await recordOutcomes(db.pool, [judged(id, "shown")]);
    const [{ seq, ...row }] = await outbox(db);
    expect(row).toEqual({
      photo_id: id,
      kind: "photo.verdict",
      payload: {
        id,
        sequence: Number(seq),
        store: "s3",
        bucket: "photos",
        key: "a b+c.jpg",
        version: "etag:1",
        current: true,
        public: true,
        state: "shown",
        verdict: "shown",
        rule: "clear",
        reason: "because",
        failure: null,
        category: "food",
        human: 0.5,
        tags: [{ category: "food", score: 0.75, threshold: 0.5, by: "model:m-1" }],
        by: "model:m-1",
        policy: "p1",
        listing: "42",
        uploader: null,
        claimed: null,
        decidedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      },
    });
  });

  test("holds nothing while nobody is to be told, and nothing of what came before", async ({ db }) => {
    const id = await register(db, "a");
    await judge(db, id, "shown");
    await webhook(db);
    await enableDestination(db.pool, "w", false);
    await judge(db, id, "hidden");
    expect(await outbox(db)).toEqual([]);
    await enableDestination(db.pool, "w", true);
    await judge(db, id, "review");
    expect((await outbox(db)).map(({ payload }) => payload.state)).toEqual(["review"]);
  });

  test("says of what has a verdict which listing it is of, once that is told, and once", async ({ db }) => {
    await webhook(db);
    const event = { kind: "created", store: "s3", bucket: "b", key: "a", order: null } as const;
    const tell = (listing?: string) =>
      recordEvents(db.pool, [{ ...event, version: "etag:1", known: listing ? { listing } : {} }], "right");
    const [told] = await tell();
    await judge(db, told!.photoId!, "shown");
    for (const listing of ["77", "77", "78"]) await tell(listing);
    expect((await outbox(db)).map(({ kind, payload }) => [kind, payload.listing])).toEqual([
      ["photo.verdict", null],
      ["photo.verdict", "77"],
      ["photo.verdict", "78"],
    ]);
  });

  test("loses what is rolled back with it", async ({ db }) => {
    await webhook(db);
    const id = await register(db, "a");
    const client = await db.pool.connect();
    await client.query("begin");
    await client.query("select record_review($1, 'ann', 'hidden')", [id]);
    expect((await client.query("select from outbox")).rowCount).toBe(1);
    await client.query("rollback");
    client.release();
    expect(await rows(db, "select from outbox")).toEqual([]);
    expect(await rows(db, "select from deliveries")).toEqual([]);
  });

  test("has no second row for a job that is run twice", async ({ db }) => {
    await webhook(db);
    const id = await register(db, "a");
    await recordOutcomes(db.pool, [judged(id, "shown")]);
    await recordOutcomes(db.pool, [judged(id, "shown")]);
    await register(db, "a");
    expect(await kinds(db)).toEqual(["photo.verdict"]);
  });

  test("says of a moderator's verdict the tags that the moderator gave", async ({ db }) => {
    await webhook(db);
    const id = await register(db, "a");
    await judge(db, id, "shown");
    await db.pool.query("select record_review($1, 'ann', 'hidden', 'menu', true)", [id]);
    expect((await outbox(db)).at(-1)!.payload).toMatchObject({
      state: "hidden",
      public: false,
      by: "moderator:ann",
      category: "menu",
      tags: [{ category: "menu", score: 1, threshold: 0, by: "moderator:ann" }],
    });
  });

  test("tells of failures, removals, overwrites, and photos that come back, and of nothing that is pending", async ({
    db,
  }) => {
    await webhook(db);
    const first = await register(db, "a", "etag:1");
    await register(db, "untold", "etag:1");
    await register(db, "untold", "etag:2");
    expect(await outbox(db)).toEqual([]);
    await judge(db, first, "shown");
    const second = await register(db, "a", "etag:2");
    await fail(db, second);
    await register(db, "a", "etag:1");
    await removeObject(db, "a");
    await recordEvents(
      db.pool,
      [
        {
          kind: "created",
          store: "s3",
          bucket: "photos",
          key: "a",
          version: "etag:1",
          order: null,
          known: {},
        },
      ],
      "right",
    );
    const told = (await outbox(db)).map(({ photo_id, kind, payload }) => [
      photo_id,
      kind,
      payload.current,
      payload.public,
    ]);
    expect(told).toEqual([
      [first, "photo.verdict", true, true],
      [first, "photo.withdrawn", false, false],
      [second, "photo.failed", true, false],
      // both in one statement, in the order of their ids
      [first, "photo.verdict", true, true],
      [second, "photo.withdrawn", false, false],
      [first, "photo.withdrawn", false, false],
      [first, "photo.verdict", true, true],
    ]);
    expect((await outbox(db))[2]!.payload).toMatchObject({
      verdict: null,
      failure: "CORRUPT",
      reason: "no image",
    });
  });

  test("tells that a photo is pending again, and why: what it told before is not so any more", async ({
    db,
  }) => {
    await webhook(db);
    const [decided, filled] = [await register(db, "a"), await register(db, "b")];
    const undo = await annDecides(db, decided);
    const rollBack = await backfilled(db, [filled]);
    await undo();
    await rollBack();
    const told = (await outbox(db)).map(({ photo_id, kind, payload }) => [photo_id, kind, payload.public]);
    expect(told).toEqual([
      [decided, "photo.verdict", true],
      [filled, "photo.verdict", true],
      [decided, "photo.withdrawn", false],
      [filled, "photo.withdrawn", false],
    ]);
    const [, , { payload }, { payload: other }] = await outbox(db);
    const nothing = { verdict: null, failure: null, category: null, human: null, by: null, policy: null };
    const pending = { ...nothing, current: true, state: "pending", tags: [], decidedAt: null };
    expect(payload).toMatchObject({ ...pending, rule: "undo", reason: "taken back by ann" });
    expect(other).toMatchObject({
      ...pending,
      reason: expect.stringMatching(/^backfill \d+ was rolled back$/),
    });
    await judge(db, decided, "hidden");
    expect((await kinds(db)).at(-1)).toBe("photo.verdict");
  });

  test("tells those alone who tag objects of an upload of the same bytes, which takes the tags away, once", async ({
    db,
  }) => {
    const upload = (order: string | null, receivedAt = new Date()) => {
      const object = { store: "s3", bucket: "photos", key: "a", version: "etag:1" } as const;
      const event = { ...object, kind: "created", order, receivedAt, known: {} } as const;
      return recordEvents(db.pool, [event], "right");
    };
    await webhook(db);
    for (const [id, bucket] of [
      ["tags", "photos"],
      ["others", "menus"],
    ] as const)
      await addDestination(db.pool, { id, kind: "s3-tags", bucket, url: null }, null);
    const [first] = await upload(null);
    const before = new Date();
    await upload("0f", before);
    await upload("10", before);
    await judge(db, first!.photoId!, "shown");
    await upload("10");
    await upload(null);
    await rows(db, "delete from outbox");
    for (const order of ["11", "11", "0f"]) await upload(order);
    expect(
      await rows(db, "select destination, payload ->> 'state' as state from deliveries natural join outbox"),
    ).toEqual([{ destination: "tags", state: "shown" }]);
  });

  test("tells them not of the first event of what was told of before, but where it is of a later upload", async ({
    db,
  }) => {
    await addDestination(db.pool, { id: "tags", kind: "s3-tags", bucket: null, url: null }, null);
    const said = new Date();
    for (const key of ["same", "later"]) await judge(db, await register(db, key), "shown");
    await rows(db, "delete from outbox");
    for (const [key, receivedAt] of [
      ["same", said],
      ["later", new Date()],
    ] as const) {
      const object = { store: "s3", bucket: "photos", key, version: "etag:1" } as const;
      await recordEvents(
        db.pool,
        [{ ...object, kind: "created", order: "10", receivedAt, known: {} }],
        "right",
      );
    }
    expect(await rows(db, "select payload ->> 'key' as key from outbox")).toEqual([{ key: "later" }]);
  });

  test("keeps buckets apart where a destination is of one", async ({ db }) => {
    await webhook(db, "one", "photos");
    await webhook(db, "two", "menus");
    await judge(db, await register(db, "a", "etag:1", "photos"), "shown");
    await judge(db, await register(db, "a", "etag:1", "others"), "shown");
    expect(await rows(db, "select destination from deliveries")).toEqual([{ destination: "one" }]);
    expect(await outbox(db)).toHaveLength(1);
  });

  test("numbers the changes of one photo as they are committed, whoever is first to begin", async ({
    db,
  }) => {
    await webhook(db);
    const id = await register(db, "a");
    const verdicts = Array.from({ length: 20 }, (_, n) => (n % 2 ? "shown" : "hidden"));
    await Promise.all(verdicts.map((verdict) => judge(db, id, verdict as "shown")));
    const history = await rows(db, "select verdict, decided_by from verdicts order by id");
    expect((await outbox(db)).map(({ payload }) => [payload.state, payload.by])).toEqual(
      history.map(({ verdict, decided_by }) => [verdict, decided_by]),
    );
  });

  test("is written whoever changes photos, without a right to it, and workers may deliver", async ({
    db,
  }) => {
    await webhook(db);
    const id = await register(db, "a");
    const client = await db.pool.connect();
    try {
      await client.query("begin; set local role maitred_worker");
      await recordWith(client, [judged(id, "shown")]);
      await expect(
        client.query("savepoint s; insert into destinations (id, kind) values ('x', 'notify')"),
      ).rejects.toThrow("permission denied");
      await client.query("rollback to s");
      const [first] = await claimDeliveries(client as never, {}, { each: 1, total: 1, leaseS: 60 });
      await settleDelivery(client as never, first!, delivered);
      await client.query("select purge_deliveries(0, 0, 10)");
      await client.query("update destinations set enabled = false, note = 'gone'");
      await client.query("commit");
    } finally {
      client.release();
    }
    expect(await rows(db, "select state from deliveries")).toEqual([{ state: "delivered" }]);
  });
});

describe("catching up", () => {
  const told = async (db: Database, since: Date | null = null): Promise<string[]> => {
    await db.pool.query("delete from outbox");
    for (let after: string | undefined = "0"; after !== undefined; ) {
      after = (await tellAgain(db.pool, "w", since, after, 2)).lastId;
    }
    return (await outbox(db)).map(({ kind, payload }) => `${payload.key} ${kind} ${payload.state}`);
  };

  /** What was decided until now was so an hour before. */
  const anHourAgo = (db: Database) =>
    db.pool.query(`alter table verdicts disable trigger verdicts_append_only;
      update verdicts set decided_at = decided_at - interval '1 hour';
      alter table verdicts enable trigger verdicts_append_only;
      update photos set decided_at = decided_at - interval '1 hour'`);

  test("tells one destination of every current photo that has a verdict or failed, as it is now", async ({
    db,
  }) => {
    for (const key of ["a", "b", "c", "d"]) {
      const id = await register(db, key);
      if (key !== "d") await judge(db, id, key === "b" ? "hidden" : "shown");
      if (key === "c") await db.pool.query("update photos set superseded_at = now() where id = $1", [id]);
    }
    await webhook(db);
    await webhook(db, "other");
    expect(await told(db)).toEqual(["a photo.verdict shown", "b photo.verdict hidden"]);
    expect(await rows(db, "select distinct destination from deliveries")).toEqual([{ destination: "w" }]);
    await db.pool.query("update destinations set bucket = 'elsewhere' where id = 'w'");
    expect(await told(db)).toEqual([]);
  });

  test("tells of what changed and what was withdrawn since a time, and of no more", async ({ db }) => {
    const ids: string[] = [];
    for (const key of ["a", "b", "c"]) ids.push(await register(db, key));
    for (const id of ids) await judge(db, id, "shown");
    await anHourAgo(db);
    await webhook(db);
    await enableDestination(db.pool, "w", false);
    await judge(db, ids[1]!, "hidden");
    await db.pool.query("update photos set superseded_at = now() where id = $1", [ids[2]]);
    const before = await enableDestination(db.pool, "w", true);
    expect(await told(db, before!.since)).toEqual(["b photo.verdict hidden", "c photo.withdrawn shown"]);
  });

  test("tells of verdicts that were taken back meanwhile, for another or for none", async ({ db }) => {
    const ids = [];
    for (const key of ["restored", "pending", "rolled back", "never judged", "replaced", "stands again"])
      ids.push(await register(db, key));
    await judge(db, ids[0]!, "hidden");
    await recordOutcomes(db.pool, [{ ...judged(ids[5]!, "hidden", "model:m-9"), policy: "old" }]);
    const undo = [
      await annDecides(db, ids[0]!),
      await annDecides(db, ids[1]!),
      await annDecides(db, ids[4]!),
    ];
    const rollBack = await backfilled(db, [ids[2]!, ids[5]!]);
    await register(db, "replaced", "etag:2");
    await anHourAgo(db);
    await db.pool.query(`update review_decisions set before = before || '{"decided_at": "2020-01-01"}'
      where before ->> 'state' <> 'pending'`);
    await webhook(db);
    await enableDestination(db.pool, "w", false);
    for (const each of undo) await each();
    await rollBack();
    const before = await enableDestination(db.pool, "w", true);
    const current = [
      "restored photo.verdict hidden",
      "pending photo.withdrawn pending",
      "rolled back photo.withdrawn pending",
    ];
    const again = "stands again photo.verdict hidden";
    expect(await told(db)).toEqual([...current, again]);
    expect(await told(db, before!.since)).toEqual([...current, "replaced photo.withdrawn pending", again]);
  });

  test("since a destination was disabled misses nothing that was under way at that moment", async ({
    db,
  }) => {
    await webhook(db);
    const id = await register(db, "a");
    const client = await db.pool.connect();
    await client.query("begin");
    await client.query("select now()");
    await enableDestination(db.pool, "w", false);
    await client.query("select record_review($1, 'ann', 'hidden')", [id]);
    await client.query("commit");
    client.release();
    const before = await enableDestination(db.pool, "w", true);
    expect(await outbox(db)).toEqual([]);
    expect(await tellAgain(db.pool, "w", before!.since, "0", 100)).toMatchObject({ told: 1 });
  });

  test("is for destinations that are there and enabled", async ({ db }) => {
    await expect(tellAgain(db.pool, "w", null, "0", 10)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await webhook(db);
    await enableDestination(db.pool, "w", false);
    await expect(tellAgain(db.pool, "w", null, "0", 10)).rejects.toThrow("not enabled");
  });
});

describe("what is forgotten", () => {
  test("is told with nothing but what names it, and is erased from what was told before", async ({ db }) => {
    await webhook(db, "one");
    await webhook(db, "two");
    const id = await register(db, "a");
    const untold = await register(db, "b");
    await judge(db, id, "shown");
    await settleDelivery(db.pool, (await claim(db))[0]!, delivered);
    await judge(db, id, "hidden");
    await db.pool.query("delete from photos where id = any ($1)", [[id, untold]]);
    const left = await outbox(db);
    expect(left.map(({ kind }) => kind)).toEqual(["photo.forgotten"]);
    expect(Object.keys(left[0]!.payload)).toEqual(["id", "sequence", "store", "bucket", "key", "version"]);
    expect(await rows(db, "select from deliveries")).toHaveLength(2);
  });

  test("is told also of what is pending again: receivers have it", async ({ db }) => {
    await webhook(db);
    const ids = [await register(db, "a"), await register(db, "b")];
    const undo = await annDecides(db, ids[0]!);
    const rollBack = await backfilled(db, [ids[1]!]);
    await undo();
    await rollBack();
    await rows(db, "delete from outbox");
    await rows(db, "delete from photos");
    expect((await outbox(db)).map(({ photo_id, kind }) => [photo_id, kind])).toEqual(
      ids.map((id) => [id, "photo.forgotten"]),
    );
  });

  test("leaves the outbox once everybody was told", async ({ db }) => {
    await webhook(db, "one");
    await webhook(db, "two");
    const id = await register(db, "a");
    await judge(db, id, "shown");
    await db.pool.query("delete from photos where id = $1", [id]);
    const [one, two] = await claim(db);
    await settleDelivery(db.pool, one!, delivered);
    expect(await outbox(db)).toHaveLength(1);
    await settleDelivery(db.pool, two!, delivered);
    expect(await outbox(db)).toEqual([]);
    expect(await rows(db, "select from deliveries")).toEqual([]);
  });

  test("is told only after an attempt that may be under way has ended", async ({ db }) => {
    await webhook(db);
    const id = await register(db, "a");
    await judge(db, id, "shown");
    const [attempt] = await claim(db, 60);
    await db.pool.query("delete from photos where id = $1", [id]);
    expect(await claim(db)).toEqual([]);
    expect(await rows(db, "select next_at > now() + interval '50 seconds' as later from deliveries")).toEqual(
      [{ later: true }],
    );
    // whoever is at it has nothing to settle any more
    await settleDelivery(db.pool, attempt!, delivered);
    expect(await kinds(db)).toEqual(["photo.forgotten"]);
  });
});

describe("claims", () => {
  test("are one at a time of one photo and destination, in order, and pass over what is dead", async ({
    db,
  }) => {
    await webhook(db);
    const a = await register(db, "a");
    const b = await register(db, "b");
    for (const verdict of ["shown", "hidden", "review"] as const) {
      await judge(db, a, verdict);
      await judge(db, b, verdict);
    }
    const states = async () => {
      const claimed = await claim(db);
      return {
        claimed,
        said: claimed.map(({ payload }) => [payload.key, (payload as never as { state: string }).state]),
      };
    };
    const first = await states();
    expect(first.said).toEqual([
      ["a", "shown"],
      ["b", "shown"],
    ]);
    expect((await states()).said).toEqual([]);
    await settleDelivery(db.pool, first.claimed[0]!, delivered);
    await settleDelivery(db.pool, first.claimed[1]!, { state: "dead", note: "no", waitMs: 0 });
    expect((await states()).said).toEqual([
      ["a", "hidden"],
      ["b", "hidden"],
    ]);
  });

  test("hold back what waits behind a delivery that failed", async ({ db }) => {
    await webhook(db);
    const id = await register(db, "a");
    await judge(db, id, "shown");
    await judge(db, id, "hidden");
    await settleDelivery(db.pool, (await claim(db))[0]!, { state: "pending", note: "no", waitMs: 3_600_000 });
    expect(
      await rows(db, "select from deliveries where next_at > now() + interval '59 minutes'"),
    ).toHaveLength(2);
  });

  test("become due with what is before them, and no sooner: what waits for it is not looked at each time", async ({
    db,
  }) => {
    await webhook(db);
    const id = await register(db, "a");
    await judge(db, id, "shown");
    const [first] = await claim(db);
    await settleDelivery(db.pool, first!, { state: "pending", note: "no", waitMs: 3_600_000 });
    await judge(db, id, "hidden");
    const due = () => rows(db, "select seq from deliveries where next_at <= now() and state = 'pending'");
    expect(await due()).toEqual([]);
    await settleDelivery(db.pool, first!, delivered);
    expect(await due()).toHaveLength(1);
    expect(await claim(db)).toHaveLength(1);
  });

  test("are due at once where what is before them is told before they are committed", async ({ db }) => {
    await webhook(db);
    const id = await register(db, "a");
    await judge(db, id, "shown");
    const [first] = await claim(db);
    const client = await db.pool.connect();
    await client.query("begin");
    await client.query("select record_review($1, 'ann', 'hidden')", [id]);
    await settleDelivery(db.pool, first!, delivered);
    await client.query("commit");
    client.release();
    expect(await claim(db)).toHaveLength(1);
  });

  test("that ran out are another's, whose result the first cannot undo", async ({ db }) => {
    await webhook(db);
    await judge(db, await register(db, "a"), "shown");
    const [slow] = await claim(db, 0);
    const [next] = await claim(db, 60);
    expect([slow!.attempt, next!.attempt]).toEqual([1, 2]);
    await settleDelivery(db.pool, slow!, { state: "dead", note: "late", waitMs: 0 });
    expect(await rows(db, "select state from deliveries")).toEqual([{ state: "pending" }]);
    await settleDelivery(db.pool, next!, delivered);
    await settleDelivery(db.pool, slow!, { state: "pending", note: "late", waitMs: 0 });
    expect(await rows(db, "select state from deliveries")).toEqual([{ state: "delivered" }]);
  });

  test("keep to what each destination and the process may have in hand", async ({ db }) => {
    await webhook(db, "one");
    await webhook(db, "two");
    for (const key of "abcdef") await judge(db, await register(db, key), "shown");
    const first = await claimDeliveries(db.pool, { one: 3 }, { each: 4, total: 100, leaseS: 60 });
    expect(first.map(({ destination }) => destination).sort()).toEqual(["one", "two", "two", "two", "two"]);
    expect(await claimDeliveries(db.pool, { one: 2 }, { each: 100, total: 1, leaseS: 60 })).toHaveLength(1);
  });

  test("leave each destination its share of what the process may have in hand", async ({ db }) => {
    for (const id of ["one", "two", "three"]) await webhook(db, id);
    for (const key of "abcdef") await judge(db, await register(db, key), "shown");
    const claimed = await claimDeliveries(db.pool, { one: 2 }, { each: 8, total: 5, leaseS: 60 });
    expect(claimed.map(({ destination }) => destination).sort()).toEqual(["three", "three", "two", "two"]);
  });
});

describe("a receiver that keeps photos by bucket and key as docs/effects.md says", () => {
  interface Said {
    id: string;
    sequence: number;
    current: boolean;
    state: string;
  }

  function held(messages: Said[]): string | undefined {
    const highest: Record<string, number> = {};
    let highestCurrent = 0;
    let photo: Said | undefined;
    for (const said of messages) {
      if (said.sequence < (highest[said.id] ?? 0)) continue;
      highest[said.id] = said.sequence;
      if (said.current ? said.sequence < highestCurrent : said.id !== photo?.id) continue;
      if (said.current) highestCurrent = said.sequence;
      photo = said;
    }
    return photo && `${photo.id} ${photo.current ? photo.state : "withdrawn"}`;
  }

  /** Every order in which those of two photos may come, each photo's own in theirs. */
  function orders(one: Said[], other: Said[]): Said[][] {
    if (!one[0] || !other[0]) return [[...one, ...other]];
    const [first, second] = [one[0], other[0]];
    return [
      ...orders(one.slice(1), other).map((rest) => [first, ...rest]),
      ...orders(one, other.slice(1)).map((rest) => [second, ...rest]),
    ];
  }

  test("has what is so in the end, in whichever order those of two photos come", async ({ db }) => {
    await webhook(db);
    const upload = async (version: string, order: string): Promise<string> => {
      const event = { store: "s3", bucket: "photos", key: "a", kind: "created", known: {} } as const;
      return (await recordEvents(db.pool, [{ ...event, version, order }], "right"))[0]!.photoId!;
    };
    const all = async (): Promise<(string | undefined)[]> => {
      const said = (await outbox(db)).map(({ payload }) => payload as Said);
      const of = (id: string): Said[] => said.filter((each) => each.id === id);
      return orders(of(old), of(later)).map(held);
    };
    const old = await upload("v1", "01");
    await judge(db, old, "shown");
    const later = await upload("v2", "02");
    await judge(db, later, "hidden");
    expect(new Set(await all())).toEqual(new Set([`${later} hidden`]));
    await upload("v1", "03");
    expect(new Set(await all())).toEqual(new Set([`${old} shown`]));
    await judge(db, old, "hidden");
    await upload("v2", "04");
    expect(new Set(await all())).toEqual(new Set([`${later} hidden`]));
  });
});

describe("a destination that is disabled", () => {
  test("waits for no verdict, and what that tells it goes once it is enabled", async ({ db }) => {
    await webhook(db);
    const id = await register(db, "a");
    const client = await db.pool.connect();
    try {
      await client.query("begin");
      await client.query("select record_review($1, 'ann', 'hidden')", [id]);
      await enableDestination(db.pool, "w", false);
      await client.query("commit");
    } finally {
      client.release(true);
    }
    expect(await claim(db)).toEqual([]);
    await enableDestination(db.pool, "w", true);
    expect(await claim(db)).toHaveLength(1);
  });

  test("is told the page of a catch-up that is under way, which would go on after it", async ({ db }) => {
    const id = await register(db, "a");
    await judge(db, id, "shown");
    await webhook(db);
    const client = await db.pool.connect();
    await client.query("begin");
    await client.query("select from photos where id = $1 for update", [id]);
    const page = tellAgain(db.pool, "w", null, "0", 10);
    await waitersIn(db);
    const disabled = enableDestination(db.pool, "w", false);
    await Promise.race([disabled, waitersIn(db, 2)]);
    await client.query("commit");
    client.release();
    expect(await page).toMatchObject({ told: 1 });
    await disabled;
  });
});

describe("a destination that is removed", () => {
  test("takes with it what is being written for it at that moment", async ({ db }) => {
    await webhook(db);
    const id = await register(db, "a");
    const client = await db.pool.connect();
    await client.query("begin");
    await client.query("select record_review($1, 'ann', 'hidden')", [id]);
    const removed = removeDestination(db.pool, "w");
    await waitersIn(db);
    await client.query("commit");
    client.release();
    expect(await removed).toBe(true);
    expect(await outbox(db)).toEqual([]);
  });

  test("fails no verdict that is given at that moment", async ({ db }) => {
    await webhook(db);
    const id = await register(db, "a");
    const client = await db.pool.connect();
    await client.query("begin");
    await client.query("select remove_destination('w')");
    const verdict = judge(db, id, "shown");
    await waitersIn(db);
    await client.query("commit");
    client.release();
    await verdict;
    expect(await rows(db, "select state from photos")).toEqual([{ state: "shown" }]);
    expect(await outbox(db)).toEqual([]);
  });
});

test("what is dead is kept for longer, and not for ever", async ({ db }) => {
  await webhook(db);
  await judge(db, await register(db, "a"), "shown");
  await settleDelivery(db.pool, (await claim(db))[0]!, { state: "dead", note: "no", waitMs: 0 });
  await db.pool.query("update deliveries set next_at = now() - interval '50 days'");
  expect(await purgeDeliveries(db.pool, { days: 7, deadDays: 60 }, 100)).toBe(0);
  expect(await purgeDeliveries(db.pool, { days: 7, deadDays: 40 }, 100)).toBe(1);
  expect(await outbox(db)).toEqual([]);
});

test("a destination of the kind notify hears of changes on its channel, in the transaction", async ({
  db,
}) => {
  await addDestination(db.pool, { id: "n", kind: "notify", bucket: null, url: null }, null);
  const listener = new pg.Client(db.url);
  await listener.connect();
  try {
    await listener.query("listen maitred_photos");
    const told: Promise<string | undefined>[] = [];
    const next = () =>
      new Promise<string | undefined>((resolve) =>
        listener.once("notification", ({ payload }) => resolve(payload)),
      );
    told.push(next());
    const id = await register(db, "a");
    await judge(db, id, "shown");
    const said = JSON.parse((await told[0])!);
    expect(said).toEqual({ id, sequence: expect.any(Number), state: "shown", current: true, public: true });
    const gone = next();
    await db.pool.query("delete from photos where id = $1", [id]);
    expect(JSON.parse((await gone)!)).toEqual({ id, forgotten: true });
    expect(await outbox(db)).toEqual([]);
  } finally {
    await listener.end();
  }
});

test("how far behind a destination is counts no more than 10,000 of what waits, and names the oldest", async ({
  db,
}) => {
  await webhook(db);
  await db.pool.query(
    `with told as (
      insert into outbox (photo_id, kind, payload, created_at)
      select n, 'photo.verdict', '{}', now() - make_interval(hours => case n when 1 then 3 else 1 end)
      from generate_series(1, 10050) n returning seq, photo_id
    )
    insert into deliveries (seq, destination, photo_id, state)
    select seq, 'w', photo_id, case when photo_id between 2 and 41 then 'dead' else 'pending' end from told`,
  );
  const [figures] = await deliveryFigures(db.pool);
  expect(figures).toMatchObject({ destination: "w", pending: 10_000, dead: 40 });
  expect(figures!.oldestS).toBeCloseTo(3 * 3_600, -2);
});

test("a replay keeps what it has done when it is ended, and goes on with the rest when it is run again", async ({
  db,
}) => {
  await webhook(db, "v");
  await webhook(db, "w");
  await db.pool.query(
    `with told as (
      insert into outbox (photo_id, kind, payload) select n, 'photo.verdict', '{}' from generate_series(1, 6) n
      returning seq, photo_id
    )
    insert into deliveries (seq, destination, photo_id, state, attempts, delivered_at)
    select seq, d, photo_id, case photo_id when 1 then 'delivered' else 'dead' end, 19, case photo_id when 1 then now() end
    from told, (values ('v'), ('w')) t(d)`,
  );
  const fresh = () =>
    rows(
      db,
      `select destination, array_agg(photo_id order by seq) as photos from deliveries
       where state = 'pending' and attempts = 0 group by 1 order by 1`,
    );
  for await (const { replayed } of replayDeliveries(db.pool, { state: "dead" }, 2)) {
    expect(replayed).toBe(2);
    break;
  }
  expect(await fresh()).toEqual([{ destination: "v", photos: ["2", "3"] }]);
  const pages: number[] = [];
  for await (const { replayed } of replayDeliveries(db.pool, { state: "dead" }, 2)) pages.push(replayed);
  expect(pages).toEqual([2, 1, 2, 2, 1]);
  expect(await fresh()).toEqual(
    ["v", "w"].map((destination) => ({ destination, photos: ["2", "3", "4", "5", "6"] })),
  );
  // those that are still matched are not met again
  for await (const { replayed } of replayDeliveries(db.pool, { state: "pending" }, 5)) pages.push(replayed);
  expect(pages.slice(5)).toEqual([5, 5]);
});
