import pg from "pg";
import { describe, expect } from "vitest";
import type { PhotoMetadata } from "../../src/photo.ts";
import { endBackfills, feedBackfill, feedRetries } from "../../src/store/backfill-feed.ts";
import {
  addBackfill,
  applyProposals,
  changeBackfill,
  discardProposals,
  type NewBackfill,
  readBackfill,
  retryBackfill,
  rollbackBackfill,
} from "../../src/store/backfills.ts";
import { markQueued, recordEvents, unqueuedPhotos } from "../../src/store/events.ts";
import { registerPhotos } from "../../src/store/photos.ts";
import { keepPolicy } from "../../src/store/policies.ts";
import { selectPhotos, viewPhotos } from "../../src/store/selected-photos.ts";
import { type Outcome, recordOutcomes } from "../../src/store/verdicts.ts";
import { failed, judged, page, photos, photosOfObjects } from "../backfills.ts";
import { test } from "../fixtures.ts";
import { ofAll } from "../verdicts.ts";

describe("a listing", () => {
  const object = (key: string, version = "etag:1") => ({
    store: "s3" as const,
    bucket: "archive",
    key,
    version,
    known: { listing: "7" },
  });
  const event = (kind: "created" | "removed", key: string, version: string, order: string) => ({
    ...object(key, version),
    kind,
    order,
    known: {},
  });

  test("makes known what is new, and finds what is known, whatever version it has", async ({ db }) => {
    await recordEvents(db.pool, [event("created", "a", "v2", "10")], "right");
    const found = await photosOfObjects(db.pool, [object("a"), object("b"), object("b")]);
    expect(found).toHaveLength(2);
    const { rows } = await db.pool.query(
      "select key, version, listing, lane, superseded_at from photos order by key",
    );
    expect(rows).toEqual([
      { key: "a", version: "v2", listing: "7", lane: "live", superseded_at: null },
      { key: "b", version: "etag:1", listing: "7", lane: "backfill", superseded_at: null },
    ]);
    expect(await photosOfObjects(db.pool, [object("a"), object("b")])).toHaveLength(2);
    expect((await db.pool.query("select key from object_order")).rows).toEqual([{ key: "a" }]);
  });

  test("fills in what was not known of a photo, and replaces nothing", async ({ db }) => {
    const [, b] = await photos(db, "a", "b");
    await recordOutcomes(db.pool, [judged(b!, "shown")]);
    await db.pool.query("update photos set listing = '1' where id = $1", [b]);
    await db.pool.query(
      "insert into photos (store, bucket, key, superseded_at) values ('s3', 'archive', 'c', now())",
    );
    await db.pool.query(
      "insert into photos (store, bucket, key, version) values ('s3', 'archive', 'd', 'etag:2')",
    );
    const told = (key: string, known: PhotoMetadata) => ({ ...object(key), known });
    await photosOfObjects(db.pool, [
      told("b", { listing: "2", uploader: "user", claimed: "menu" }),
      told("a", {}),
      told("c", { listing: "3" }),
      // what is said of another version is not of this photo
      told("d", { claimed: "food" }),
      told("a", { listing: "2" }),
    ]);
    await photosOfObjects(db.pool, [
      told("a", { listing: "9", claimed: "food" }),
      told("b", { claimed: "food" }),
    ]);
    const { rows } = await db.pool.query(
      "select key, concat_ws(' ', version, listing, uploader, claimed) as known from photos order by id",
    );
    expect(rows).toEqual([
      { key: "a", known: " 2 food" },
      { key: "b", known: " 1 user menu" },
      { key: "c", known: "" },
      { key: "d", known: "etag:2" },
      { key: "c", known: "etag:1 3" },
    ]);
    // what is counted by listing follows
    expect((await db.pool.query("select * from check_rollups()")).rows).toEqual([]);
  });

  test("that names several versions of an object makes the last of them known, with what it says of that", async ({
    db,
  }) => {
    const told = (key: string, version: string, listing: string) => ({
      ...object(key, version),
      known: { listing },
    });
    await recordEvents(db.pool, [event("created", "b", "v2", "10")], "right");
    await photosOfObjects(db.pool, [
      ...["v1", "v3", "v2"].map((version) => told("a", version, version)),
      ...["v1", "v2"].map((version) => told("b", version, version)),
    ]);
    const { rows } = await db.pool.query("select key, version, listing from photos order by key");
    expect(rows).toEqual(["a", "b"].map((key) => ({ key, version: "v2", listing: "v2" })));
  });

  test("that is old brings nothing back that an event removed", async ({ db }) => {
    await recordEvents(
      db.pool,
      [
        event("created", "a", "etag:1", "10"),
        event("removed", "a", "", "11"),
        event("removed", "b", "", "5"),
      ],
      "right",
    );
    expect(await photosOfObjects(db.pool, [object("a"), object("b")])).toEqual([]);
  });

  test("shows nothing of an older version that is the object again and that a moderator had hidden: a sweep takes that", async ({
    db,
  }) => {
    const [first] = await recordEvents(db.pool, [event("created", "a", "v1", "10")], "right");
    await db.pool.query("select record_review($1, 'ann', 'hidden')", [first!.photoId]);
    // of which no event tells that v1 is the object again
    await recordEvents(
      db.pool,
      [event("created", "a", "v2", "11"), event("removed", "a", "v2", "12")],
      "right",
    );
    for (const version of ["etag:1", ""]) {
      const found = await photosOfObjects(db.pool, [object("a", version)]);
      expect(found).toHaveLength(1);
      const id = await addBackfill(db.pool, ofAll);
      expect(await feedBackfill(db.pool, id, null, page(found))).toEqual([]);
      expect(await readBackfill(db.pool, id)).toMatchObject({ seen: 1, fed: 0, skipped: 1 });
    }
    expect(await registerPhotos(db.pool, [object("a")], "live")).toMatchObject([{ state: "withdrawn" }]);
    const seen = async () =>
      (
        await db.pool.query(
          "select version from photos where superseded_at is null union all select 'of ' || count(*) from photos",
        )
      ).rows.map(({ version }) => version);
    expect(await seen()).toEqual(["of 2"]);
    // one that has no version id any more was overwritten by another
    await recordEvents(db.pool, [event("created", "a", "etag:1", "13")], "right");
    await registerPhotos(db.pool, [object("a", "etag:2")], "live");
    expect(await seen()).toEqual(["etag:2", "of 4"]);
    await recordEvents(db.pool, [event("removed", "a", "", "14")], "right");
    expect(await registerPhotos(db.pool, [object("a", "etag:1")], "live")).toMatchObject([
      { state: "withdrawn" },
    ]);
    expect(await seen()).toEqual(["of 4"]);
  });

  test("and an event of the same new object leave one current photo, the event's", async ({ db }) => {
    for (let round = 0; round < 20; round++) {
      const key = `race-${round}`;
      await Promise.all([
        photosOfObjects(db.pool, [object(key, "etag:old")]),
        recordEvents(db.pool, [event("created", key, "etag:new", "10")], "right"),
      ]);
    }
    const { rows } = await db.pool.query("select distinct version from photos where superseded_at is null");
    expect(rows).toEqual([{ version: "etag:new" }]);
    const { rows: current } = await db.pool.query(
      "select count(*)::int from photos where superseded_at is null",
    );
    expect(current).toEqual([{ count: 20 }]);
  });
});

test("the role of workers may do all that a feeder, a worker and an operator do with backfills", async ({
  db,
}) => {
  const worker = new pg.Pool({ connectionString: db.url, options: "-c role=maitred_worker" });
  const photo = { store: "s3", bucket: "b", version: "etag:1", known: {} } as const;
  const ids = await photosOfObjects(
    worker,
    ["x", "y"].map((key) => ({ ...photo, key })),
  );
  await keepPolicy(worker, { id: "p1", yaml: "", thresholds: { food: 0.5 } });
  const over = async (how: Partial<NewBackfill>, outcomes: Outcome[]): Promise<string> => {
    const id = await addBackfill(worker, { ...ofAll, ...how });
    await feedBackfill(worker, id, null, page(ids));
    await recordOutcomes(worker, outcomes);
    await endBackfills(worker);
    return id;
  };
  const first = await over({}, [judged(ids[0]!, "shown"), failed(ids[1]!)]);
  expect(await retryBackfill(worker, first, undefined, "me")).toBe(1);
  expect(await feedRetries(worker, first, 10)).toHaveLength(1);
  await recordOutcomes(worker, [judged(ids[1]!, "hidden")]);
  expect(await endBackfills(worker)).toEqual([first]);
  expect(await rollbackBackfill(worker, first, "0", "me")).toMatchObject({ restored: 2 });
  const proposal = (id: string): Outcome => ({ ...judged(id, "hidden"), fed: true });
  const proposed = await over({ propose: true }, ids.map(proposal));
  expect(await applyProposals(worker, proposed, "0", "me", 1)).toMatchObject({ taken: 1, changed: 1 });
  expect(await discardProposals(worker, proposed, "0", "me")).toMatchObject({ gone: 1 });
  await changeBackfill(worker, await addBackfill(worker, ofAll), "cancelled", "me", "no need");
  const taken = await registerPhotos(worker, [{ ...photo, key: "new" }], "live");
  await markQueued(
    worker,
    taken.map(({ id }) => id),
  );
  expect(await unqueuedPhotos(worker, 0, 10)).toEqual([]);
  await worker.end();
});

describe("a choice of photos", () => {
  test("narrows by state, code, model, score, time, listing and uploader, a bounded stretch at a time", async ({
    db,
  }) => {
    const ids = await photos(db, "a", "b", "c", "d");
    await recordOutcomes(db.pool, [
      judged(ids[0]!, "shown", "model:m-1"),
      judged(ids[1]!, "hidden"),
      failed(ids[2]!),
    ]);
    await db.pool.query("update photos set listing = '42', uploader = 'user' where id = $1", [ids[3]]);
    const chosen = async (filter: object) =>
      (await selectPhotos(db.pool, { upTo: "1000", ...filter }, "", 10)).found
        .map((id) => "abcd"[ids.indexOf(id)])
        .join("");
    expect(await chosen({})).toBe("abcd");
    expect(await chosen({ upTo: ids[1] })).toBe("ab");
    expect(await chosen({ state: "pending" })).toBe("d");
    expect(await chosen({ state: "failed", code: "CORRUPT" })).toBe("c");
    expect(await chosen({ state: "failed", code: "GONE" })).toBe("");
    expect(await chosen({ notBy: "model:m-1" })).toBe("bc");
    expect(await chosen({ below: 0.8 })).toBe("ab");
    expect(await chosen({ below: 0.75 })).toBe("");
    expect(await chosen({ listing: "42" })).toBe("d");
    expect(await chosen({ uploader: "user", listing: "41" })).toBe("");
    expect(await chosen({ until: "2020-01-01T00:00:00Z" })).toBe("");
    expect(await chosen({ since: "2020-01-01T00:00:00Z" })).toBe("abcd");
    expect(await selectPhotos(db.pool, { upTo: "1000" }, "", 2)).toEqual({
      found: ids.slice(0, 2),
      after: ids[1],
      end: false,
    });
    expect(await selectPhotos(db.pool, { upTo: "60000" }, ids[3]!, 2)).toMatchObject({
      found: [],
      end: false,
    });
    expect(await selectPhotos(db.pool, { upTo: "60000" }, "50004", 2)).toMatchObject({
      found: [],
      after: "60000",
      end: true,
    });
    const surer = judged(ids[0]!, "shown");
    surer.result.scores.categories["food"] = 0.95;
    await recordOutcomes(db.pool, [surer]);
    expect(await chosen({ below: 0.8 })).toBe("b");
    await db.pool.query("select record_review($1, 'bob', 'hidden')", [ids[1]]);
    expect(await chosen({ notBy: "model:m-1" })).toBe("ac");
    await db.pool.query("update photos set superseded_at = now() where id = $1", [ids[3]]);
    expect(await chosen({})).toBe("abc");
  });

  test("may be a view, and one that is none is refused by name", async ({ db }) => {
    const ids = await photos(db, "a", "b", "c");
    await db.pool.query(`create view "Mine" as select id as photo_id from photos where key <> 'b'`);
    expect(await viewPhotos(db.pool, "public.Mine", "", 1)).toEqual({
      found: [ids[0]],
      after: ids[0],
      end: false,
    });
    expect(await viewPhotos(db.pool, "Mine", ids[0]!, 2)).toEqual({
      found: [ids[2]],
      after: ids[2],
      end: true,
    });
    await db.pool.query(`create view odd as
      select id::text as photo_id from photos union all select (id * 5)::text from photos union all select null`);
    const [first, second, third] = ids.map(Number) as [number, number, number];
    const named = [first, second, third, first * 5, second * 5, third * 5].sort((a, b) => a - b);
    const found: number[] = [];
    for (let [after, end] = ["", false]; !end; ) {
      const stretch = await viewPhotos(db.pool, "odd", after, 2);
      found.push(...stretch.found.map(Number));
      [after, end] = [stretch.after, stretch.end];
      expect(found.length).toBeLessThan(9);
    }
    expect(found).toEqual([...new Set(named)]);
    for (const odd of ["gen_random_uuid()", "'x'", "1 / 0", "1e30", "id = 0", "now()"]) {
      await db.pool.query(
        `drop view odd; create view odd as select case when id > 0 then ${odd} end as photo_id from photos`,
      );
      await expect(viewPhotos(db.pool, "odd", "", 2), odd).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    }
    await expect(viewPhotos(db.pool, "none", "", 1)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await expect(viewPhotos(db.pool, "pgmigrations", "", 1)).rejects.toThrow(/a view with a column photo_id/);
  });
});
