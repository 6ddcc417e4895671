import { randomUUID } from "node:crypto";
import { describe, expect } from "vitest";
import { openQueues } from "../../src/queue/queues.ts";
import { openQueueServer } from "../../src/queue/server.ts";
import { searchPhotos } from "../../src/store/search.ts";
import { type Judged, judged, type Person, test } from "../desk.ts";

const search = async (person: Person, asked: Record<string, string>) =>
  (await person.ask("GET", `/desk/api/photos?${new URLSearchParams(asked)}`)).body;
const keysOf = ({ photos }: { photos: { key: string }[] }): string[] => photos.map(({ key }) => key);

const PHOTOS: Judged[] = [
  { key: "1/a b%.jpg", listing: "1", category: "food", human: 0.01, state: "shown" },
  { key: "1/b.jpg", listing: "1", category: "menu", human: 0.02, state: "review", rule: "verify" },
  { key: "2/c.jpg", listing: "2", category: "ambience", human: 0.9, state: "hidden" },
  { key: "2/d_.jpg", listing: "2", category: "food", human: 0.3, state: "review" },
];

describe("a search", () => {
  test.for<[string, Record<string, string>, string[]]>([
    ["nothing", {}, ["2/d_.jpg", "2/c.jpg", "1/b.jpg", "1/a b%.jpg"]],
    ["a listing", { listing: "1" }, ["1/b.jpg", "1/a b%.jpg"]],
    ["how a key begins, whatever is in it", { key: "1/a b%" }, ["1/a b%.jpg"]],
    ["a key, of which _ is no wildcard", { key: "2/__" }, []],
    ["a key in a bucket", { key: "2/", bucket: "photos" }, ["2/d_.jpg", "2/c.jpg"]],
    ["a key in another bucket", { key: "2/", bucket: "others" }, []],
    ["a category", { category: "food" }, ["2/d_.jpg", "1/a b%.jpg"]],
    ["a state and a rule", { state: "review", rule: "verify" }, ["1/b.jpg"]],
    ["a range of scores", { humanFrom: "0.02", humanTo: "0.5" }, ["2/d_.jpg", "1/b.jpg"]],
    ["a model", { by: "model:restaurant-6", state: "hidden" }, ["2/c.jpg"]],
    ["a model, by its name alone", { by: "restaurant-6", state: "hidden" }, ["2/c.jpg"]],
    ["another model", { by: "model:restaurant-7" }, []],
  ])("finds by %s", async ([, asked, expected], { openDesk, db }) => {
    const desk = await openDesk();
    await judged(db, PHOTOS);
    const vic = await desk.signIn("vic", "read");
    const found = await search(vic, asked);
    expect([keysOf(found), found.next, found.capped]).toEqual([expected, null, false]);
  });

  test("finds by what a model gave the photo's category, the last time", async ({ openDesk, db }) => {
    const desk = await openDesk();
    const ids = await judged(db, PHOTOS);
    await db.pool.query(
      `insert into verdicts (photo_id, verdict, rule, reason, decided_by, scores)
        select id, 'review', 'category-uncertain', '', 'model:restaurant-6',
          jsonb_build_object('food', food, 'menu', 0.9, 'ambience', 0.1)
        from unnest($1::bigint[], array[0.31, 0.1, 0.2, 0.7]) u (id, food)`,
      [ids],
    );
    // what is no model's has no scores
    await db.pool.query(
      `insert into verdicts (photo_id, verdict, rule, reason, decided_by)
        select id, 'shown', 'moderator', '', 'moderator:ann' from unnest($1::bigint[]) u (id)`,
      [ids],
    );
    const vic = await desk.signIn("vic", "read");
    const between = async (asked: object) => keysOf(await search(vic, { ...asked }));
    expect(await between({ scoreFrom: "0.31", scoreTo: "0.7" })).toEqual(["2/d_.jpg", "1/a b%.jpg"]);
    expect(await between({ scoreFrom: "0.71" })).toEqual(["1/b.jpg"]);
    expect(await between({ scoreTo: "0.4", category: "food" })).toEqual(["1/a b%.jpg"]);
    expect(await between({ scoreTo: "0" })).toEqual([]);
  });

  test("finds what is there now, and what was withdrawn once it is asked for, or by its very key", async ({
    openDesk,
    db,
  }) => {
    const desk = await openDesk();
    const [gone] = await judged(db, PHOTOS);
    await db.pool.query("update photos set superseded_at = now() where id = $1", [gone]);
    const vic = await desk.signIn("vic", "read");
    expect(keysOf(await search(vic, { listing: "1" }))).toEqual(["1/b.jpg"]);
    expect(keysOf(await search(vic, { current: "yes", listing: "1" }))).toEqual(["1/b.jpg"]);
    expect(keysOf(await search(vic, { current: "no" }))).toEqual(["1/a b%.jpg"]);
    expect(keysOf(await search(vic, { current: "any", listing: "1" }))).toEqual(["1/b.jpg", "1/a b%.jpg"]);
    expect(keysOf(await search(vic, { key: "1/a" }))).toEqual([]);
    expect(keysOf(await search(vic, { key: "1/a b%.jpg" }))).toEqual(["1/a b%.jpg"]);
    await db.pool.query("update photos set state = 'review' where id = $1", [gone]);
    for (const asked of [{ current: "no" }, { current: "any", listing: "1" }, { key: "1/a b%.jpg" }] as const)
      expect(keysOf(await search(vic, { ...asked, state: "review" })), JSON.stringify(asked)).toContain(
        "1/a b%.jpg",
      );
  });

  test("finds what so many moderators were not sure of, each once, until it has another verdict", async ({
    openDesk,
    db,
  }) => {
    const desk = await openDesk();
    const [ended, one, two, gone] = await judged(db, PHOTOS);
    const people = await Promise.all(["ann", "bob", "cat"].map((name) => desk.signIn(name, "review")));
    const [ann, bob, cat] = people as [Person, Person, Person];
    const pass = async (person: Person, ...photos: (string | undefined)[]) => {
      const decisions = photos.map((photo) => ({ id: randomUUID(), photo, verdict: "unsure" }));
      await person.ask("POST", "/desk/api/review/decisions", { decisions });
      return decisions[0]!.id;
    };
    await pass(ann, ended, one, two, one);
    await pass(bob, ended, two);
    await pass(cat, two, gone);
    await ann.ask("POST", "/desk/api/review/undo", { decision: await pass(ann, gone) });
    const decision = { id: randomUUID(), photo: ended, verdict: "hidden" };
    await bob.ask("POST", "/desk/api/review/decisions", { decisions: [decision] });
    const found = async (asked: Record<string, string>) => keysOf(await search(ann, asked));
    expect(await found({ unsure: "1" })).toEqual(["2/d_.jpg", "2/c.jpg", "1/b.jpg"]);
    expect(await found({ unsure: "2" })).toEqual(["2/c.jpg"]);
    expect(await found({ unsure: "3", listing: "2" })).toEqual(["2/c.jpg"]);
    expect(await found({ unsure: "3", listing: "1" })).toEqual([]);
    expect((await ann.ask("GET", "/desk/api/photos?unsure=0")).status).toBe(400);
  });

  test("for what Postgres cannot hold finds nothing, and says so", async ({ openDesk }) => {
    const vic = await (await openDesk()).signIn("vic", "read");
    for (const name of ["key", "bucket", "listing", "category", "by", "rule"]) {
      const { status, body } = await vic.ask("GET", `/desk/api/photos?${name}=a%00`);
      expect([name, status, body.detail]).toEqual([name, 400, expect.stringMatching(/zero characters/)]);
    }
    for (const asked of ["listings?listing=%00", "drift?from=2026-01-01&to=2026-01-02&model=%00"])
      expect((await vic.ask("GET", `/desk/api/dashboards/${asked}`)).status, asked).toBe(400);
  });

  test("finds by the code of a failure, as Operate counts it", async ({ openDesk, db }) => {
    const desk = await openDesk();
    const [broken] = await judged(db, PHOTOS);
    await db.pool.query("update photos set state = 'failed', failure = 'CORRUPT' where id = $1", [broken]);
    const vic = await desk.signIn("vic", "read");
    expect(keysOf(await search(vic, { rule: "CORRUPT" }))).toEqual(["1/a b%.jpg"]);
    expect(keysOf(await search(vic, { rule: "CORRUPT", listing: "2" }))).toEqual([]);
    expect(keysOf(await search(vic, { rule: "EMPTY" }))).toEqual([]);
  });

  test("tells what moderators saw and which category they gave, until they take it back", async ({
    openDesk,
    db,
  }) => {
    const desk = await openDesk();
    const [id] = await judged(db, [PHOTOS[3]!]);
    const ann = await desk.signIn("ann", "review");
    const told = async () => (await ann.ask("GET", `/desk/api/photos/${id}`)).body;
    expect(await told()).toMatchObject({ sawHuman: null, categoryBy: null });
    const decision = { id: randomUUID(), photo: id, verdict: "hidden", category: "menu", human: true };
    await ann.ask("POST", "/desk/api/review/decisions", { decisions: [decision] });
    expect(await told()).toMatchObject({ sawHuman: true, category: "menu", categoryBy: "moderator:ann" });
    await ann.ask("POST", "/desk/api/review/undo", { decision: decision.id });
    expect(await told()).toMatchObject({ sawHuman: null, category: "food", categoryBy: null });
  });

  test("finds by when photos were registered, though nothing but the order of ids says where to look", async ({
    openDesk,
    db,
  }) => {
    const desk = await openDesk();
    const day = (n: number): Date => new Date(Date.UTC(2026, 0, 1 + n));
    const dated = Array.from({ length: 20 }, (_, n) => ({ key: `${n}.jpg`, registeredAt: day(n) }));
    await judged(db, dated);
    await db.pool.query("delete from photos where id % 3 = 1");
    const vic = await desk.signIn("vic", "read");
    const between = async (from: number, to: number) =>
      keysOf(await search(vic, { from: day(from).toISOString(), to: day(to).toISOString() }));
    const { rows } = await db.pool.query<{ key: string }>(
      "select key from photos where registered_at >= $1 and registered_at < $2 order by id desc",
      [day(5), day(12)],
    );
    expect(rows.length).toBeGreaterThan(3);
    expect(await between(5, 12)).toEqual(rows.map(({ key }) => key));
    expect(await between(30, 40)).toEqual([]);
    expect(await between(-9, -3)).toEqual([]);
  });

  test("goes on page by page, each photo once, also where pages look at more than they show", async ({
    openDesk,
    db,
  }) => {
    const desk = await openDesk();
    await judged(
      db,
      Array.from({ length: 7 }, (_, n) => ({ key: `${n}.jpg` })),
    );
    const vic = await desk.signIn("vic", "read");
    const seen: string[] = [];
    let after: string | null = null;
    do {
      const found = await search(vic, { limit: "3", ...(after && { after }) });
      seen.push(...keysOf(found));
      after = found.next;
    } while (after);
    expect(seen).toEqual(["6.jpg", "5.jpg", "4.jpg", "3.jpg", "2.jpg", "1.jpg", "0.jpg"]);

    // more than one page looks at, of which the oldest alone is asked for
    await db.pool.query(`insert into photos (store, bucket, key, state, decided_at, rule)
      select 's3', 'photos', 'many/' || n, 'shown', now(), 'clear' from generate_series(1, 20500) n`);
    const first = await searchPhotos(db.pool, { rule: "human-uncertain", limit: 3 });
    expect(first.ids).toEqual([]);
    const second = await searchPhotos(db.pool, { rule: "human-uncertain", limit: 3, after: first.next! });
    expect(second.ids).toHaveLength(3);
    // a key that so many begin with does not reach all of them
    const begins = async (key: string) => search(vic, { key, state: "review" });
    expect(await begins("many/")).toEqual({ photos: [], next: null, capped: true });
    expect(await begins("many/1")).toEqual({ photos: [], next: null, capped: true });
    expect(await begins("many/2")).toEqual({ photos: [], next: null, capped: false });
  });
});

test("a photo's page shows its whole history, and whom it was told to", async ({ openDesk, db }) => {
  const desk = await openDesk();
  const [id] = await judged(db, [{ state: "shown" }]);
  await db.pool.query(
    "insert into destinations (id, kind, url, secret) values ('app', 'webhook', 'https://me:secret@app.example/?key=secret', 'x')",
  );
  const ann = await desk.signIn("ann", "review");
  await ann.ask("POST", `/desk/api/photos/${id}/appeal`, { reason: "it is me" });
  const decision = { id: randomUUID(), photo: id, verdict: "hidden", human: true, note: "so it is" };
  await ann.ask("POST", "/desk/api/review/decisions", { decisions: [decision] });
  const { status, body } = await ann.ask("GET", `/desk/api/photos/${id}`);
  expect(status).toBe(200);
  expect(body).toMatchObject({
    id,
    state: "hidden",
    reason: "so it is",
    tags: [{ category: "food", score: 0.5, threshold: 0.4 }],
    appeals: [{ reason: "it is me", by: "ann" }],
    deliveries: [
      { destination: "app", to: "app.example", kind: "photo.verdict", state: "pending", attempts: 0 },
    ],
  });
  const reasons = ({ history }: { history: { reason: string }[] }) => history.map(({ reason }) => reason);
  expect(reasons(body)).toEqual(["because", "so it is"]);
  await db.pool.query(
    `insert into verdicts (photo_id, verdict, rule, reason, decided_by)
      select $1, 'shown', 'clear', n::text, 'model:restaurant-6' from generate_series(1, 300) n`,
    [id],
  );
  const long = (await ann.ask("GET", `/desk/api/photos/${id}`)).body;
  expect([reasons(long).length, reasons(long)[0], long.verdicts]).toEqual([302, "because", 302]);
  expect((await ann.ask("GET", "/desk/api/photos/999")).status).toBe(404);
});

test("a photo's page says what failed, what a shadow said, and when its object went", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  const [id] = await judged(db, [{ state: "shown" }]);
  await db.pool.query(`insert into models (id, sha256, state, share, registered_by)
    values ('next-1', repeat('0', 64), 'shadow', 0.5, 'root')`);
  await db.pool.query(
    `insert into shadow_scores (model, photo_id, verdict, category, human, scores, beside, beside_verdict, beside_category,
      beside_human, beside_scores) values ('next-1', $1, 'hidden', 'menu', 0.75, '{"menu": 1}', 'm', 'shown', 'food', 0, '{}')`,
    [id],
  );
  await db.pool.query(
    `with given as (insert into verdicts (photo_id, verdict, rule, reason, failure, decided_by)
      values ($1, 'failed', 'failed', 'no such object', 'GONE', 'model:restaurant-6'))
    update photos set state = 'failed', failure = 'GONE', superseded_at = '2026-11-01' where id = $1`,
    [id],
  );
  const { body } = await (await desk.signIn("vic", "read")).ask("GET", `/desk/api/photos/${id}`);
  expect(body).toMatchObject({
    current: false,
    history: [{ failure: null }, { verdict: "failed", failure: "GONE", reason: "no such object" }],
    shadows: [{ model: "next-1", verdict: "hidden", category: "menu", human: 0.75, scores: { menu: 1 } }],
  });
  expect(body.withdrawnAt).toMatch(/^2026-11-01T/);
});

test("an operator has a photo judged again, unless a moderator decided it", async ({
  openDesk,
  db,
  configFor,
}) => {
  const desk = await openDesk();
  const [id, decided] = await judged(db, [{}, {}]);
  const oda = await desk.signIn("oda", "operate", "review");
  const decision = { id: randomUUID(), photo: decided, verdict: "shown" };
  await oda.ask("POST", "/desk/api/review/decisions", { decisions: [decision] });
  expect((await oda.ask("POST", `/desk/api/photos/${id}/rerun`)).status).toBe(202);
  expect((await oda.ask("POST", `/desk/api/photos/${decided}/rerun`)).status).toBe(409);
  expect((await oda.ask("POST", "/desk/api/photos/999/rerun")).status).toBe(404);
  const server = openQueueServer(configFor("postgres"), () => {});
  const queues = openQueues(server, () => {});
  expect([await queues.held([id!]), await queues.held([decided!])]).toEqual([1, 0]);
  await queues.close();
  await server.close();
  // a verdict that stays the same is not written down again, and yet somebody asked
  expect((await oda.ask("GET", `/desk/api/photos/${id}`)).body).toMatchObject({
    verdicts: 1,
    reruns: [{ by: "oda", at: expect.stringMatching(/^\d{4}-/) }],
  });
  expect((await oda.ask("GET", "/desk/api/audit?limit=1")).body.entries).toMatchObject([
    { who: "oda", did: "rerun", photo: id },
  ]);
});

test("an operator forgets a photo, of which nothing is left but that somebody did so", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  const [id] = await judged(db, [{ key: "secret-name.jpg" }]);
  const oda = await desk.signIn("oda", "operate", "review");
  await oda.ask("POST", `/desk/api/photos/${id}/appeal`, { reason: "secret-name" });
  await oda.ask("POST", "/desk/api/review/claims", {});
  const decision = { id: randomUUID(), photo: id, verdict: "hidden", note: "secret-name" };
  await oda.ask("POST", "/desk/api/review/decisions", { decisions: [decision] });
  const { status, body } = await oda.ask("POST", `/desk/api/photos/${id}/forget`);
  expect(status).toBe(200);
  expect(body.counts).toMatchObject({ photos: 1, verdicts: 2, reviews: 1 });
  const { rows: tables } = await db.pool.query<{ name: string }>(
    "select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'",
  );
  for (const { name } of tables) {
    const { rows } = await db.pool.query(`select 1 from ${name} t where t::text like '%secret-name%'`);
    expect(rows, name).toEqual([]);
  }
  const { entries } = (await oda.ask("GET", "/desk/api/audit?limit=1")).body;
  expect(entries).toMatchObject([
    { who: "oda", did: "forgot", photo: null, about: { counts: { photos: 1 } } },
  ]);
  expect((await oda.ask("POST", `/desk/api/photos/${id}/forget`)).status).toBe(404);
});

test("an API of workers' rights does not forget, and says who may", async ({ openDesk, db }) => {
  const url = new URL(db.url);
  url.searchParams.set("options", "-c role=maitred_worker");
  const desk = await openDesk({ DATABASE_URL: url.href });
  const [id] = await judged(db, [{}]);
  const oda = await desk.signIn("oda", "operate");
  expect(await oda.ask("POST", `/desk/api/photos/${id}/forget`)).toMatchObject({
    status: 403,
    body: { detail: expect.stringContaining("maitred forget does") },
  });
  expect((await oda.ask("GET", `/desk/api/photos/${id}`)).status).toBe(200);
});
