import { describe, expect } from "vitest";
import type { PhotoEvent } from "../../src/intake/event.ts";
import { markQueued, recordEvents } from "../../src/store/events.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, rows, test } from "../fixtures.ts";
import { current, event, one, outcomes, publicVersions, record, removed } from "../recorded.ts";
import { judged } from "../verdicts.ts";

describe("what is told of an object without a version", () => {
  const told = (known: PhotoEvent["known"] = {}) => event({ version: "", order: null, known });

  test("is told of its current photo, whose verdict stays", async ({ db }) => {
    const { photoId } = await one(db, event());
    await db.pool.query("select record_review($1, 'ann', 'hidden')", [photoId]);
    expect(await one(db, told({ listing: "42" }))).toEqual({ photoId, outcome: "known", queue: false });
    expect(await rows(db, "select version, state, listing from photos")).toEqual([
      { version: "etag:1", state: "hidden", listing: "42" },
    ]);
  });

  test("makes a photo of its own where the current one failed, was removed, or is not known", async ({
    db,
  }) => {
    const failed = (await one(db, event())).photoId!;
    const result = { failure: "GONE", message: "it was replaced", transient: false } as const;
    await recordOutcomes(db.pool, [{ ...judged(failed, "shown"), result }]);
    expect(await outcomes(db, told())).toEqual(["accepted"]);
    expect(await current(db)).toEqual([""]);
    await record(db, removed(null));
    // the message of before, once more
    expect(await outcomes(db, told())).toEqual(["stale"]);
    expect(await current(db)).toEqual([]);
    expect(await outcomes(db, { ...told(), receivedAt: new Date() })).toEqual(["accepted"]);
    expect(await current(db)).toEqual([""]);
  });

  test("is known of the photo that the first event names, and its listing of those that replace it", async ({
    db,
  }) => {
    await one(db, told({ listing: "42", uploader: "user", claimed: "food" }));
    await one(db, event());
    await one(db, event({ version: "etag:2", order: "11" }));
    expect(await rows(db, "select version, listing, uploader, claimed from photos order by id")).toEqual([
      { version: "", listing: "42", uploader: "user", claimed: "food" },
      { version: "etag:1", listing: "42", uploader: "user", claimed: "food" },
      { version: "etag:2", listing: "42", uploader: null, claimed: null },
    ]);
    await record(db, removed("12"), event({ version: "etag:3", order: "13" }));
    expect(await rows(db, "select listing, uploader from photos where superseded_at is null")).toEqual([
      { listing: null, uploader: null },
    ]);
  });

  test("is known of an overwrite also where it is told before its event", async ({ db }) => {
    await one(db, event({ known: { listing: "42" } }));
    await one(db, told({ listing: "43" }));
    await one(db, event({ version: "etag:2", order: "11" }));
    await one(db, event({ version: "etag:1", order: "12" }));
    expect(await rows(db, "select version, listing from photos order by id")).toEqual([
      { version: "etag:1", listing: "43" },
      { version: "etag:2", listing: "43" },
    ]);
  });

  test("is known instead of what was inherited, though it was said before the event, and so is what the object says", async ({
    db,
  }) => {
    const now = Date.now();
    await one(db, event({ known: { listing: "42" } }));
    const { photoId } = await one(
      db,
      event({ version: "etag:2", order: "11", receivedAt: new Date(now + 60_000) }),
    );
    const listings = () => rows(db, "select listing, inherited from photos order by id desc");
    expect((await listings())[0]).toEqual({ listing: "42", inherited: true });
    await one(db, { ...told({ listing: "43" }), receivedAt: new Date(now + 55_000) });
    expect((await listings())[0]).toEqual({ listing: "43", inherited: false });
    const third = await one(db, event({ version: "etag:3", order: "12" }));
    expect((await listings())[0]).toEqual({ listing: "43", inherited: true });
    await recordOutcomes(db.pool, [
      { ...judged(photoId!, "shown"), known: { listing: "no" } },
      { ...judged(third.photoId!, "shown"), known: { listing: "44" } },
    ]);
    expect(await listings()).toEqual([
      { listing: "44", inherited: false },
      { listing: "43", inherited: false },
      { listing: "42", inherited: false },
    ]);
  });

  test("is known instead of what was told before, but for the claim, and not where it was said earlier", async ({
    db,
  }) => {
    const now = Date.now() - 60_000;
    const said = (known: PhotoEvent["known"], ms: number) => ({ ...told(known), receivedAt: new Date(ms) });
    await one(db, said({ listing: "77", uploader: "user", claimed: "menu" }, now));
    const mended = said({ listing: "78", uploader: "moderator", claimed: "food" }, now + 60_000);
    expect(await one(db, mended)).toMatchObject({ outcome: "known" });
    // SQS delivers the first a second time
    await one(db, said({ listing: "77", uploader: "user" }, now));
    expect(await rows(db, "select listing, uploader, claimed from photos")).toEqual([
      { listing: "78", uploader: "moderator", claimed: "menu" },
    ]);
  });
});

describe("what is told once more of a photo that was replaced", () => {
  const at = (version: string, receivedAt: Date, known = {}) =>
    event({ version, order: null, receivedAt, known });
  const judge = async (db: Database, ...ids: (string | null)[]) =>
    recordOutcomes(
      db.pool,
      ids.map((id) => judged(id!, "shown")),
    );

  test("brings nothing back where the object's events have an order, and adds what it knows", async ({
    db,
  }) => {
    const first = await one(db, event());
    const second = await one(db, event({ version: "etag:2", order: "20" }));
    await judge(db, first.photoId, second.photoId);
    const late = at("etag:1", new Date(), { listing: "42" });
    expect(await one(db, late)).toEqual({ photoId: first.photoId, outcome: "stale", queue: false });
    expect(await current(db)).toEqual(["etag:2"]);
    expect(await rows(db, "select listing from photos order by id")).toEqual([
      { listing: "42" },
      { listing: null },
    ]);
    await record(db, removed("30"));
    expect(await outcomes(db, at("etag:2", new Date()))).toEqual(["stale"]);
    expect(await current(db)).toEqual([]);
  });

  test("brings nothing back that was replaced since it was said; else a worker looks whether it is there", async ({
    db,
  }) => {
    const said = new Date(Date.now() - 60_000);
    const first = await one(db, at("etag:1", said));
    const second = await one(db, at("etag:2", said));
    await judge(db, first.photoId, second.photoId);
    await markQueued(db.pool, [first.photoId!, second.photoId!]);
    // SQS delivers it a second time
    expect(await one(db, at("etag:1", said))).toMatchObject({ outcome: "stale", queue: false });
    expect(await current(db)).toEqual(["etag:2"]);
    const again = await one(db, at("etag:1", new Date(Date.now() + 5_000)));
    expect(again).toEqual({ photoId: first.photoId, outcome: "accepted", queue: true });
    expect(await current(db)).toEqual(["etag:1"]);
  });

  test("brings nothing back that a moderator had shown, whose verdict outlives its bytes", async ({ db }) => {
    const first = await one(db, at("etag:1", new Date()));
    await db.pool.query("select record_review($1, 'ann', 'shown')", [first.photoId]);
    await one(db, at("etag:2", new Date()));
    expect(await outcomes(db, at("etag:1", new Date(Date.now() + 5_000)))).toEqual(["stale"]);
    expect(await current(db)).toEqual(["etag:2"]);
  });
});

describe("an event with an order, of an object that an upload handler told of and no event before it", () => {
  const MINUTE_MS = 60_000;
  const told = (version: string) => event({ version, order: null, receivedAt: new Date() });
  const at = (sinceMs: number, over: Partial<PhotoEvent> = {}) =>
    event({ receivedAt: new Date(Date.now() + sinceMs), ...over });

  test("is stale where the photo was replaced since it was said", async ({ db }) => {
    const first = await one(db, told("etag:1"));
    await recordOutcomes(db.pool, [judged(first.photoId!, "shown")]);
    const second = await one(db, told("etag:2"));
    await rows(db, "select record_review($1, 'ann', 'hidden')", second.photoId);
    expect(await one(db, at(-MINUTE_MS))).toEqual({ photoId: first.photoId, outcome: "stale", queue: false });
    expect(await publicVersions(db)).toEqual([]);
    expect(await current(db)).toEqual(["etag:2"]);
  });

  test("is stale where a sweep found the object gone since it was said", async ({ db }) => {
    const { photoId } = await one(db, told("etag:1"));
    await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
    const { receivedAt: _, ...gone } = removed(null);
    await recordEvents(db.pool, [gone], "right");
    expect(await one(db, at(-MINUTE_MS))).toEqual({ photoId, outcome: "stale", queue: false });
    expect(await publicVersions(db)).toEqual([]);
  });

  test("counts though what was said before it was taken in late", async ({ db }) => {
    const first = await one(db, { ...told("etag:1"), receivedAt: new Date(Date.now() - 60 * MINUTE_MS) });
    await one(db, { ...told("etag:2"), receivedAt: new Date(Date.now() - 10 * MINUTE_MS) });
    const again = { photoId: first.photoId, outcome: "accepted", queue: true };
    expect(await one(db, at(-5 * MINUTE_MS))).toEqual(again);
    expect(await current(db)).toEqual(["etag:1"]);
  });

  test("counts where it was said after that, and a worker looks whether its bytes are there", async ({
    db,
  }) => {
    const first = await one(db, told("etag:1"));
    await recordOutcomes(db.pool, [judged(first.photoId!, "shown")]);
    await one(db, told("etag:2"));
    await rows(db, "delete from unqueued");
    const again = { photoId: first.photoId, outcome: "accepted", queue: true };
    expect(await one(db, at(MINUTE_MS))).toEqual(again);
    expect(await publicVersions(db)).toEqual(["etag:1"]);
  });

  test("is stale where it is of a photo that nobody knows, and a worker looks at what stays", async ({
    db,
  }) => {
    const { photoId } = await one(db, told("etag:2"));
    await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
    await rows(db, "delete from unqueued");
    expect(await one(db, at(-MINUTE_MS))).toEqual({ photoId: null, outcome: "stale", queue: false });
    expect(await publicVersions(db)).toEqual(["etag:2"]);
    expect(await rows(db, "select photo_id from unqueued")).toEqual([{ photo_id: photoId }]);
    expect(await outcomes(db, at(MINUTE_MS, { version: "etag:3", order: "11" }))).toEqual(["accepted"]);
  });

  test("names what was told without a version, and what has another name without a verdict, however late", async ({
    db,
  }) => {
    const { photoId } = await one(db, told(""));
    await recordOutcomes(db.pool, [judged(photoId!, "shown")]);
    await one(db, { ...told("etag:md5"), key: "z" });
    expect(await outcomes(db, at(-MINUTE_MS), at(-MINUTE_MS, { key: "z" }))).toEqual([
      "accepted",
      "accepted",
    ]);
    expect(await current(db)).toEqual(["etag:1", "etag:1"]);
  });

  test("removes nothing that was uploaded after it was said, whether it has a verdict or not, and erases none of it", async ({
    db,
  }) => {
    await record(db, told("etag:1"), { ...told(""), key: "z" });
    const late = [at(-MINUTE_MS, { kind: "removed", version: "" })];
    late.push({ ...late[0]!, key: "z" });
    const answers = await recordEvents(db.pool, late, "right", true);
    expect(answers.map(({ outcome }) => outcome)).toEqual(["stale", "stale"]);
    expect(await current(db)).toEqual(["", "etag:1"]);
  });

  test("removes nothing that was removed before, and is there again since it was said", async ({ db }) => {
    const gone = (sinceMs: number, over = {}) => at(sinceMs, { kind: "removed", version: "", ...over });
    await record(db, told("v1"));
    await rows(db, "update photos set registered_at = registered_at - interval '1 hour'");
    await record(db, gone(0, { order: null }));
    expect(await outcomes(db, told("v1"), gone(-30 * MINUTE_MS))).toEqual(["accepted", "stale"]);
    expect(await current(db)).toEqual(["v1"]);
  });

  test("removes what was uploaded before it was said, though it was told of once more since, or waited to be", async ({
    db,
  }) => {
    await record(db, told("etag:1"), {
      ...told("etag:1"),
      key: "z",
      receivedAt: new Date(Date.now() - 60 * MINUTE_MS),
    });
    await rows(db, "update photos set registered_at = registered_at - interval '1 hour' where key = 'a'");
    await record(db, told("etag:1"));
    const gone = at(-MINUTE_MS, { kind: "removed", version: "" });
    expect(await outcomes(db, gone, { ...gone, key: "z" })).toEqual(["removed", "removed"]);
  });
});
