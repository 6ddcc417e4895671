import { describe, expect } from "vitest";
import { markQueued, recordEvents, type StoredEvent, unqueuedPhotos } from "../../src/store/events.ts";
import { forgetObjects } from "../../src/store/forget.ts";
import { registerPhotos } from "../../src/store/photos.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, test, transaction } from "../fixtures.ts";
import { judged } from "../verdicts.ts";
import { waitersIn } from "../waits.ts";

const of = (key: string) => ({ store: "s3", bucket: "photos", key, version: "etag:1", known: {} }) as const;
const event = (kind: StoredEvent["kind"], key: string): StoredEvent => ({
  ...of(key),
  ...(kind === "removed" && { version: "" }),
  kind,
  order: null,
});

/** Holds rows until it is told to let them go. */
async function holding(db: Database, sql: string, ...values: unknown[]): Promise<() => Promise<void>> {
  const client = await transaction(db);
  await client.query(sql, values);
  return async () => {
    await client.finish("commit");
  };
}

describe("two who lock the same photos wait in no circle:", () => {
  test("one says that a queue holds them, the other withdraws them in another order", async ({ db }) => {
    await recordEvents(
      db.pool,
      ["a", "b"].map((key) => event("created", key)),
      "right",
    );
    const ids = (await unqueuedPhotos(db.pool, 0, 10)).map(({ id }) => id);
    const letGo = await holding(db, "select from unqueued where photo_id = $1 for update", ids[1]);
    const withdrawn = recordEvents(
      db.pool,
      ["b", "a"].map((key) => event("removed", key)),
      "right",
    );
    await waitersIn(db, 1);
    const marked = markQueued(db.pool, ids);
    await Promise.race([waitersIn(db, 2), marked]);
    await letGo();
    expect(await withdrawn).toMatchObject([{ outcome: "removed" }, { outcome: "removed" }]);
    await marked;
    expect(await unqueuedPhotos(db.pool, 0, 10)).toEqual([]);
  });

  test("one registers them in the order of their keys, the other judges them in that of their ids", async ({
    db,
  }) => {
    const [b] = await registerPhotos(db.pool, [of("b")], "live");
    const [a] = await registerPhotos(db.pool, [of("a")], "live");
    const letGo = await holding(db, "select from photos where id = $1 for update", b!.id);
    // waits for b, which is the second of the keys and the first of the ids
    const recorded = recordOutcomes(db.pool, [judged(b!.id, "shown"), judged(a!.id, "shown")]);
    await waitersIn(db, 1);
    const registered = registerPhotos(db.pool, [of("b"), of("a")], "live");
    await waitersIn(db, 2);
    await letGo();
    expect((await recorded).size).toBe(2);
    expect((await registered).map(({ id }) => id)).toEqual([b!.id, a!.id]);
  });

  test("one registers what is new in the order of its keys, the other is told of it in another", async ({
    db,
  }) => {
    const insert = "insert into photos (store, bucket, key, version) values ('s3', 'photos', 'x', 'etag:1')";
    const letGo = await holding(db, insert);
    const told = recordEvents(
      db.pool,
      ["b", "x", "a"].map((key) => event("created", key)),
      "right",
    );
    await waitersIn(db, 1);
    const registered = registerPhotos(db.pool, [of("b"), of("a")], "live");
    await waitersIn(db, 2);
    await letGo();
    const [b, , a] = await told;
    expect((await registered).map(({ id }) => id)).toEqual([b!.photoId, a!.photoId]);
    // an archive leaves no row for each of its objects
    await registerPhotos(db.pool, [of("c")], "backfill");
    const orders = await db.pool.query("select key from object_order order by key");
    expect(orders.rows).toEqual([{ key: "a" }, { key: "b" }, { key: "x" }]);
  });

  test("one forgets an object that nobody was told of, the other is told of it meanwhile", async ({ db }) => {
    await recordEvents(db.pool, [event("created", "b")], "right");
    const letGo = await holding(db, "select from photos where key = 'b' for update");
    const forgotten = forgetObjects(db.pool, [of("a"), of("b")], "ann", false);
    await waitersIn(db, 1);
    const told = recordEvents(db.pool, [event("created", "a")], "right");
    await Promise.race([waitersIn(db, 2), told]);
    await letGo();
    await forgotten;
    expect(await told).toMatchObject([{ outcome: "accepted" }]);
    const { rows } = await db.pool.query("select o.key from object_order o join photos p using (key)");
    expect(rows).toEqual([{ key: "a" }]);
  });
});
