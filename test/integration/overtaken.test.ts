import fc from "fast-check";
import { describe, expect } from "vitest";
import type { PhotoEvent } from "../../src/intake/event.ts";
import type { Recorded } from "../../src/photo.ts";
import { recordEvents } from "../../src/store/events.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, test } from "../fixtures.ts";

const MINUTE_MS = 60_000;
const START = Date.now() - 24 * 60 * MINUTE_MS;

/** What was done to an object at the minute `n` of its history, which is its order too. */
const put = (n: number, key = "a"): PhotoEvent => ({
  kind: "created",
  store: "s3",
  bucket: "b",
  key,
  version: `v${n}`,
  order: `${n}0`,
  receivedAt: new Date(START + n * MINUTE_MS),
  known: {},
});
const marker = (n: number): PhotoEvent => ({ ...put(n), kind: "removed", version: "" });
/** What the handler of an upload says of it, `lateMin` minutes afterwards. */
const handler = (of: PhotoEvent, lateMin: number): PhotoEvent => ({
  ...of,
  order: null,
  receivedAt: new Date(of.receivedAt.getTime() + lateMin * MINUTE_MS),
});

/** Records one event, and whatever is pending then is judged as harmless, as a worker does meanwhile. */
async function judged(db: Database, event: PhotoEvent, erase = false): Promise<Recorded> {
  const [recorded] = await recordEvents(db.pool, [event], "right", erase);
  const { rows } = await db.pool.query<{ id: string }>(
    "select id from photos where state = 'pending' and superseded_at is null and key = $1",
    [event.key],
  );
  const decision = { verdict: "shown" as const, rule: "clear", reason: "", category: "food", tags: [] };
  await recordOutcomes(
    db.pool,
    rows.map(({ id }) => ({
      photoId: id,
      known: {},
      batch: "b-1",
      by: "model:m-1" as const,
      policy: "p1",
      result: { scores: { categories: { food: 1 }, human: 0 }, decision },
    })),
  );
  return recorded!;
}
const versions = async (db: Database, from: "public_photos" | "photos", key = "a"): Promise<string[]> => {
  const current = from === "photos" ? "and superseded_at is null" : "";
  const { rows } = await db.pool.query(`select version from ${from} where key = $1 ${current}`, [key]);
  return rows.map(({ version }) => version);
};

describe("an event that a late upload handler overtook", () => {
  test("counts once the event of the photo before has come", async ({ db }) => {
    await judged(db, handler(put(1), 10));
    expect(await judged(db, { ...put(2), known: { listing: "42" } })).toMatchObject({ outcome: "stale" });
    expect(await judged(db, put(2))).toMatchObject({ outcome: "stale" });
    expect((await recordEvents(db.pool, [put(1)], "right"))[0]).toMatchObject({
      outcome: "stale",
      queue: false,
    });
    expect(await versions(db, "photos")).toEqual(["v2"]);
    expect(await versions(db, "public_photos")).toEqual([]);
    const { rows } = await db.pool.query(
      "select state, listing from photos p where version = 'v2' and exists (select from unqueued u where u.photo_id = p.id)",
    );
    expect(rows).toEqual([{ state: "pending", listing: "42" }]);
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
      return (
        fc
          .tuple(fc.array(said, { maxLength: 4 }), fc.subarray(done))
          .chain(([handlers, again]) => {
            const all = [...done, ...handlers, ...again];
            return fc.shuffledSubarray(all, { minLength: all.length });
          })
          // of what is erased nobody knows later that it was removed
          .map((told) => ({ told, erase: erase && told.every(({ order }) => order), last: done.at(-1)! }))
      );
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
