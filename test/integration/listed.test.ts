import { describe, expect } from "vitest";
import type { PhotoRef } from "../../src/photo.ts";
import { databaseTime, readPhotoOf, registerPhotos } from "../../src/store/photos.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, rows, test } from "../fixtures.ts";
import { current, event, one, publicVersions, record, removed, told } from "../recorded.ts";
import { decide, judged, loadedNow } from "../verdicts.ts";

const photo = (key: string, version = "1"): PhotoRef & { known: object } => ({
  store: "s3",
  bucket: "b",
  key,
  version,
  known: {},
});

describe("registerPhotos", () => {
  test("makes a photo known once, pending and not public", async ({ db }) => {
    const first = await registerPhotos(db.pool, [photo("a"), photo("b")], "live");
    const second = await registerPhotos(db.pool, [photo("b"), photo("a")], "live");
    expect(first.map(({ state }) => state)).toEqual(["pending", "pending"]);
    expect(second.map(({ id }) => id)).toEqual([first[1]!.id, first[0]!.id]);
    expect(await publicVersions(db)).toEqual([]);
  });

  test("gives one row however many register it at once", async ({ db }) => {
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => registerPhotos(db.pool, [photo("a"), photo("b")], "live")),
    );
    expect(new Set(answers.map(([a]) => a!.id)).size).toBe(1);
  });

  test("fills in what was not known, and leaves what was", async ({ db }) => {
    await registerPhotos(db.pool, [{ ...photo("a"), known: { listing: "42" } }], "live");
    await registerPhotos(db.pool, [{ ...photo("a"), known: { listing: "43", claimed: "food" } }], "live");
    const { rows } = await db.pool.query("select listing, claimed from photos");
    expect(rows).toEqual([{ listing: "42", claimed: "food" }]);
  });

  test("a new version of an object takes the old one out of the public", async ({ db }) => {
    const [old] = await registerPhotos(db.pool, [photo("a")], "live");
    await recordOutcomes(db.pool, [judged(old!.id, "shown")]);
    expect(await publicVersions(db)).toHaveLength(1);
    await registerPhotos(db.pool, [photo("a", "2")], "live");
    expect(await publicVersions(db)).toEqual([]);
  });

  test("an old version that comes back is the current one again", async ({ db }) => {
    const [first] = await registerPhotos(db.pool, [photo("a")], "live");
    await recordOutcomes(db.pool, [judged(first!.id, "hidden")]);
    const [second] = await registerPhotos(db.pool, [photo("a", "2")], "live");
    await recordOutcomes(db.pool, [judged(second!.id, "shown")]);
    expect(await publicVersions(db)).toHaveLength(1);
    await registerPhotos(db.pool, [photo("a")], "live");
    expect(await publicVersions(db)).toEqual([]);
    expect((await db.pool.query("select id from photos where superseded_at is null")).rows).toEqual([
      { id: first!.id },
    ]);
  });
});

test("a photo that was queued by hand and an event of it are one photo", async ({ db }) => {
  const ref = { store: "s3", bucket: "b", key: "a", version: "etag:1", known: {} } as const;
  const [known] = await registerPhotos(db.pool, [ref], "backfill");
  expect(await one(db, event())).toMatchObject({ photoId: known!.id, outcome: "known" });
  await record(db, removed("11"));
  expect(await current(db)).toEqual([]);
  // found in the bucket again, so it is there
  await registerPhotos(db.pool, [ref], "live");
  expect(await current(db)).toEqual(["etag:1"]);
});

test("a photo that is queued by hand from a listing, which has no version ids, is the version that its event named", async ({
  db,
}) => {
  const { photoId } = await one(db, event({ version: "3HL4kqt" }));
  const ref = { store: "s3", bucket: "b", key: "a", version: "etag:1", known: {} } as const;
  expect(await registerPhotos(db.pool, [ref], "live")).toMatchObject([{ id: photoId, version: "3HL4kqt" }]);
  expect(await rows(db, "select version from photos")).toEqual([{ version: "3HL4kqt" }]);
});

test("a listing replaces no photo that was told of without a version, and keeps a moderator's verdict", async ({
  db,
}) => {
  const told = event({ version: "", order: null, receivedAt: new Date(), known: { listing: "42" } });
  const { photoId } = await one(db, told);
  await db.pool.query("select record_review($1, 'ann', 'hidden')", [photoId]);
  const ref = { store: "s3", bucket: "b", key: "a", version: "etag:1", known: {} } as const;
  expect(await registerPhotos(db.pool, [ref], "live")).toMatchObject([{ id: photoId, version: "" }]);
  expect(await rows(db, "select version, state, listing from photos")).toEqual([
    { version: "", state: "hidden", listing: "42" },
  ]);
  // one that failed is looked for anew
  const failed = { failure: "GONE", message: "", transient: false } as const;
  const other = await one(db, { ...told, key: "c" });
  await recordOutcomes(db.pool, [{ ...judged(other.photoId!, "shown"), result: failed }]);
  expect(await registerPhotos(db.pool, [{ ...ref, key: "c" }], "live")).toMatchObject([
    { version: "etag:1" },
  ]);
});

test("of a removed object the photo is found that was there, and not one that was replaced as it was made known", async ({
  db,
}) => {
  const ref = (version: string) => ({ store: "s3", bucket: "b", key: "a", version, known: {} }) as const;
  await registerPhotos(db.pool, [ref("v2"), ref("v1")], "live");
  expect(await current(db)).toEqual(["v1"]);
  await record(db, removed("20"));
  expect((await readPhotoOf(db.pool, "b", "a"))?.version).toBe("v1");
});

test("of an object that came and went twice the photo is found that was there last", async ({ db }) => {
  for (const [version, order] of [
    ["v1", "20"],
    ["v2", "30"],
  ] as const) {
    await registerPhotos(db.pool, [{ store: "s3", bucket: "b", key: "a", version, known: {} }], "live");
    await record(db, removed(order));
  }
  expect(await current(db)).toEqual([]);
  expect((await readPhotoOf(db.pool, "b", "a"))?.version).toBe("v2");
});

test("a listing that is older than a removal or an overwrite undoes neither", async ({ db }) => {
  const listed = (key: string) => ({ store: "s3", bucket: "b", key, version: "etag:1", known: {} }) as const;
  const gone = await one(db, event({ key: "gone" }));
  const replaced = await one(db, event({ key: "replaced" }));
  await recordOutcomes(db.pool, [judged(gone.photoId!, "shown"), judged(replaced.photoId!, "shown")]);
  const asked = await databaseTime(db.pool);
  await record(db, event({ ...removed("20"), key: "gone" }));
  for (const key of ["replaced", "new"]) await one(db, event({ key, version: "etag:2", order: "20" }));
  const list = async (since: string) => {
    await registerPhotos(db.pool, ["gone", "replaced", "new"].map(listed), "live", since);
    return rows(db, "select key, version from photos where superseded_at is null order by key");
  };
  expect(await list(asked)).toEqual([
    { key: "new", version: "etag:2" },
    { key: "replaced", version: "etag:2" },
  ]);
  expect(await rows(db, "select key from photos where revived_at is not null")).toEqual([]);
  // what is listed afterwards is there again
  expect(await list(await databaseTime(db.pool))).toEqual(
    ["gone", "new", "replaced"].map((key) => ({ key, version: "etag:1" })),
  );
});

test("a listing that is older than an overwrite takes nothing off the page, also where those bytes were there before", async ({
  db,
}) => {
  for (const [version, order] of [
    ["etag:1", "10"],
    ["etag:2", "11"],
    ["etag:1", "12"],
  ] as const)
    await one(db, event({ version, order }));
  const asked = await databaseTime(db.pool);
  await one(db, event({ version: "etag:2", order: "13" }));
  await registerPhotos(db.pool, [photo("a", "etag:1")], "live", asked);
  expect(await current(db)).toEqual(["etag:2"]);
});

describe("a photo that is known by its key alone", () => {
  const ref = { store: "s3", bucket: "b", key: "a", version: "", known: {} } as const;
  const shown = async (db: Database): Promise<string> => {
    const [photo] = await registerPhotos(db.pool, [ref], "live");
    await recordOutcomes(db.pool, [judged(photo!.id, "shown")]);
    return photo!.id;
  };

  test("keeps its verdict where it is registered again while it is current", async ({ db }) => {
    const id = await shown(db);
    expect(await registerPhotos(db.pool, [ref], "live")).toMatchObject([{ id, state: "shown" }]);
    expect(await publicVersions(db)).toEqual([""]);
  });

  test("is queued by nobody who knows no more of it where an event named its version", async ({ db }) => {
    const { photoId } = await one(db, event());
    expect(await one(db, told())).toEqual({ photoId, outcome: "known", queue: false });
  });

  test("has none any more where it takes the place of the one that an event named", async ({ db }) => {
    const id = await shown(db);
    await record(db, event());
    expect(await registerPhotos(db.pool, [ref], "live")).toMatchObject([{ id, state: "pending" }]);
    expect(await current(db)).toEqual([""]);
    expect(await publicVersions(db)).toEqual([]);
  });

  test("stays hidden then where a moderator had hidden it, until one who sees it now shows it", async ({
    db,
  }) => {
    const [photo] = await registerPhotos(db.pool, [ref], "live");
    await decide(db, photo!.id, { human: false });
    await record(db, event());
    expect(await registerPhotos(db.pool, [ref], "live")).toMatchObject([{ state: "hidden" }]);
    await decide(db, photo!.id, { verdict: "shown", human: false, asOf: await loadedNow(db) });
    expect(await publicVersions(db)).toEqual([""]);
  });

  test("keeps it where its object was removed after it was looked for, as it stays withdrawn", async ({
    db,
  }) => {
    const id = await shown(db);
    const looked = await databaseTime(db.pool);
    await record(db, removed("20"));
    expect(await registerPhotos(db.pool, [ref], "live", looked)).toMatchObject([{ id, state: "shown" }]);
    expect(await current(db)).toEqual([]);
  });
});

test("of two versions of one object in one call the last is current, and the verdict of the other is not public", async ({
  db,
}) => {
  const [first] = await registerPhotos(db.pool, [photo("a", "etag:1")], "live");
  await recordOutcomes(db.pool, [judged(first!.id, "shown")]);
  await registerPhotos(db.pool, [photo("a", "etag:1"), photo("a", "etag:2")], "live");
  expect(await current(db)).toEqual(["etag:2"]);
  await registerPhotos(db.pool, [photo("a", "etag:2"), photo("a", "etag:1")], "live");
  expect(await publicVersions(db)).toEqual(["etag:1"]);
});
