import { describe, expect } from "vitest";
import { recordEvents, type StoredEvent } from "../../src/store/events.ts";
import { forgetObjects } from "../../src/store/forget.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, rows, test } from "../fixtures.ts";
import { created, KEY, know, OBJECT, ofKey } from "../forgetting.ts";
import { event, one, record, removed, told } from "../recorded.ts";
import { judged } from "../verdicts.ts";

describe("a removal that erases", () => {
  const erase = (db: Database, over: Partial<StoredEvent> = {}) =>
    recordEvents(db.pool, [ofKey({ kind: "removed", version: "", ...over })], "right", true);

  test("deletes the photos of the object with all that was said of them, and remembers the order", async ({
    db,
  }) => {
    await know(db, KEY);
    const { counts } = await forgetObjects(db.pool, [OBJECT], "x", true);
    expect(counts["tags"]).toBe(2);
    expect(await erase(db, { order: "20" })).toMatchObject([{ outcome: "removed" }]);
    for (const table of ["photos", "tags", "verdicts", "reviews", "shadow_scores", "unqueued"])
      expect(await rows(db, `select from ${table}`)).toEqual([]);
    expect(await recordEvents(db.pool, [ofKey({ order: "15" })], "right", true)).toMatchObject([
      { outcome: "stale" },
    ]);
    expect(await recordEvents(db.pool, [ofKey({ order: "25" })], "right", true)).toMatchObject([
      { outcome: "accepted", queue: true },
    ]);
  });

  test("of one version deletes that one, and of an older event nothing", async ({ db }) => {
    for (const [n, order] of ["10", "12", "20"].entries()) await created(db, { version: `v${n}`, order });
    expect(await erase(db, { order: "15" })).toMatchObject([{ outcome: "stale" }]);
    expect(await rows(db, "select from photos")).toHaveLength(3);
    await erase(db, { version: "v0", order: "30" });
    const left = "select version, superseded_at is null as current from photos order by id";
    expect(await rows(db, left)).toEqual([
      { version: "v1", current: false },
      { version: "v2", current: true },
    ]);
  });

  test("has a photo judged anew that the same message brings back, as if the next one did", async ({
    db,
  }) => {
    await recordOutcomes(db.pool, [judged(await created(db, { order: "10" }), "shown")]);
    await recordEvents(
      db.pool,
      [ofKey({ kind: "removed", version: "", order: "11" }), ofKey({ order: "12" })],
      "right",
      true,
    );
    expect(await rows(db, "select state from photos where superseded_at is null")).toEqual([
      { state: "pending" },
    ]);
    expect(await rows(db, "select from tags")).toEqual([]);
  });

  test("may be done by a worker's role, and leaves tags and history where it is not asked for", async ({
    db,
  }) => {
    await recordOutcomes(db.pool, [judged(await created(db), "shown")]);
    await recordEvents(db.pool, [ofKey({ kind: "removed", version: "" })], "right", false);
    expect(await rows(db, "select from verdicts")).toHaveLength(1);
    const client = await db.pool.connect();
    try {
      await client.query("set role maitred_worker");
      await client.query("select record_events($1, 'right', true)", [
        JSON.stringify([ofKey({ kind: "removed", version: "" })]),
      ]);
    } finally {
      await client.query("reset role");
      client.release();
    }
    expect(await rows(db, "select from verdicts")).toEqual([]);
  });
});

test("a removal of what has no version id erases it, and nothing that has one", async ({ db }) => {
  await record(db, event({ version: "v1", order: "10" }), event({ version: "etag:1", order: "11" }));
  await recordEvents(db.pool, [removed("12", "null")], "right", true);
  expect(await rows(db, "select version from photos")).toEqual([{ version: "v1" }]);
});

test("a removal erases what it withdraws also where the next upload comes in the same call", async ({
  db,
}) => {
  const old = await one(db, told({ version: "etag:1", order: "10" }));
  await recordOutcomes(db.pool, [judged(old.photoId!, "hidden")]);
  const both = [told({ kind: "removed", order: "11" }), told({ version: "etag:2", order: "12" })];
  expect(await recordEvents(db.pool, both, "right", true)).toMatchObject([
    { outcome: "removed" },
    { outcome: "accepted", queue: true },
  ]);
  expect(await rows(db, "select version from photos")).toEqual([{ version: "etag:2" }]);
  expect(await rows(db, "select * from verdicts")).toEqual([]);
});

test("a removal that comes twice erases nothing that something else withdrew", async ({ db }) => {
  const removal = told({ kind: "removed", order: "11" });
  await record(db, told({ version: "etag:1", order: "10" }), removal);
  await record(db, told({ version: "etag:2" }), told({ version: "etag:3" }));
  expect(await recordEvents(db.pool, [removal], "right", true)).toMatchObject([{ outcome: "duplicate" }]);
  expect(await rows(db, "select version from photos where version > 'etag:1' order by 1")).toEqual([
    { version: "etag:2" },
    { version: "etag:3" },
  ]);
});

test("a removal erases whatever else is said in the same call, of objects that nobody knows and of uploads before it", async ({
  db,
}) => {
  await record(
    db,
    told({ version: "etag:1", order: "10" }),
    told({ key: "z", version: "etag:1", order: "10" }),
  );
  const call = [
    told({ kind: "removed", order: "11" }),
    told({ version: "etag:1", order: "10" }),
    told({ kind: "removed", key: "z", order: "11" }),
    told({ kind: "removed", key: "unheard", order: "11" }),
  ];
  await recordEvents(db.pool, call, "right", true);
  expect(await rows(db, "select key from photos")).toEqual([]);
});
