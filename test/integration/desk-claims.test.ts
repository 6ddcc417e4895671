import { randomUUID } from "node:crypto";
import { describe, expect } from "vitest";
import type { Part } from "../../src/review/kinds.ts";
import {
  claimReviews,
  countReviews,
  decideReviews,
  openAppeal,
  releaseClaims,
  renewClaims,
} from "../../src/store/reviews.ts";
import { judged, type Person, test } from "../desk.ts";
import { claim, decide, idsOf, labels, lapse } from "../desk-reviews.ts";
import { type Database, rows } from "../fixtures.ts";
import { waitersIn } from "../waits.ts";

test("the queue counts photos by why a person is asked, and shows each with what the model said", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk({ MAITRED_AUDIT_PER_MILLE: "0" });
  await judged(db, [
    { rule: "human-uncertain" },
    { rule: "human-uncertain" },
    { rule: "verify", category: "menu" },
    ...Array(3).fill({ rule: "category-uncertain" }),
    ...Array(4).fill({ rule: "scores-invalid" }),
    { state: "shown" },
    { state: "hidden" },
  ]);
  const ann = await desk.signIn("ann", "review");
  expect((await ann.ask("GET", "/desk/api/review/queue")).body).toEqual({
    kinds: { appeal: 0, "hidden-copy": 0, human: 2, verify: 1, category: 3, scores: 4, audit: 0 },
    held: 0,
    moderators: 1,
  });
  const [held] = await claim(ann, 50, ["verify"]);
  // what somebody holds waits all the same
  const counts = await desk.signIn("vic", "read");
  await expect
    .poll(async () => (await counts.ask("GET", "/desk/api/review/queue")).body)
    .toEqual({
      kinds: { appeal: 0, "hidden-copy": 0, human: 2, verify: 1, category: 3, scores: 4, audit: 0 },
      held: 1,
      moderators: 1,
    });
  expect(held).toMatchObject({
    kind: "verify",
    bucket: "photos",
    key: "42/2.jpg",
    listing: "42",
    state: "review",
    scores: { menu: 0.5 },
    model: "restaurant-6",
    reason: "because",
    appeal: null,
  });
});

test("a moderator is there, in however many browsers, until the session ends or ten minutes pass without use", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  const vic = await desk.signIn("vic", "read");
  const there = (many: number) =>
    expect
      .poll(async () => (await vic.ask("GET", "/desk/api/review/queue")).body.moderators, { timeout: 5_000 })
      .toBe(many);
  await there(0);
  const ann = await desk.signIn("ann", "review", "operate");
  await db.pool.query(
    `insert into desk_sessions (id, hash, subject, name, roles, ends_at)
      select 'abcdefabcdef', hash, subject, name, roles, ends_at from desk_sessions where name = 'ann'`,
  );
  await desk.signIn("bob", "review");
  await there(2);
  const after = (minutes: number) =>
    db.pool.query("update desk_sessions set seen_at = now() - make_interval(mins => $1) where name = 'bob'", [
      minutes,
    ]);
  await after(9);
  await there(2);
  await after(10);
  await there(1);
  await db.pool.query("update desk_sessions set ended_at = now() where name = 'ann'");
  await there(0);
  expect((await ann.ask("GET", "/desk/api/review/queue")).status).toBe(401);
});

test("two moderators never hold the same photo, however many ask at the same moment", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  await judged(db, Array(90).fill({}));
  const people = [];
  for (const name of ["ann", "bob", "cat", "dan"]) people.push(await desk.signIn(name, "review"));
  const held = await Promise.all(people.flatMap((person) => [claim(person, 20), claim(person, 20)]));
  const byPerson = people.map((_, n) => idsOf(held[2 * n + 1]!).sort());
  for (const [n, ids] of byPerson.entries()) expect(idsOf(held[2 * n]!).sort()).toEqual(ids);
  const all = byPerson.flat();
  expect(all).toHaveLength(80);
  expect(new Set(all).size).toBe(80);
});

test("what is held stays with its moderator while the page says so, and goes to another after that", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  const [first, second, third] = await judged(db, Array(3).fill({}));
  const [ann, bob] = [await desk.signIn("ann", "review"), await desk.signIn("bob", "review")];
  expect(idsOf(await claim(ann))).toEqual([first, second, third]);
  expect(await claim(bob)).toEqual([]);

  const counted = () => countReviews(db.pool, ["human"], 0);
  expect(await counted()).toMatchObject({ kinds: { human: 3 }, held: 3 });
  await lapse(db);
  expect(await counted()).toMatchObject({ kinds: { human: 3 }, held: 0 });
  const { photos } = (await ann.ask("POST", "/desk/api/review/claims/renew", { photos: [first, second] }))
    .body;
  expect(photos).toEqual([first, second]);
  expect(idsOf(await claim(bob))).toEqual([third]);
  expect((await ann.ask("POST", "/desk/api/review/claims/renew", { photos: [third] })).body.photos).toEqual(
    [],
  );

  await ann.ask("POST", "/desk/api/review/claims/release", { photos: [second, third] });
  expect(idsOf(await claim(bob))).toEqual([third, second]);
  // a page that is loaded anew finds what it had
  expect(idsOf(await claim(ann))).toEqual([first]);
});

test("claims are taken in the order of their photos by whoever changes them, so that nobody waits in a circle", async ({
  db,
}) => {
  const ids = await judged(db, [{}, {}, {}]);
  const down = ids.toReversed();
  const holder = { moderator: "ann", page: "" };
  const ann = { ...holder, parts: [{ kinds: ["human" as const], most: 9 }], limit: 9, leaseS: 60 };
  const acts: (() => Promise<unknown>)[] = [
    () => renewClaims(db.pool, holder, down, 60),
    () => releaseClaims(db.pool, holder, down),
    () => claimReviews(db.pool, { ...ann, auditPerMille: 0 }),
    () =>
      decideReviews(
        db.pool,
        "ann",
        down.map((photo) => ({
          ...{ id: randomUUID(), photo, verdict: "shown" as const },
          ...{ category: null, human: null, note: null, asOf: null, appeal: null },
        })),
      ),
  ];
  const other = await db.pool.connect();
  try {
    for (const act of acts) {
      await db.pool.query("truncate review_claims");
      for (const id of down) {
        const until = "now() + interval '1 minute'";
        await db.pool.query(`insert into review_claims values ($1, 'ann', 'human', ${until})`, [id]);
      }
      await other.query("begin");
      await other.query("select from review_claims where photo_id = $1 for update", [ids[1]]);
      const acting = act();
      await waitersIn(db);
      const { rows } = await db.pool.query(
        "select photo_id as id from review_claims order by photo_id for update skip locked",
      );
      expect(rows.map(({ id }) => id)).toEqual([ids[2]]);
      await other.query("commit");
      await acting;
    }
  } finally {
    other.release(true);
  }
});

test("what needs nobody any more, or is of a kind that is not asked for, is given back", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  const [human, menu, gone] = await judged(db, [{}, { rule: "verify" }, {}]);
  const ann = await desk.signIn("ann", "review");
  expect(await claim(ann)).toHaveLength(3);
  await db.pool.query("update photos set superseded_at = now() where id = $1", [gone]);
  expect(idsOf(await claim(ann, 50, ["human"]))).toEqual([human]);
  expect(idsOf(await claim(await desk.signIn("bob", "review")))).toEqual([menu]);
});

test("two pages of one moderator hold other photos, and whatever one asks for, renews or gives back, the other keeps its own", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  const ids = await judged(db, [{}, {}, { rule: "verify" }, { rule: "verify" }, {}]);
  const [ann, bob] = [await desk.signIn("ann", "review"), await desk.signIn("bob", "review")];
  const one = idsOf(await claim(ann, 3, undefined, "one"));
  expect(one).toEqual(ids.slice(0, 3));
  const two = idsOf(await claim(ann, 9, ["verify"], "two"));
  expect(two).toEqual([ids[3]]);
  const act = (what: string, page: string) =>
    ann.ask("POST", `/desk/api/review/claims/${what}`, { photos: ids, page });
  expect((await act("renew", "two")).body.photos).toEqual(two);
  expect(idsOf(await claim(ann, 3, undefined, "one"))).toEqual(one);
  expect(idsOf(await claim(bob))).toEqual([ids[4]]);
  await act("release", "two");
  expect(idsOf(await claim(bob))).toEqual([ids[4], ids[3]]);
  expect((await act("renew", "one")).body.photos).toEqual(one);
  // what is taken back is with the page that did so
  const decision = { id: randomUUID(), photo: one[0], verdict: "shown" };
  await decide(ann, decision);
  await ann.ask("POST", "/desk/api/review/undo", { decision: decision.id, page: "two" });
  expect(idsOf(await claim(ann, 9, ["human"], "two"))).toEqual([one[0]]);
});

test("a page takes over what the one before it in its tab holds still, and nothing of another's or of anybody else", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  const ids = await judged(db, [{}, {}, {}, {}, {}]);
  const [ann, bob] = [await desk.signIn("ann", "review"), await desk.signIn("bob", "review")];
  const next = async (person: Person, page: string, before: string) =>
    idsOf((await person.ask("POST", "/desk/api/review/claims", { limit: 4, page, before })).body.photos);
  await claim(ann, 2, undefined, "one");
  await claim(ann, 1, undefined, "other");
  expect(await next(bob, "two", "one")).toEqual(ids.slice(3));
  expect(await next(ann, "two", "one")).toEqual(ids.slice(0, 2));
  expect(idsOf(await claim(ann, 2, undefined, "one"))).toEqual([]);
  expect(idsOf(await claim(ann, 1, undefined, "other"))).toEqual([ids[2]]);
});

test("audits are a fixed share of what models showed and hid, and are labelled so where they were drawn", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk({ MAITRED_AUDIT_PER_MILLE: "50" });
  const ids = await judged(
    db,
    Array.from({ length: 1_000 }, (_, n) => ({
      state: n % 2 === 0 ? ("shown" as const) : ("hidden" as const),
    })),
  );
  const ann = await desk.signIn("ann", "review");
  const drawn = idsOf(await claim(ann, 200));
  // 50 of a thousand by chance, within four standard deviations
  expect(drawn.length).toBeGreaterThan(22);
  expect(drawn.length).toBeLessThan(78);
  await ann.ask("POST", "/desk/api/review/claims/release", { photos: drawn });
  expect(idsOf(await claim(ann, 200)).sort()).toEqual(drawn.toSorted());

  const chosen = ids.find((id) => !drawn.includes(id));
  await decide(
    ann,
    { id: randomUUID(), photo: drawn[0], verdict: "shown", human: false },
    { id: randomUUID(), photo: chosen, verdict: "hidden", human: true },
  );
  expect((await labels(db)).map(({ id, origin }) => [id, origin]).sort()).toEqual(
    [
      [drawn[0], "audit"],
      [chosen, "moderator"],
    ].sort(),
  );
  expect(idsOf(await claim(ann, 200))).not.toContain(drawn[0]);
});

test("audits stay one in ten of what a page holds, however often it is filled up", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk({ MAITRED_AUDIT_PER_MILLE: "50" });
  await judged(db, [...Array(400).fill({}), ...Array(800).fill({ state: "shown" })]);
  const ann = await desk.signIn("ann", "review");
  for (let refill = 0; refill < 5; refill++) {
    const held = await claim(ann, 60);
    expect([held.length, held.filter(({ kind }) => kind === "audit").length]).toEqual([60, 6]);
    // those that have waited longest come first, and audits last
    const first = held.filter(({ kind }) => kind !== "audit").slice(0, 30);
    for (const { id } of first)
      await decide(ann, { id: randomUUID(), photo: id, verdict: "shown", human: false });
  }
});

describe("of what waits for a moderator", () => {
  const asked = (db: Database, parts: Part[], limit = 50) =>
    claimReviews(db.pool, { moderator: "ann", page: "", parts, limit, leaseS: 60, auditPerMille: 1_000 });
  const all = (...kinds: Part["kinds"]) => [{ kinds, most: 50 }];
  const appeal = (db: Database, id: string) =>
    openAppeal(db.pool, id, "a statue", { by: "guest", who: "token:1" });
  /** One that nobody renewed. */
  const lapsed = (db: Database, id: string) =>
    db.pool.query("insert into review_claims values ($1, 'bob', 'audit', now() - interval '1 second')", [id]);

  test("audits are the newest that a model's verdict shows or hides, and nobody is asked for another reason", async ({
    db,
  }) => {
    await judged(db, Array(400).fill({ state: "shown" }));
    const drawn: string[] = (
      await rows(db, "select id from photos where audit_rank(id) < 50 order by id desc")
    ).map(({ id }) => id);
    const [newest, withdrawn, decided, review, appealed, left, ...rest] = drawn as [string, ...string[]];
    const set = (id: string | undefined, change: string) =>
      db.pool.query(`update photos set ${change} where id = $1`, [id]);
    await set(withdrawn, "superseded_at = now()");
    await set(decided, "decided_by = 'moderator:bob'");
    await set(review, "state = 'review'");
    await appeal(db, appealed!);
    await lapsed(db, left!);
    const two = await asked(db, [{ kinds: ["audit"], most: 2 }]);
    expect(two.map(({ photo }) => photo).sort()).toEqual([newest, left].sort());
    expect((await asked(db, all("audit"))).map(({ photo }) => photo).sort()).toEqual(
      [newest, left, ...rest].sort(),
    );
  });

  test("appeals are those that are open and of current photos, the oldest first", async ({ db }) => {
    const ids = await judged(db, Array(4).fill({ state: "hidden" }));
    const [withdrawn, later, first, left] = ids as [string, string, string, string];
    for (const id of [withdrawn, first, later, left]) await appeal(db, id);
    await db.pool.query("update photos set superseded_at = now() where id = $1", [withdrawn]);
    await lapsed(db, left);
    expect(await asked(db, [{ kinds: ["appeal"], most: 1 }])).toEqual([{ photo: first, kind: "appeal" }]);
    expect((await asked(db, all("appeal"))).map(({ photo }) => photo)).toEqual([first, later, left]);
  });

  test("a page keeps none that needs nobody any more, and no more than it asks for in all", async ({
    db,
  }) => {
    const ids = await judged(db, [...Array(4).fill({}), { state: "hidden" }, { state: "hidden" }]);
    const [human, , , , first, second] = ids as [string, string, string, string, string, string];
    for (const id of [first, second]) await appeal(db, id);
    const parts: Part[] = [
      { kinds: ["appeal"], most: 3 },
      { kinds: ["human"], most: 3 },
    ];
    expect((await asked(db, parts, 3)).map(({ photo }) => photo)).toEqual([human, first, second]);
    await db.pool.query("update appeals set answered_at = now() where photo_id = $1", [first]);
    await db.pool.query("update photos set state = 'shown' where id = $1", [human]);
    expect((await asked(db, parts, 1)).map(({ photo }) => photo)).toEqual([second]);
  });

  test("an appeal that is open is found again, and not the one before it", async ({ db }) => {
    const [id] = await judged(db, [{ state: "hidden" }]);
    const before = await appeal(db, id!);
    await db.pool.query("update appeals set answered_at = now()");
    const open = await appeal(db, id!);
    expect(open).toMatchObject({ fresh: true });
    expect(await appeal(db, id!)).toEqual({ at: open!.at, fresh: false });
    expect(open!.at).not.toBe(before!.at);
    await db.pool.query("update photos set superseded_at = now()");
    expect(await appeal(db, id!)).toBeUndefined();
  });
});
