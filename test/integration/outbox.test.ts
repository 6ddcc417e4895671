import pg from "pg";
import { describe, expect } from "vitest";
import { claimDeliveries, settleDelivery } from "../../src/store/deliveries.ts";
import { addDestination, enableDestination } from "../../src/store/destinations.ts";
import { recordEvents } from "../../src/store/events.ts";
import { decideReviews } from "../../src/store/reviews.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { rows, test, transaction } from "../fixtures.ts";
import { annDecides, backfilled, delivered, kinds, outbox, webhook } from "../outbox.ts";
import { decision, fail, judge, judged, register, removeObject } from "../verdicts.ts";

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

  test.for(["select", "vacuum analyze deliveries"])(
    "reads nothing of what waits for other photos, also before Postgres knows how much that is: %s",
    async (known, { db }) => {
      await webhook(db);
      await db.pool.query(known);
      await db.pool.query(
        `insert into photos (store, bucket, key, state, rule, decided_by, decided_at)
      select 's3', 'b', n, 'shown', 'clear', 'model:m-1', now() from generate_series(1, 3000) n`,
      );
      const read =
        "select seq_tup_read + idx_tup_fetch as read from pg_stat_xact_user_tables where relname = 'deliveries'";
      // after five Postgres keeps a plan
      const kept = "update photos set rule = rule || '.' where id = 1;".repeat(6);
      const results = await db.pool.query<{ read: string }>(
        `begin; ${kept} update photos set rule = 'x' where id <= 2000; ${read};
      update photos set rule = 'x' where id > 2900; ${read}; commit`,
      );
      const [before, after] = [results].flat().flatMap((result) => result.rows);
      expect(after!.read).toBe(before!.read);
      expect(await outbox(db)).toHaveLength(2106);
    },
  );

  test("loses what is rolled back with it", async ({ db }) => {
    await webhook(db);
    const id = await register(db, "a");
    const client = await transaction(db);
    await client.query("select record_review($1, 'ann', 'hidden')", [id]);
    expect((await client.query("select from outbox")).rowCount).toBe(1);
    await client.finish("rollback");
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

  test("tells of two decisions of one moment, also of a category alone, and of what was changed by hand", async ({
    db,
  }) => {
    await webhook(db);
    const id = await register(db, "a");
    await decideReviews(
      db.pool,
      "ann",
      ["food", "menu"].map((category) => decision(id, { verdict: "shown", category })),
    );
    await db.pool.query("update photos set category = 'other' where id = $1", [id]);
    expect((await outbox(db)).map(({ payload }) => payload.category)).toEqual(["food", "menu", "other"]);
  });

  test("tells of whatever changes of what it says of a photo, and of nothing else", async ({ db }) => {
    await webhook(db);
    const id = await register(db, "a");
    await judge(db, id, "shown");
    const changes = [
      "state = 'hidden'",
      "rule = 'verify'",
      "reason = 'another'",
      "category = 'menu'",
      "human = 0.1",
      "decided_by = 'model:x'",
      "decided_at = now()",
      "listing = '77'",
      "uploader = 'user'",
      "claimed = 'food'",
      "superseded_at = now()",
    ];
    for (const [n, change] of changes.entries()) {
      await rows(db, `update photos set ${change} where id = $1`, id);
      expect([change, (await outbox(db)).length]).toEqual([change, n + 2]);
    }
    await rows(db, "update photos set lane = 'backfill', inherited = true");
    expect(await outbox(db)).toHaveLength(changes.length + 1);
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

  test("tells where a photo goes that it said is pending again, and comes back, and of none that it never told of", async ({
    db,
  }) => {
    await webhook(db);
    const [taken, replaced] = [await register(db, "a"), await register(db, "b")];
    const rollBack = await backfilled(db, [taken, replaced]);
    await rollBack();
    await register(db, "untold");
    const before = (await outbox(db)).length;
    for (const key of ["a", "untold"]) await removeObject(db, key);
    await register(db, "b", "etag:2");
    await register(db, "b", "etag:1");
    const told = (await outbox(db)).slice(before);
    expect(
      told.map(({ photo_id, kind, payload }) => [photo_id, kind, payload.state, payload.current]),
    ).toEqual([
      [taken, "photo.withdrawn", "pending", false],
      [replaced, "photo.withdrawn", "pending", false],
      [replaced, "photo.withdrawn", "pending", true],
    ]);
  });

  test("tells those alone who tag objects of an upload of the same bytes, which takes the tags away, once", async ({
    db,
  }) => {
    const upload = (order: string | null, receivedAt = new Date(), version = "etag:1") => {
      const object = { store: "s3", bucket: "photos", key: "a", version } as const;
      const event = { ...object, kind: "created", order, receivedAt, known: {} } as const;
      return recordEvents(db.pool, [event], "right");
    };
    const [replaced] = await upload("0e", new Date(), "etag:0");
    await judge(db, replaced!.photoId!, "shown");
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
    expect((await outbox(db)).map(({ photo_id }) => photo_id)).toEqual([replaced!.photoId]);
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
    await Promise.all(verdicts.map((verdict) => judge(db, id, verdict)));
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
      await recordOutcomes(client, [judged(id, "shown")]);
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
