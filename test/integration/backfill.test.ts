import { describe, expect } from "vitest";
import type { PhotoJob, Verdict } from "../../src/photo.ts";
import { sampleBackfillChanges } from "../../src/store/backfill-counts.ts";
import { endBackfills, feedBackfill, feedRetries, waitingPhotos } from "../../src/store/backfill-feed.ts";
import {
  addBackfill,
  changeBackfill,
  readBackfill,
  retryBackfill,
  rollbackBackfill,
} from "../../src/store/backfills.ts";
import { recordEvents } from "../../src/store/events.ts";
import { reportWorker } from "../../src/store/models.ts";
import { type Outcome, recordOutcomes } from "../../src/store/verdicts.ts";
import { counts, failed, judged, page, photos } from "../backfills.ts";
import { test } from "../fixtures.ts";
import { ofAll } from "../verdicts.ts";
import { waitersIn } from "../waits.ts";

async function gather(pages: AsyncIterable<PhotoJob[]>): Promise<string[]> {
  const ids: string[] = [];
  for await (const each of pages) ids.push(...each.map(({ id }) => id));
  return ids;
}

describe("a backfill", () => {
  test("reads the whole of a bucket for no photo, though statistics know nothing of that bucket yet", async ({
    db,
  }) => {
    // nor do they learn of it meanwhile
    await db.pool.query("alter table photos set (autovacuum_enabled = false)");
    await db.pool.query("alter table backfill_photos set (autovacuum_enabled = false)");
    const id = await addBackfill(db.pool, {
      ...ofAll,
      what: { kind: "prefix", bucket: "archive", prefix: "" },
    });
    const client = await db.pool.connect();
    const read: number[] = [];
    for (let n = 0; n < 10; n++) {
      const keys = Array.from({ length: 500 }, (_, k) => `${n}/${String(k).padStart(3, "0")}.jpg`);
      await client.query("begin");
      const all = (value: string | null) => keys.map(() => value);
      const fed = await client.query(
        "select from feed_page($1, $2, $3, false, 0, '{}', $4, $5, $6, $7, $8, $8, $8)",
        [
          id,
          n === 0 ? null : { after: n },
          { after: n + 1 },
          all("s3"),
          all("archive"),
          keys,
          all(""),
          all(null),
        ],
      );
      expect(fed.rowCount).toBe(500);
      const { rows: stats } = await client.query(
        "select sum(idx_tup_fetch + seq_tup_read)::float8 as read from pg_stat_xact_user_tables where relname in ('photos', 'backfill_photos')",
      );
      await client.query("commit");
      read.push(stats[0].read);
    }
    client.release();
    // what a page reads itself, and small tables whole
    expect(Math.max(...read)).toBeLessThan(200 * 500);
  });

  test("waits for what it fed until each is judged, counts how they came out, and is then done", async ({
    db,
  }) => {
    const ids = await photos(db, "a", "b", "c", "d", "e");
    await recordOutcomes(db.pool, [
      judged(ids[0]!, "shown", "model:m-1"),
      judged(ids[1]!, "shown", "model:m-2"),
    ]);
    await recordOutcomes(db.pool, [judged(ids[2]!, "hidden", "moderator:ann")]);
    const id = await addBackfill(db.pool, ofAll);
    const fed = await feedBackfill(db.pool, id, null, page(ids));
    expect(fed!.map((photo) => photo.id)).toEqual([ids[0], ids[3], ids[4]]);
    expect(await readBackfill(db.pool, id)).toMatchObject({
      seen: 5,
      fed: 3,
      skipped: 2,
      waiting: 3,
      readAll: true,
    });
    expect(await endBackfills(db.pool)).toEqual([]);
    await recordOutcomes(db.pool, [judged(ids[0]!, "hidden"), judged(ids[3]!, "shown"), failed(ids[4]!)]);
    expect((await counts(db, id)).sort()).toEqual([
      ["pending", "failed", "CORRUPT", 1],
      ["pending", "shown", "", 1],
      ["shown", "hidden", "", 1],
    ]);
    expect(await endBackfills(db.pool)).toEqual([id]);
    expect(await readBackfill(db.pool, id)).toMatchObject({ state: "done", waiting: 0 });
    // what is judged afterwards is no concern of it
    await recordOutcomes(db.pool, [judged(ids[4]!, "shown")]);
    expect(await counts(db, id)).toHaveLength(3);
  });

  test("with again takes what the model has decided, and never what a moderator has", async ({ db }) => {
    const ids = await photos(db, "a", "b");
    await recordOutcomes(db.pool, [judged(ids[0]!, "shown"), judged(ids[1]!, "hidden", "moderator:ann")]);
    const id = await addBackfill(db.pool, { ...ofAll, again: true });
    expect((await feedBackfill(db.pool, id, null, page(ids)))!.map((photo) => photo.id)).toEqual([ids[0]]);
    await recordOutcomes(db.pool, [judged(ids[0]!, "shown")]);
    expect(await counts(db, id)).toEqual([["shown", "kept", "", 1]]);
  });

  test.for([
    { propose: true, again: false },
    { propose: false, again: true },
    { propose: false, again: false },
  ])("feeds a photo once that its list names on several pages: %o", async (how, { db }) => {
    const ids = await photos(db, "a", "b", "c");
    await recordOutcomes(db.pool, [judged(ids[0]!, "shown", how.again ? "model:m-2" : "model:m-1")]);
    const id = await addBackfill(db.pool, { ...ofAll, ...how });
    expect(await feedBackfill(db.pool, id, null, page(ids, "1", false))).toHaveLength(3);
    const other = { ...judged(ids[0]!, "hidden"), policy: "p2", fed: true as const };
    await recordOutcomes(db.pool, [other, { ...failed(ids[1]!), fed: true }]);
    // two were judged, and one waits
    expect(await feedBackfill(db.pool, id, { after: "1" }, page(ids, "2", false))).toEqual([]);
    expect(await readBackfill(db.pool, id)).toMatchObject({ fed: 3, skipped: 3, waiting: 1 });
    expect((await counts(db, id)).sort()).toEqual([
      ["pending", "failed", "CORRUPT", 1],
      ["shown", "hidden", "", 1],
    ]);
  });

  test.for([
    { propose: false, again: true },
    { propose: true, again: true },
    { propose: true, again: false },
    { propose: false, again: false },
  ])(
    "counts a photo once that its list names on several pages, also where its verdict stayed: %o",
    async (how, { db }) => {
      const ids = await photos(db, "a", "b", "c");
      const what = { kind: "manifest", at: "/list.csv" };
      // whoever judges is another model than the one that counts as having decided
      const model = how.again ? "model:m-2" : "model:m-1";
      await recordOutcomes(
        db.pool,
        ids.map((id) => judged(id, "shown")),
      );
      const id = await addBackfill(db.pool, { ...ofAll, ...how, what, model });
      expect(await feedBackfill(db.pool, id, null, page(ids, "1", false))).toHaveLength(3);
      // beside another run, whose the verdict is
      const later = await addBackfill(db.pool, { ...ofAll, what, model: "model:m-0" });
      await feedBackfill(db.pool, later, null, page([ids[1]!], "1"));
      await recordOutcomes(db.pool, [
        { ...judged(ids[0]!, "shown"), fed: true },
        { ...judged(ids[1]!, "shown"), policy: "p2", fed: true },
        { ...judged(ids[2]!, "shown"), policy: "p2" },
      ]);
      const before = await counts(db, id);
      expect(await feedBackfill(db.pool, id, { after: "1" }, page(ids, "2", false))).toEqual([]);
      expect(await feedBackfill(db.pool, id, { after: "2" }, page([ids[0]!], "3"))).toEqual([]);
      expect(await readBackfill(db.pool, id)).toMatchObject({ fed: 3, waiting: 0, judged: 3 });
      expect(await counts(db, id)).toEqual(before);
      expect(await sampleBackfillChanges(db.pool, id, 10)).toEqual([]);
    },
  );

  test("keeps a moderator's verdict that came while the photo waited", async ({ db }) => {
    const [a] = await photos(db, "a");
    const id = await addBackfill(db.pool, ofAll);
    await feedBackfill(db.pool, id, null, page([a!]));
    await db.pool.query("select record_review($1, 'ann', 'hidden')", [a]);
    await recordOutcomes(db.pool, [judged(a!, "shown")]);
    expect(await counts(db, id)).toEqual([["hidden", "kept", "", 1]]);
    expect((await db.pool.query("select state from photos")).rows).toEqual([{ state: "hidden" }]);
  });

  test("is fed from where it stands: who read an older page, or comes after a pause, feeds nothing", async ({
    db,
  }) => {
    const ids = await photos(db, "a", "b");
    const id = await addBackfill(db.pool, ofAll);
    expect(await feedBackfill(db.pool, id, null, page([ids[0]!], "1", false))).toHaveLength(1);
    expect(await feedBackfill(db.pool, id, null, page([ids[1]!], "2", false))).toBeUndefined();
    await changeBackfill(db.pool, id, "paused", "me", "lunch");
    expect(await feedBackfill(db.pool, id, { after: "1" }, page([ids[1]!], "2"))).toBeUndefined();
    await changeBackfill(db.pool, id, "running", "me", "");
    expect(await feedBackfill(db.pool, id, { after: "1" }, page([ids[1]!], "2"))).toHaveLength(1);
    expect(await readBackfill(db.pool, id)).toMatchObject({ cursor: { after: "2" }, seen: 2, fed: 2 });
  });

  test("makes nothing known of a bucket or a list that it does not feed, and all of what it does", async ({
    db,
  }) => {
    const id = await addBackfill(db.pool, ofAll);
    const objects = (...keys: string[]) =>
      keys.map((key) => ({
        store: "s3" as const,
        bucket: `b-${key[0]}`,
        key,
        version: "etag:1",
        known: { listing: "7" },
      }));
    const read = (keys: string[], after: string) => ({
      ...page([], after, false),
      objects: objects(...keys),
    });
    const known = async () =>
      (await db.pool.query("select bucket, key, listing from photos order by key")).rows.map((row) =>
        Object.values(row).join(" "),
      );
    expect(await feedBackfill(db.pool, id, null, read(["x1", "y1", "x2", "x1"], "1"))).toHaveLength(3);
    const first = ["b-x x1 7", "b-x x2 7", "b-y y1 7"];
    expect(await known()).toEqual(first);
    expect(await feedBackfill(db.pool, id, null, read(["x3"], "2"))).toBeUndefined();
    await changeBackfill(db.pool, id, "paused", "me", "lunch");
    expect(await feedBackfill(db.pool, id, { after: "1" }, read(["x3"], "2"))).toBeUndefined();
    await changeBackfill(db.pool, id, "cancelled", "me", "no need");
    expect(await feedBackfill(db.pool, id, { after: "1" }, read(["x3"], "2"))).toBeUndefined();
    expect(await known()).toEqual(first);
  });

  test("fills in what a list tells while verdicts of its photos are committed, without a deadlock", async ({
    db,
  }) => {
    const ids = await photos(db, "a", "b");
    const id = await addBackfill(db.pool, ofAll);
    const named = { store: "s3", bucket: "archive", version: "" } as const;
    const objects = [
      { ...named, key: "a", known: {} },
      { ...named, key: "b", known: { listing: "7" } },
    ];
    const worker = await db.pool.connect();
    try {
      await worker.query("begin");
      await worker.query("select from photos where id = $1 for update", [ids[0]]);
      const feeding = feedBackfill(db.pool, id, null, { ...page([], "1"), objects });
      await waitersIn(db);
      await worker.query("select from photos where id = $1 for update", [ids[1]]);
      await worker.query("commit");
      expect((await feeding)!.map((photo) => photo.id)).toEqual(ids);
    } finally {
      worker.release(true);
    }
  });

  test("fills in what a list tells while events of the same objects are taken, without a deadlock", async ({
    db,
  }) => {
    const [known] = await photos(db, "a");
    const id = await addBackfill(db.pool, ofAll);
    const named = { store: "s3", bucket: "archive", version: "" } as const;
    const objects = ["a", "b"].map((key) => ({ ...named, key, known: { listing: "7" } }));
    const events = objects.map((object) => ({ ...object, kind: "created" as const, order: null, known: {} }));
    const worker = await db.pool.connect();
    try {
      await worker.query("begin");
      await worker.query("select from photos where id = $1 for update", [known]);
      const feeding = feedBackfill(db.pool, id, null, { ...page([], "1"), objects });
      await waitersIn(db);
      const taking = recordEvents(db.pool, events, "right");
      await waitersIn(db, 2);
      await worker.query("commit");
      expect(await feeding).toHaveLength(2);
      expect(await taking).toHaveLength(2);
    } finally {
      worker.release(true);
    }
    const { rows } = await db.pool.query("select key, listing from photos order by key");
    expect(rows).toEqual(["a", "b"].map((key) => ({ key, listing: "7" })));
  });

  test("is fed at its rate, however many feed it, and saves up no more than a second", async ({ db }) => {
    const ids = await photos(db, ..."abcdefgh");
    const id = await addBackfill(db.pool, { ...ofAll, maxRate: 0.01 });
    const again = await addBackfill(db.pool, { ...ofAll, maxRate: 0.01 });
    const rests = async (run: string) => (await readBackfill(db.pool, run))!.rests;
    const later = (s: number) =>
      db.pool.query("update backfills set rests_until = rests_until - make_interval(secs => $1)", [s]);
    expect(await rests(id)).toBe(false);
    expect(await feedBackfill(db.pool, id, null, page([ids[0]!], "1", false))).toHaveLength(1);
    expect(await rests(id)).toBe(true);
    // who read the row before it was fed
    expect(await feedBackfill(db.pool, id, { after: "1" }, page([ids[1]!], "2", false))).toBeUndefined();
    expect(await readBackfill(db.pool, id)).toMatchObject({ cursor: { after: "1" }, fed: 1 });
    await later(101);
    expect(await feedBackfill(db.pool, id, { after: "1" }, page([ids[1]!], "2", false))).toHaveLength(1);
    // a long stop is not made up for
    await later(10_000);
    expect(await feedBackfill(db.pool, id, { after: "2" }, page([ids[2]!], "3", false))).toHaveLength(1);
    expect(await feedBackfill(db.pool, id, { after: "3" }, page([ids[3]!], "4", false))).toBeUndefined();
    // neither at its beginning nor after a stop are there two seconds' worth in one
    const fast = await addBackfill(db.pool, { ...ofAll, maxRate: 2 });
    for (const from of [0, 2]) {
      const cursor = from === 0 ? null : { after: String(from) };
      const two = page(ids.slice(from, from + 2), String(from + 2), false);
      expect(await feedBackfill(db.pool, fast, cursor, two)).toHaveLength(2);
      expect(await rests(fast)).toBe(true);
      await later(10_000);
    }
    // what is skipped costs nothing
    await recordOutcomes(db.pool, [judged(ids[4]!, "shown"), failed(ids[5]!)]);
    expect(await feedBackfill(db.pool, again, null, page([ids[4]!], "1", false))).toEqual([]);
    expect(await feedBackfill(db.pool, again, { after: "1" }, page([ids[5]!], "2", false))).toHaveLength(1);
    // and what is tried again costs as much
    await later(10_000);
    await recordOutcomes(db.pool, [failed(ids[5]!)]);
    await retryBackfill(db.pool, again, undefined, "me");
    expect(await feedRetries(db.pool, again, 1)).toHaveLength(1);
    expect(await rests(again)).toBe(true);
    expect(await feedRetries(db.pool, again, 1)).toBeUndefined();
  });

  test("that was fed before a stop is queued with its rendition, unless another waits for the photo itself", async ({
    db,
  }) => {
    const ids = await photos(db, "a", "b");
    const [small, plain] = [
      await addBackfill(db.pool, { ...ofAll, rendition: "s/{key}" }),
      await addBackfill(db.pool, ofAll),
    ];
    await feedBackfill(db.pool, small, null, page(ids));
    await feedBackfill(db.pool, plain, null, page([ids[1]!]));
    const templates: (string | null)[] = [];
    for await (const each of waitingPhotos(db.pool, 0))
      templates.push(...each.map(({ template }) => template));
    expect(templates).toEqual(["s/{key}", null]);
  });

  test("that is cancelled waits for what is in the queue, whose verdicts are its own, and cannot be changed any more", async ({
    db,
  }) => {
    const ids = await photos(db, "a");
    const id = await addBackfill(db.pool, ofAll);
    await feedBackfill(db.pool, id, null, page(ids));
    expect(await gather(waitingPhotos(db.pool, 0))).toEqual(ids);
    expect(await gather(waitingPhotos(db.pool, 60))).toEqual([]);
    await changeBackfill(db.pool, id, "paused", "me", "too dear");
    expect(await gather(waitingPhotos(db.pool, 0))).toEqual([]);
    await changeBackfill(db.pool, id, "cancelled", "me", "wrong bucket");
    // should the queue be lost, they are queued again, or it would wait for ever
    expect(await gather(waitingPhotos(db.pool, 0))).toEqual(ids);
    await expect(rollbackBackfill(db.pool, id, "0", "me")).rejects.toThrow(/in the queue/);
    await recordOutcomes(db.pool, [judged(ids[0]!, "shown")]);
    expect(await counts(db, id)).toEqual([["pending", "shown", "", 1]]);
    expect(await gather(waitingPhotos(db.pool, 0))).toEqual([]);
    expect(await rollbackBackfill(db.pool, id, "0", "me")).toMatchObject({ restored: 1 });
    await expect(changeBackfill(db.pool, id, "running", "me", "")).rejects.toThrow(/is cancelled already/);
    await expect(retryBackfill(db.pool, id, undefined, "me")).rejects.toThrow(
      /was cancelled: maitred backfill start --failed tries again what failed/,
    );
    await expect(changeBackfill(db.pool, "99", "paused", "me", "x")).rejects.toThrow(/no backfill 99/);
  });

  test("waits while no worker that runs has its model, or the active one", async ({ db }) => {
    const ids = await photos(db, "a");
    const id = await addBackfill(db.pool, ofAll);
    await feedBackfill(db.pool, id, null, page(ids));
    const worker = { variant: "fp32", provider: "cpu", pinned: false, problem: "" };
    await reportWorker(db.pool, { ...worker, worker: "w:1", model: "m-1" });
    await db.pool.query(
      "insert into models (id, sha256, state, registered_by) values ('m-2', repeat('0', 64), 'active', 'ann')",
    );
    expect(await gather(waitingPhotos(db.pool, 0))).toEqual([]);
    await reportWorker(db.pool, { ...worker, worker: "w:2", model: "m-2" });
    expect(await gather(waitingPhotos(db.pool, 0))).toEqual(ids);
    // of one that ended without a word nothing was heard since
    await db.pool.query(
      "update model_workers set seen_at = now() - interval '3 minutes' where worker = 'w:2'",
    );
    expect(await gather(waitingPhotos(db.pool, 0))).toEqual([]);
  });

  test("tries its failed photos again, counts each of them once, and is done again", async ({ db }) => {
    const ids = await photos(db, "a", "b");
    await recordOutcomes(db.pool, [judged(ids[1]!, "shown", "model:m-1")]);
    const id = await addBackfill(db.pool, ofAll);
    await feedBackfill(db.pool, id, null, page(ids));
    await recordOutcomes(db.pool, [failed(ids[0]!), failed(ids[1]!, true)]);
    expect((await counts(db, id)).sort()).toEqual([
      ["pending", "failed", "CORRUPT", 1],
      ["shown", "kept", "CORRUPT", 1],
    ]);
    await endBackfills(db.pool);
    expect(await retryBackfill(db.pool, id, "GONE", "me")).toBe(0);
    expect(await readBackfill(db.pool, id)).toMatchObject({ state: "done" });
    expect(await retryBackfill(db.pool, id, "CORRUPT", "me")).toBe(2);
    expect(await endBackfills(db.pool)).toEqual([]);
    expect(await readBackfill(db.pool, id)).toMatchObject({ state: "running", waiting: 0, retrying: true });
    expect((await feedRetries(db.pool, id, 10))!.map((photo) => photo.id)).toEqual(ids);
    expect(await readBackfill(db.pool, id)).toMatchObject({ state: "running", waiting: 2, retrying: false });
    await recordOutcomes(db.pool, [judged(ids[0]!, "shown"), judged(ids[1]!, "shown")]);
    expect((await counts(db, id)).sort()).toEqual([
      ["failed", "shown", "", 1],
      ["shown", "shown", "", 1],
    ]);
    expect(await endBackfills(db.pool)).toEqual([id]);
  });

  test("does not end at the moment at which somebody has its failed photos tried again", async ({ db }) => {
    const [a] = await photos(db, "a");
    const id = await addBackfill(db.pool, ofAll);
    await feedBackfill(db.pool, id, null, page([a!]));
    await recordOutcomes(db.pool, [failed(a!)]);
    const operator = await db.pool.connect();
    try {
      await operator.query("begin");
      expect(await retryBackfill(operator, id, undefined, "me")).toBe(1);
      // it waits for nobody, and what is held it leaves to the next call
      expect(await endBackfills(db.pool)).toEqual([]);
      await operator.query("commit");
      expect(await endBackfills(db.pool)).toEqual([]);
    } finally {
      operator.release(true);
    }
    expect(await readBackfill(db.pool, id)).toMatchObject({ state: "running", retrying: true });
  });

  test("that read a rendition gives way to the upload's own verdict, and never replaces that", async ({
    db,
  }) => {
    const ids = await photos(db, "a", "b", "c");
    const id = await addBackfill(db.pool, { ...ofAll, rendition: "s/{key}" });
    await feedBackfill(db.pool, id, null, page(ids));
    const of = (photoId: string, verdict: Verdict, rendition: boolean): Outcome => {
      const outcome = judged(photoId, verdict);
      if ("failure" in outcome.result) throw new Error("no failure is judged");
      const { decision, scores } = outcome.result;
      return {
        ...outcome,
        ...(rendition && { fed: true }),
        result: { decision, scores, ...(rendition && { rendition }) },
      };
    };
    const states = async () =>
      (await db.pool.query("select state from photos order by id")).rows.map(({ state }) => state);
    await recordOutcomes(db.pool, [of(ids[0]!, "shown", true)]);
    await recordOutcomes(db.pool, [of(ids[1]!, "hidden", false)]);
    // both may be committed together
    await recordOutcomes(db.pool, [of(ids[2]!, "shown", true), of(ids[2]!, "hidden", false)]);
    expect(await states()).toEqual(["shown", "hidden", "hidden"]);
    for (let turn = 0; turn < 2; turn++) {
      await recordOutcomes(db.pool, [of(ids[0]!, "hidden", false), of(ids[1]!, "shown", true)]);
      expect(await states()).toEqual(["hidden", "hidden", "hidden"]);
    }
    await recordOutcomes(db.pool, [of(ids[0]!, "shown", true)]);
    expect(await states()).toEqual(["hidden", "hidden", "hidden"]);
    expect((await db.pool.query("select from verdicts")).rowCount).toBe(4);
  });

  test("feeds what it tries again page by page, each photo once though it fails again, and not what was replaced", async ({
    db,
  }) => {
    const ids = await photos(db, "a", "b", "c", "d", "e");
    const id = await addBackfill(db.pool, ofAll);
    await feedBackfill(db.pool, id, null, page(ids));
    await recordOutcomes(
      db.pool,
      ids.map((each) => failed(each)),
    );
    await db.pool.query("update photos set superseded_at = now() where id = $1", [ids[1]]);
    expect(await retryBackfill(db.pool, id, undefined, "me")).toBe(5);
    const again: string[][] = [];
    while ((await readBackfill(db.pool, id))!.retrying) {
      const fed = (await feedRetries(db.pool, id, 2))!;
      again.push(fed.map((photo) => photo.id));
      await recordOutcomes(
        db.pool,
        fed.map((photo) => failed(photo.id)),
      );
    }
    expect(again).toEqual([[ids[0]], [ids[2], ids[3]], [ids[4]]]);
    expect(await endBackfills(db.pool)).toEqual([id]);
    // they had failed for this before
    expect(await counts(db, id)).toEqual([["failed", "kept", "CORRUPT", 4]]);
    await changeBackfill(db.pool, await addBackfill(db.pool, ofAll), "paused", "me", "lunch");
    expect(await feedRetries(db.pool, "2", 2)).toBeUndefined();
  });
});
