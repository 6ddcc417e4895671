import fc from "fast-check";
import { describe, expect } from "vitest";
import type { PhotoEvent } from "../../src/intake/event.ts";
import type { EventOutcome } from "../../src/photo.ts";
import { recordEvents, type StoredEvent } from "../../src/store/events.ts";
import { readPhotoOf } from "../../src/store/photos.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, test } from "../fixtures.ts";
import { judged as recorded } from "../verdicts.ts";

const MINUTE_MS = 60_000;
const START = Date.now() - 24 * 60 * MINUTE_MS;

/** What was done to an object at the minute `n` of its history, which is its order too. */
const put = (n: number): PhotoEvent => ({
  kind: "created",
  store: "s3",
  bucket: "b",
  key: "a",
  version: `v${n}`,
  order: `${n}0`,
  receivedAt: new Date(START + n * MINUTE_MS),
  known: {},
});
const marker = (n: number): PhotoEvent => ({ ...put(n), kind: "removed", version: "" });
const deleted = (n: number, version: string): PhotoEvent => ({ ...put(n), kind: "removed", version });
/** As of a bucket whose versions are suspended. */
const unversioned = (n: number, bytes: string): PhotoEvent => ({ ...put(n), version: `etag:${bytes}` });
/** What a sweep finds in the bucket. */
const swept = ({ kind, store, bucket, key, version }: PhotoEvent): StoredEvent => ({
  kind,
  store,
  bucket,
  key,
  version,
  order: null,
  known: {},
});
/** What the handler of an upload says of it, `lateMin` minutes afterwards. */
const handler = (of: PhotoEvent, lateMin: number): PhotoEvent => ({
  ...of,
  order: null,
  receivedAt: new Date((of.receivedAt as Date).getTime() + lateMin * MINUTE_MS),
});

/** Records one event, and whatever is pending then is judged as harmless, as a worker does meanwhile. */
async function judged(db: Database, event: StoredEvent, erase = false): Promise<EventOutcome> {
  const [said] = await recordEvents(db.pool, [event], "right", erase);
  const { rows } = await db.pool.query<{ id: string }>(
    "select id from photos where state = 'pending' and superseded_at is null and key = $1",
    [event.key],
  );
  await recordOutcomes(
    db.pool,
    rows.map(({ id }) => recorded(id, "shown")),
  );
  return said!;
}
const versions = async (db: Database, from: "public_photos" | "photos", key = "a"): Promise<string[]> => {
  const current = from === "photos" ? "and superseded_at is null" : "";
  const { rows } = await db.pool.query(`select version from ${from} where key = $1 ${current}`, [key]);
  return rows.map(({ version }) => version);
};

describe("an event that a late upload handler overtook", () => {
  test("counts once the event of the photo before has come", async ({ db }) => {
    await judged(db, handler(put(1), 10));
    expect(await judged(db, put(2))).toMatchObject({ outcome: "stale" });
    expect(await judged(db, put(2))).toMatchObject({ outcome: "duplicate" });
    expect((await recordEvents(db.pool, [put(1)], "right"))[0]).toMatchObject({
      outcome: "stale",
      queue: false,
    });
    expect(await versions(db, "photos")).toEqual(["v2"]);
    expect(await versions(db, "public_photos")).toEqual([]);
    const { rows } = await db.pool.query(
      "select state from photos p where version = 'v2' and exists (select from unqueued u where u.photo_id = p.id)",
    );
    expect(rows).toEqual([{ state: "pending" }]);
    expect(await judged(db, put(2))).toMatchObject({ outcome: "duplicate" });
    expect(await versions(db, "public_photos")).toEqual(["v2"]);
  });

  test("stays stale where the photo that overtook it was the later one", async ({ db }) => {
    await judged(db, handler(put(3), 0));
    expect(await judged(db, put(2))).toMatchObject({ outcome: "stale" });
    expect(await judged(db, put(3))).toMatchObject({ outcome: "known" });
    expect(await versions(db, "public_photos")).toEqual(["v3"]);
    expect(await judged(db, put(2))).toMatchObject({ outcome: "stale" });
  });

  test("is the latest of several, however they come", async ({ db }) => {
    await judged(db, handler(put(1), 10));
    for (const n of [3, 4, 2]) expect(await judged(db, put(n))).toMatchObject({ outcome: "stale" });
    await judged(db, put(1));
    expect(await versions(db, "public_photos")).toEqual(["v4"]);
  });

  test("withdraws the photo where it is a removal, and erases it where removals do", async ({ db }) => {
    for (const erase of [false, true]) {
      await judged(db, handler(put(1), 10), erase);
      expect(await judged(db, marker(2), erase)).toMatchObject({ outcome: "stale" });
      expect(await versions(db, "public_photos")).toEqual(["v1"]);
      await judged(db, put(1), erase);
      expect(await versions(db, "photos")).toEqual([]);
      const { rows } = await db.pool.query("select count(*)::integer as left from photos");
      expect(rows).toEqual([{ left: erase ? 0 : 1 }]);
      await db.pool.query("delete from object_order");
      await db.pool.query("delete from photos");
    }
  });
});

describe("an event that a late upload handler overtook", () => {
  test("counts once the handler of that very photo tells of it", async ({ db }) => {
    await judged(db, handler(put(1), 10));
    await judged(db, put(2));
    expect(await judged(db, handler(put(2), 10))).toMatchObject({ outcome: "accepted" });
    expect(await versions(db, "public_photos")).toEqual(["v2"]);
    expect(await judged(db, put(1))).toMatchObject({ outcome: "stale" });
    expect(await versions(db, "public_photos")).toEqual(["v2"]);
    expect(await judged(db, put(3))).toMatchObject({ outcome: "accepted" });
  });

  test("counts once the photo that overtook it is deleted for good", async ({ db }) => {
    await judged(db, handler(put(1), 10));
    await judged(db, put(2));
    expect(await judged(db, deleted(30, "v1"))).toMatchObject({ outcome: "removed" });
    expect(await judged(db, put(1))).toMatchObject({ outcome: "stale" });
    expect(await versions(db, "photos")).toEqual(["v2"]);
  });

  test("counts where that handler came after it, and where versions are suspended by now", async ({ db }) => {
    await judged(db, unversioned(2, "new"));
    expect(await judged(db, handler(put(1), 10))).toMatchObject({ outcome: "accepted" });
    expect(await versions(db, "public_photos")).toEqual(["v1"]);
    await judged(db, put(1));
    expect(await versions(db, "public_photos")).toEqual(["etag:new"]);

    const elsewhere = (event: PhotoEvent): PhotoEvent => ({ ...event, key: "z" });
    await judged(db, elsewhere(handler(put(1), 10)));
    expect(await judged(db, elsewhere(unversioned(2, "new")))).toMatchObject({ outcome: "stale" });
    await judged(db, elsewhere(put(1)));
    expect(await versions(db, "photos", "z")).toEqual(["etag:new"]);
  });

  test("does not count once a sweep has seen the bucket", async ({ db }) => {
    await judged(db, handler(put(2), 10));
    await judged(db, put(3));
    await judged(db, swept(put(1)));
    await judged(db, put(1));
    expect(await versions(db, "public_photos")).toEqual(["v1"]);
  });
});

describe("what a sweep makes current", () => {
  test("takes the place of nothing, as a late handler does", async ({ db }) => {
    await judged(db, put(1));
    await judged(db, put(2));
    // the second one was deleted for good, which no event told
    expect(await judged(db, swept(put(1)))).toMatchObject({ outcome: "accepted" });
    await judged(db, put(1));
    expect(await versions(db, "public_photos")).toEqual(["v1"]);
  });

  test("stays where events of before come after it, though it has no verdict yet", async ({ db }) => {
    await recordEvents(db.pool, [swept(put(3))], "right");
    await recordEvents(db.pool, [put(1)], "right");
    await recordEvents(db.pool, [marker(2)], "right");
    expect(await versions(db, "photos")).toEqual(["v3"]);
  });
});

describe("an upload whose event came when it was old", () => {
  test("is brought back by no handler, and hides no photo that was there", async ({ db }) => {
    await judged(db, put(2));
    await judged(db, marker(3));
    await judged(db, { ...put(1), known: { listing: "42" } });
    expect((await readPhotoOf(db.pool, "b", "a"))?.version).toBe("v2");
    expect(await judged(db, handler(put(1), 10))).toMatchObject({ outcome: "stale" });
    expect((await db.pool.query("select version, listing from photos")).rows).toEqual([
      { version: "v2", listing: null },
    ]);
    // found in the bucket it is there
    expect(await judged(db, swept(put(1)))).toMatchObject({ outcome: "accepted" });
  });

  test("stays withdrawn where it has no version id, and was removed by that before its event came", async ({
    db,
  }) => {
    await judged(db, handler(unversioned(1, "old"), 0));
    await judged(db, deleted(2, "null"));
    const again = { ...handler(unversioned(1, "old"), 0), receivedAt: new Date(Date.now() + MINUTE_MS) };
    expect(await judged(db, again)).toMatchObject({ outcome: "stale" });
    expect(await versions(db, "photos")).toEqual([]);
  });
});

describe("a removal that erases", () => {
  const left = async (db: Database): Promise<string[]> =>
    (await db.pool.query("select version from photos order by id")).rows.map(({ version }) => version);

  test("does so where it was overtaken, and what decides comes with the next upload", async ({ db }) => {
    await judged(db, handler(put(1), 10), true);
    await judged(db, marker(2), true);
    await recordEvents(db.pool, [put(1), put(3)], "right", true);
    expect(await left(db)).toEqual(["v3"]);
  });

  test("does so where it comes after the next upload, of what was known before it was said", async ({
    db,
  }) => {
    const now = Date.now();
    const at = (event: PhotoEvent, minutes: number) => ({
      ...event,
      receivedAt: new Date(now + minutes * MINUTE_MS),
    });
    for (const event of [at(put(1), -1), at(put(4), 3)]) await judged(db, event, true);
    expect(await judged(db, at(marker(2), 1), true)).toMatchObject({ outcome: "stale" });
    expect(await left(db)).toEqual(["v4"]);
    await judged(db, at(put(5), 4), true);
    await judged(db, at(marker(3), -60), true);
    expect(await left(db)).toEqual(["v4", "v5"]);
  });

  test("lets nothing that was said before come back", async ({ db }) => {
    for (const event of [put(1), put(2), marker(3)]) await judged(db, event, true);
    for (const again of [put(1), handler(put(1), 10), handler(put(2), 0), handler(put(2), 10)])
      expect(await judged(db, again, true)).toMatchObject({ outcome: "stale" });
    expect(await left(db)).toEqual([]);
  });

  test("lets come back what upload handlers alone tell of, and is said after it", async ({ db }) => {
    await judged(db, handler(put(1), 0), true);
    await judged(db, handler(marker(1), 10), true);
    expect(await left(db)).toEqual([]);
    expect(await judged(db, handler(put(1), 10), true)).toMatchObject({ outcome: "stale" });
    expect(await judged(db, handler(put(1), 20), true)).toMatchObject({ outcome: "accepted" });
    expect(await left(db)).toEqual(["v1"]);
  });
});

test("events in any order, and what upload handlers say in between, end with the last event", async ({
  db,
}) => {
  let object = 0;
  const histories = fc
    .tuple(fc.array(fc.boolean(), { minLength: 1, maxLength: 4 }), fc.boolean())
    .chain(([removals, erase]) => {
      const done = [put(1), ...removals.map((removal, n) => (removal ? marker(n + 2) : put(n + 2)))];
      const uploads = done.filter(({ kind }) => kind === "created");
      const said = fc
        .tuple(fc.constantFrom(...uploads), fc.constantFrom(0, 0.5, 1, 3, 30))
        .map(([upload, lateMin]) => handler(upload, lateMin));
      return fc
        .tuple(fc.array(said, { maxLength: 4 }), fc.subarray(done))
        .chain(([handlers, again]) => {
          const all = [...done, ...handlers, ...again];
          return fc.shuffledSubarray(all, { minLength: all.length });
        })
        .map((told) => ({ told, erase, last: done.at(-1)! }));
    });
  await fc.assert(
    fc.asyncProperty(histories, async ({ told, erase, last }) => {
      const key = `o${object++}`;
      for (const event of told) await judged(db, { ...event, key }, erase);
      expect(await versions(db, "photos", key)).toEqual(last.kind === "created" ? [last.version] : []);
    }),
    { numRuns: Number(process.env["RUNS"] ?? 150) },
  );
});
