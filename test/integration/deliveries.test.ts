import { describe, expect } from "vitest";
import {
  claimDeliveries,
  deliveryFigures,
  purgeDeliveries,
  replayDeliveries,
  settleDelivery,
} from "../../src/store/deliveries.ts";
import { recordEvents } from "../../src/store/events.ts";
import { rows, test, transaction } from "../fixtures.ts";
import { annDecides, backfilled, claim, delivered, kinds, outbox, webhook } from "../outbox.ts";
import { judge, register } from "../verdicts.ts";

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

  test("is told at once to whom nothing else is being told, and to nobody of another bucket", async ({
    db,
  }) => {
    await webhook(db, "one");
    await webhook(db, "two", "photos");
    await webhook(db, "other", "menus");
    const id = await register(db, "a");
    await judge(db, id, "shown");
    for (const each of await claim(db))
      if (each.destination === "two") await settleDelivery(db.pool, each, delivered);
    await db.pool.query("delete from photos where id = $1", [id]);
    expect((await claim(db)).map(({ destination, change }) => [destination, change])).toEqual([
      ["two", "photo.forgotten"],
    ]);
    expect(await rows(db, "select destination from deliveries order by 1")).toEqual([
      { destination: "one" },
      { destination: "two" },
    ]);
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

  test("wait for nothing that another destination could not be told", async ({ db }) => {
    for (const id of ["down", "up"]) await webhook(db, id);
    const id = await register(db, "a");
    await judge(db, id, "shown");
    const later = { state: "pending", note: "no", waitMs: 3_600_000 } as const;
    for (const each of await claim(db))
      await settleDelivery(db.pool, each, each.destination === "up" ? delivered : later);
    await judge(db, id, "hidden");
    expect((await claim(db)).map(({ destination }) => destination)).toEqual(["up"]);
  });

  test("are due at once where what is before them is told before they are committed", async ({ db }) => {
    await webhook(db);
    const id = await register(db, "a");
    await judge(db, id, "shown");
    const [first] = await claim(db);
    const client = await transaction(db);
    await client.query("select record_review($1, 'ann', 'hidden')", [id]);
    await settleDelivery(db.pool, first!, delivered);
    await client.finish("commit");
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

  test("that ran out count all the same where the first has delivered", async ({ db }) => {
    await webhook(db);
    await judge(db, await register(db, "a"), "shown");
    const [slow] = await claim(db, 0);
    const [next] = await claim(db, 0);
    await settleDelivery(db.pool, slow!, delivered);
    await settleDelivery(db.pool, next!, { state: "dead", note: "late", waitMs: 0 });
    expect(await rows(db, "select state from deliveries")).toEqual([{ state: "delivered" }]);
    expect(await claim(db)).toEqual([]);
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

test("what is dead is kept for longer, and not for ever", async ({ db }) => {
  await webhook(db);
  await judge(db, await register(db, "a"), "shown");
  await settleDelivery(db.pool, (await claim(db))[0]!, { state: "dead", note: "no", waitMs: 0 });
  await db.pool.query("update deliveries set next_at = now() - interval '50 days'");
  expect(await purgeDeliveries(db.pool, { days: 7, deadDays: 60 }, 100)).toBe(0);
  expect(await purgeDeliveries(db.pool, { days: 7, deadDays: 40 }, 100)).toBe(1);
  expect(await outbox(db)).toEqual([]);
});

test("how far behind a destination is counts no more than 10,000 of what waits, and names the oldest", async ({
  db,
}) => {
  await webhook(db);
  await db.pool.query(
    `with told as (
      insert into outbox (photo_id, kind, payload, created_at)
      select n, 'photo.verdict', '{}', now() - make_interval(hours => case n when 1 then 9 when 41 then 3 else 1 end)
      from generate_series(1, 10050) n returning seq, photo_id
    )
    insert into deliveries (seq, destination, photo_id, state)
    select seq, 'w', photo_id, case when photo_id <= 40 then 'dead' else 'pending' end from told`,
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

test("a replay leaves what is being told at that moment", async ({ db }) => {
  await webhook(db);
  for (const key of ["a", "b"]) await judge(db, await register(db, key), "shown");
  const [first] = await claim(db, 60);
  await rows(db, "update deliveries set claimed_until = null where seq <> $1", first!.seq);
  const replayed: number[] = [];
  for await (const page of replayDeliveries(db.pool, {})) replayed.push(page.replayed);
  expect(replayed).toEqual([1]);
  expect(await rows(db, "select seq from deliveries where attempts > 0")).toEqual([{ seq: first!.seq }]);
});
