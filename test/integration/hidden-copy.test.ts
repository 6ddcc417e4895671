import { describe, expect } from "vitest";
import type { Recorded } from "../../src/moderate/outcome.ts";
import { endBackfills } from "../../src/store/backfill-feed.ts";
import { addBackfill, applyProposals, rollbackBackfill } from "../../src/store/backfills.ts";
import type { Pool } from "../../src/store/pool.ts";
import { decideReviews, undoReview } from "../../src/store/reviews.ts";
import { type Outcome, recordAnew, recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, rows, test, transaction } from "../fixtures.ts";
import { outbox, webhook } from "../outbox.ts";
import { allOf, feedAll } from "../policies.ts";
import { decide, decision, fail, judged, ofAll, register, removeObject } from "../verdicts.ts";
import { waitersIn } from "../waits.ts";

const DINNER = "d1".repeat(32);

/** A model's verdict of these bytes: its own, or that of the photo whose scores it has. */
async function judge(
  { pool }: { pool: Pool },
  photo: string,
  verdict: "shown" | "hidden" | "review",
  {
    digest = DINNER,
    of,
    by,
    fed,
    rendition,
  }: { digest?: string; of?: string; by?: string; fed?: true; rendition?: true } = {},
): Promise<Recorded | undefined> {
  const outcome = judged(photo, verdict, by);
  const bytes = of === undefined ? { digest } : { copyOf: digest };
  const batch = of === undefined ? "t-1" : `same-${of}`;
  const result = { ...outcome.result, ...bytes, ...(rendition && { rendition }) } as Outcome["result"];
  return (await recordOutcomes(pool, [{ ...outcome, batch, ...(fed && { fed }), result }])).get(photo);
}

/** What another policy says of the scores that are stored. */
async function anew(db: Database, photo: string, policy: string, verdict: "shown" | "hidden"): Promise<void> {
  const run = await addBackfill(db.pool, {
    ...ofAll,
    what: { kind: "policy", policy, upTo: "1000" },
    model: "",
  });
  const outcome = { ...judged(photo, verdict), policy, batch: `policy-${run}` };
  expect(await recordAnew(db.pool, run, [outcome], allOf(1))).toBe(true);
}

const stateOf = async (db: Database, photo: string) =>
  (await rows(db, "select state, rule, reason from photos where id = $1", photo))[0];
const shown = { state: "shown", rule: "clear" };
const held = (by: string) => ({
  state: "review",
  rule: "hidden-copy",
  reason: `ann hid the same bytes: photo ${by}`,
});

describe("bytes that a moderator hid", () => {
  test("wait for a moderator under another key, whichever model judges them", async ({ db }) => {
    const first = await register(db, "a");
    await judge(db, first, "shown");
    await decide(db, first);
    const copy = await register(db, "b");
    await judge(db, copy, "shown", { of: first });
    expect(await stateOf(db, copy)).toEqual(held(first));
    const later = await register(db, "c");
    await judge(db, later, "shown", { by: "model:m-2" });
    expect(await stateOf(db, later)).toEqual(held(first));
    expect(await rows(db, "select key from public_photos")).toEqual([]);
    const other = await register(db, "d");
    await judge(db, other, "shown", { digest: "d2".repeat(32) });
    expect(await stateOf(db, other)).toMatchObject(shown);
    const clear = await register(db, "e");
    await judge(db, clear, "hidden");
    expect(await stateOf(db, clear)).toMatchObject({ state: "hidden" });
  });

  test("that have the scores of others are known too", async ({ db }) => {
    const first = await register(db, "a");
    await judge(db, first, "shown");
    const copy = await register(db, "b");
    await judge(db, copy, "shown", { of: first });
    await decide(db, copy);
    expect(await stateOf(db, first)).toEqual(held(copy));
    const third = await register(db, "c");
    await judge(db, third, "shown", { of: first });
    expect(await stateOf(db, third)).toEqual(held(copy));
  });

  test("are known as those of the original where a rendition was judged since, or a worker kept no digest", async ({
    db,
  }) => {
    const first = await register(db, "a");
    await judge(db, first, "shown");
    await judge(db, first, "shown", { digest: "d3".repeat(32), by: "model:m-2", rendition: true });
    await recordOutcomes(db.pool, [judged(first, "shown", "model:m-3")]);
    await decide(db, first);
    const copy = await register(db, "b");
    await judge(db, copy, "shown", { by: "model:m-2" });
    expect(await stateOf(db, copy)).toEqual(held(first));
  });

  test("are known by whose scores a copy has, where whoever judged it does not say which bytes", async ({
    db,
  }) => {
    const [first, copy] = [await register(db, "a"), await register(db, "b")];
    await judge(db, first, "shown");
    await decide(db, first);
    const outcome = { ...judged(copy, "shown"), batch: `same-${first}` };
    const recorded = await recordOutcomes(db.pool, [outcome]);
    expect(recorded.get(copy)).toEqual({ changed: true, held: held(first).reason });
    expect(await stateOf(db, copy)).toEqual(held(first));
  });

  test("are shown again once a moderator shows a copy, takes it back, or the photo is erased", async ({
    db,
  }) => {
    const [first, second, third] = [
      await register(db, "a"),
      await register(db, "b"),
      await register(db, "c"),
    ];
    await judge(db, first, "shown");
    const id = await decide(db, first);
    await judge(db, second, "shown");
    expect(await stateOf(db, second)).toEqual(held(first));
    await decide(db, second, { verdict: "shown" });
    await judge(db, third, "shown");
    expect(await stateOf(db, third)).toMatchObject(shown);

    const [, fourth, fifth] = [await decide(db, third), await register(db, "d"), await register(db, "e")];
    await undoReview(db.pool, "ann", id, 60);
    await judge(db, fourth, "shown");
    expect(await stateOf(db, fourth)).toEqual(held(third));
    await db.pool.query("delete from photos where id = $1", [third]);
    await judge(db, fifth, "shown");
    expect(await stateOf(db, fifth)).toMatchObject(shown);
  });

  test("wait where another policy would show them, and are hidden where it would hide them", async ({
    db,
  }) => {
    const first = await register(db, "a");
    await judge(db, first, "shown");
    await decide(db, first);
    const copy = await register(db, "b");
    await judge(db, copy, "shown", { of: first });
    await anew(db, copy, "p2", "shown");
    expect(await stateOf(db, copy)).toEqual(held(first));
    expect(await rows(db, "select policy from photos where id = $1", copy)).toEqual([{ policy: "p2" }]);
    await anew(db, copy, "p3", "hidden");
    expect(await stateOf(db, copy)).toMatchObject({ state: "hidden", rule: "clear" });
    await anew(db, copy, "p4", "shown");
    expect(await stateOf(db, copy)).toEqual(held(first));
  });

  test("are known of what is known by its key alone, and another policy decided last", async ({ db }) => {
    const [first, copy] = [await register(db, "a", ""), await register(db, "b")];
    await judge(db, first, "shown");
    await anew(db, first, "p2", "shown");
    await decide(db, first);
    await judge(db, copy, "shown");
    expect(await stateOf(db, copy)).toEqual(held(first));
  });

  test("wait also where the photo whose scores they have is erased before", async ({ db }) => {
    const [first, second, copy] = [await register(db, "a"), await register(db, "b"), await register(db, "c")];
    await judge(db, first, "shown");
    await judge(db, second, "shown", { of: first });
    await decide(db, second);
    await judge(db, copy, "shown", { of: first });
    await db.pool.query("delete from photos where id = $1", [first]);
    await anew(db, copy, "p2", "shown");
    expect(await stateOf(db, copy)).toEqual(held(second));
  });

  test("wait where a moderator hid them while their verdict waited for another photo of its group", async ({
    db,
  }) => {
    const [first, other, copy] = [await register(db, "a"), await register(db, "b"), await register(db, "c")];
    await judge(db, first, "shown");
    const deciding = await transaction(db);
    for (const id of [first, other]) await deciding.query("select record_review($1, 'ann', 'hidden')", [id]);
    const outcome = judged(copy, "shown");
    const result = { ...outcome.result, digest: DINNER } as Outcome["result"];
    const recorded = recordOutcomes(db.pool, [judged(other, "shown"), { ...outcome, result }]);
    await waitersIn(db, 1);
    await deciding.finish("commit");
    expect((await recorded).get(other)).toEqual({ changed: false });
    expect(await stateOf(db, copy)).toEqual(held(first));
  });

  test("wait where they are shown as a moderator hides them, also by a verdict that is not committed yet", async ({
    db,
  }) => {
    const [first, copy] = [await register(db, "a"), await register(db, "b")];
    await judge(db, first, "shown");
    const judging = await transaction(db);
    await recordOutcomes(judging, [{ ...judged(copy, "shown"), batch: `same-${first}` }]);
    const decided = decide(db, first);
    await waitersIn(db, 1);
    await judging.finish("commit");
    await decided;
    expect(await stateOf(db, copy)).toEqual(held(first));
  });

  test("wait where they are judged as a moderator hides them, and has not committed that yet", async ({
    db,
  }) => {
    const [first, copy] = [await register(db, "a"), await register(db, "b")];
    await judge(db, first, "shown");
    const deciding = await transaction(db);
    await decideReviews(deciding as never, "ann", [decision(first)]);
    const recorded = judge(db, copy, "shown");
    await waitersIn(db, 1);
    await deciding.finish("commit");
    await recorded;
    expect(await stateOf(db, copy)).toEqual(held(first));
  });

  test("wait where a proposal to show them is applied", async ({ db }) => {
    const [first, copy] = [await register(db, "a"), await register(db, "b")];
    await judge(db, first, "shown");
    await judge(db, copy, "hidden");
    const run = await addBackfill(db.pool, { ...ofAll, propose: true });
    await feedAll(db, run);
    for (const id of [first, copy]) await judge(db, id, "shown", { by: "model:m-2", fed: true });
    await endBackfills(db.pool);
    await decide(db, first);
    expect(await applyProposals(db.pool, run, "0", "me", 10)).toMatchObject({ changed: 1 });
    expect(await stateOf(db, copy)).toEqual(held(first));
  });

  test("are no longer shown as other photos, whichever way a model judged these", async ({ db }) => {
    const keys = ["own", "taken over", "withdrawn", "by bob", "hidden", "failed", "pending", "others"];
    const first = await register(db, "a");
    const photos = Object.fromEntries(
      await Promise.all(keys.map(async (key) => [key, await register(db, key)])),
    );
    const before = await register(db, "a", "etag:0");
    await register(db, "a", "etag:1");
    for (const photo of [first, before]) await judge(db, photo, "shown");
    await judge(db, photos["own"], "shown", { by: "model:m-2" });
    for (const key of ["taken over", "withdrawn", "by bob"])
      await judge(db, photos[key], "shown", { of: first });
    await decide(db, photos["by bob"], { verdict: "shown" }, "bob");
    await judge(db, photos["hidden"], "hidden");
    await fail(db, photos["failed"]);
    await judge(db, photos["others"], "shown", { digest: "d2".repeat(32) });
    await removeObject(db, "withdrawn");

    await decide(db, first);

    const states = await rows(db, "select key, version, state, rule from photos order by id");
    expect(
      Object.fromEntries(states.map(({ key, version, state, rule }) => [`${key} ${version}`, [state, rule]])),
    ).toEqual({
      "a etag:1": ["hidden", "moderator"],
      "a etag:0": ["review", "hidden-copy"],
      "own etag:1": ["review", "hidden-copy"],
      "taken over etag:1": ["review", "hidden-copy"],
      "withdrawn etag:1": ["review", "hidden-copy"],
      "by bob etag:1": ["shown", "moderator"],
      "hidden etag:1": ["hidden", "clear"],
      "failed etag:1": ["failed", "failed"],
      "pending etag:1": ["pending", null],
      "others etag:1": ["shown", "clear"],
    });
    expect(await register(db, "withdrawn")).toBe(photos["withdrawn"]);
    expect(await rows(db, "select key from public_photos order by key")).toEqual([
      { key: "by bob" },
      { key: "others" },
    ]);
    expect(await rows(db, "select * from check_rollups()")).toEqual([]);
  });

  test("keep tags and scores as other photos, and are told of; scores count once", async ({ db }) => {
    const [first, copy] = [await register(db, "a"), await register(db, "b")];
    for (const photo of [first, copy]) await judge(db, photo, "shown");
    const about = () =>
      rows(
        db,
        "select t.*, p.category, p.human, p.policy, p.decided_by from photos p join tags t on t.photo_id = p.id where p.id = $1",
        copy,
      );
    const history = () =>
      rows(
        db,
        "select category, human, scores, decided_by, policy from verdicts where photo_id = $1 order by id",
        copy,
      );
    const scores = () => rows(db, "select sum(photos) from score_counts");
    const [tagged, counted] = [await about(), await scores()];
    await webhook(db);
    await decide(db, first);
    expect(await about()).toEqual(tagged);
    expect(await scores()).toEqual(counted);
    const [given, since] = await history();
    expect(since).toEqual(given);
    expect(
      (await outbox(db)).map(({ photo_id, payload }) => [photo_id, payload.state, payload.public]),
    ).toEqual([
      [first, "hidden", false],
      [copy, "review", false],
    ]);
  });

  test("wait for a moderator also after another one takes a decision back", async ({ db }) => {
    const [first, copy, third] = [await register(db, "a"), await register(db, "b"), await register(db, "c")];
    for (const photo of [first, copy]) await judge(db, photo, "shown");
    const hid = await decide(db, first);
    await undoReview(db.pool, "ann", hid, 60);
    expect(await stateOf(db, first)).toMatchObject(shown);
    expect(await stateOf(db, copy)).toEqual(held(first));

    const [again] = [await decide(db, first), await decide(db, copy)];
    await webhook(db);
    await undoReview(db.pool, "ann", again, 60);
    expect(await stateOf(db, first)).toEqual(held(copy));
    expect((await outbox(db)).map(({ payload }) => payload.state)).toEqual(["review"]);

    const showed = await decide(db, first, { verdict: "shown" }, "bob");
    await judge(db, third, "shown", { of: copy });
    expect(await stateOf(db, third)).toMatchObject(shown);
    await undoReview(db.pool, "bob", showed, 60);
    for (const photo of [first, third]) expect(await stateOf(db, photo)).toEqual(held(copy));
    expect(await rows(db, "select * from check_rollups()")).toEqual([]);
  });

  test("wait where a run that hid them is rolled back", async ({ db }) => {
    const [first, copy, bobs] = [await register(db, "a"), await register(db, "b"), await register(db, "c")];
    for (const photo of [first, copy, bobs]) await judge(db, photo, "shown");
    const run = await addBackfill(db.pool, ofAll);
    await feedAll(db, run);
    for (const photo of [first, copy, bobs]) await judge(db, photo, "hidden", { by: "model:m-2", fed: true });
    await endBackfills(db.pool);
    await decide(db, bobs, { verdict: "shown" }, "bob");
    await decide(db, first);
    await webhook(db);
    expect(await rollbackBackfill(db.pool, run, "0", "oda")).toMatchObject({ restored: 1 });
    expect((await outbox(db)).map(({ payload }) => payload.state)).toEqual(["review"]);
    expect(await stateOf(db, copy)).toEqual(held(first));
    expect(await stateOf(db, bobs)).toMatchObject({ state: "shown", rule: "moderator" });
    expect(await rows(db, "select decided_by from photos where id = $1", copy)).toEqual([
      { decided_by: "model:m-1" },
    ]);
  });

  test("are of the run that had shown them, so that its rollback restores what was before", async ({
    db,
  }) => {
    const [first, copy] = [await register(db, "a"), await register(db, "b")];
    for (const photo of [first, copy]) await judge(db, photo, "hidden");
    const run = await addBackfill(db.pool, ofAll);
    await feedAll(db, run);
    for (const photo of [first, copy]) await judge(db, photo, "shown", { by: "model:m-2", fed: true });
    await endBackfills(db.pool);
    await decide(db, first);
    expect(await stateOf(db, copy)).toEqual(held(first));
    await rollbackBackfill(db.pool, run, "0", "oda");
    expect(await stateOf(db, copy)).toMatchObject({ state: "hidden", rule: "clear" });
  });

  test("are no longer shown as other photos where they become known only while a moderator hides them", async ({
    db,
  }) => {
    const [first, copy] = [await register(db, "a"), await register(db, "b")];
    await judge(db, copy, "shown");
    const judging = await transaction(db);
    const outcome = judged(first, "shown");
    const result = { ...outcome.result, digest: DINNER } as Outcome["result"];
    await recordOutcomes(judging, [{ ...outcome, result }]);
    const decided = decide(db, first);
    await waitersIn(db, 1);
    await judging.finish("commit");
    await decided;
    expect(await stateOf(db, copy)).toEqual(held(first));
  });

  test("are no longer shown as a photo that somebody only refers to at that moment", async ({ db }) => {
    const [first, copy] = [await register(db, "a"), await register(db, "b")];
    await judge(db, first, "shown");
    const [judging, committing, referring] = [
      await db.pool.connect(),
      await db.pool.connect(),
      await db.pool.connect(),
    ];
    await judging.query("begin");
    await recordOutcomes(judging, [{ ...judged(copy, "shown"), batch: `same-${first}` }]);
    // as who commits verdicts of others
    await committing.query("begin");
    await committing.query("select pg_advisory_xact_lock_shared(hashtext('maitred hidden copies'))");
    const decided = decide(db, first);
    await waitersIn(db, 1);
    await judging.query("commit");
    await referring.query("begin");
    await referring.query("insert into appeals (photo_id, reason, by) values ($1, 'mine', 'me')", [copy]);
    await committing.query("commit");
    await decided;
    await referring.query("commit");
    for (const client of [judging, committing, referring]) client.release();
    expect(await stateOf(db, copy)).toEqual(held(first));
  });

  test("wait once they are judged anew, in the same way, where they were shown meanwhile", async ({ db }) => {
    const [first, copy] = [await register(db, "a"), await register(db, "b")];
    for (const id of [first, copy]) await judge(db, id, "shown");
    // by hand, which holds no copies
    await db.pool.query("select record_review($1, 'ann', 'hidden')", [first]);
    expect(await stateOf(db, copy)).toMatchObject(shown);
    expect(await judge(db, copy, "shown")).toEqual({ changed: true, held: held(first).reason });
    expect(await stateOf(db, copy)).toEqual(held(first));
    expect(await judge(db, copy, "shown")).toEqual({ changed: false });
  });

  test("are not shown by a moderator who had a copy in hand, and was not told", async ({ db }) => {
    const [first, copy, other] = [await register(db, "a"), await register(db, "b"), await register(db, "c")];
    for (const id of [first, copy]) await judge(db, id, "shown");
    const newest = async () =>
      (await rows(db, "select max(id)::text as id from verdicts where photo_id = $1", copy))[0].id as string;
    const seen = await newest();
    await decide(db, first);
    const show = (asOf: string, ...more: string[]) =>
      decideReviews(db.pool, "bob", [
        ...more.map((id) => decision(id)),
        decision(copy, { verdict: "shown", asOf }),
      ]);
    const [decided, answer] = await show(seen, other);
    expect([decided!.photo, decided!.outcome]).toEqual([other, "done"]);
    expect(answer).toMatchObject({ photo: copy, outcome: "changed", by: "ann", state: "review" });
    expect(answer!.asOf).toBe(await newest());
    expect(await stateOf(db, copy)).toEqual(held(first));
    // whatever a model says of it since
    await judge(db, copy, "review", { by: "model:m-2" });
    expect(await show(seen)).toMatchObject([{ outcome: "changed", by: "ann" }]);
    expect(await show(await newest())).toMatchObject([{ outcome: "done", state: "shown" }]);
  });

  test("are not shown by a moderator who is asked about a copy, and was not told", async ({ db }) => {
    const [first, copy] = [await register(db, "a"), await register(db, "b")];
    for (const id of [first, copy]) await judge(db, id, "review");
    const [{ seen }] = await rows(db, "select max(id)::text as seen from verdicts");
    await decide(db, first);
    const show = (asOf: string) =>
      decideReviews(db.pool, "bob", [decision(copy, { verdict: "shown", asOf })]);
    const [answer] = await show(seen);
    expect(answer).toMatchObject({ outcome: "changed", by: "ann", state: "review" });
    expect(await stateOf(db, copy)).toEqual(held(first));
    // what the page asks for again is as of that
    const [{ newest }] = await rows(
      db,
      "select max(id)::text as newest from verdicts where photo_id = $1",
      copy,
    );
    expect(newest).toBe(answer!.asOf);
    expect(await show(answer!.asOf!)).toMatchObject([{ outcome: "done", state: "shown" }]);
    expect(await rows(db, "select * from check_rollups()")).toEqual([]);
  });

  test("are shown by the moderator who hid them, as which photo they like", async ({ db }) => {
    const [first, copy] = [await register(db, "a"), await register(db, "b")];
    for (const id of [first, copy]) await judge(db, id, "review");
    const [{ seen }] = await rows(db, "select max(id)::text as seen from verdicts");
    await decide(db, first);
    await decide(db, copy, { verdict: "shown", asOf: seen });
    expect(await stateOf(db, copy)).toMatchObject({ state: "shown", rule: "moderator" });
  });

  test("are not decided for who holds a copy, or of what was uploaded again since", async ({ db }) => {
    const first = await register(db, "a");
    const [taken, free] = [await register(db, "b"), await register(db, "d")];
    const replaced = await register(db, "c", "");
    for (const id of [first, taken, free]) await judge(db, id, "shown");
    await judge(db, replaced, "shown", { digest: "d2".repeat(32) });
    const [{ seen }] = await rows(db, "select max(id)::text as seen from verdicts");
    await decide(db, first);
    await db.pool.query("update photos set revived_at = clock_timestamp() where id = $1", [replaced]);
    await judge(db, replaced, "shown", { by: "model:m-2" });
    expect(await stateOf(db, replaced)).toEqual(held(first));
    const until = "now() + interval '1 minute'";
    await db.pool.query(
      `insert into review_claims (photo_id, moderator, kind, until) values ($1, 'cy', 'human', ${until})`,
      [taken],
    );
    const answers = await decideReviews(
      db.pool,
      "bob",
      [taken, replaced].map((id) => decision(id, { verdict: "shown", asOf: seen })),
    );
    expect(answers.map(({ outcome, by }) => [outcome, by])).toEqual([
      ["taken", "cy"],
      ["withdrawn", null],
    ]);
    // whoever hides it too needs not be told, of whichever bytes
    const hides = [free, replaced].map((id) => decision(id, { verdict: "hidden", asOf: seen }));
    const hid = { outcome: "done", state: "hidden" };
    expect(await decideReviews(db.pool, "bob", hides)).toMatchObject([hid, hid]);
  });

  test("wait as a photo of which a rendition is judged later", async ({ db }) => {
    const [first, copy, small] = [await register(db, "a"), await register(db, "b"), await register(db, "c")];
    for (const id of [first, copy]) await judge(db, id, "shown");
    // who saw the bytes of the rendition before does not overrule who hid those of the photo
    await judge(db, small, "shown", { digest: "d3".repeat(32) });
    await decide(db, small, { verdict: "shown" });
    await decide(db, first);
    await judge(db, copy, "shown", { by: "model:m-2", digest: "d3".repeat(32), rendition: true });
    expect(await stateOf(db, copy)).toEqual(held(first));
    const [said] = await rows(
      db,
      "select encode(digest, 'hex') as digest from verdicts order by id desc limit 1",
    );
    expect(said.digest).toBe("d3".repeat(32));
  });

  test("are hidden by two moderators at once, and judged meanwhile, while nobody waits in a circle", async ({
    db,
  }) => {
    const photos: string[] = [];
    for (let n = 0; n < 12; n += 1) photos.push(await register(db, `${n}`));
    for (const [n, photo] of photos.entries())
      await judge(db, photo, "shown", n % 2 ? { of: photos[n - 1]! } : {});
    const group = (by: string) =>
      photos.map((photo) => {
        const outcome = judged(photo, "shown", by);
        return { ...outcome, result: { ...outcome.result, digest: DINNER } as Outcome["result"] };
      });
    const hide = (by: string, ...ids: string[]) =>
      decideReviews(
        db.pool,
        by,
        ids.map((id) => decision(id)),
      );
    await Promise.all([
      ...[2, 3, 4, 5].map((n) => recordOutcomes(db.pool, group(`model:m-${n}`))),
      hide("ann", photos[7]!, photos[2]!),
      hide("bob", photos[3]!, photos[8]!),
      hide("cy", photos[11]!),
    ]);
    const states = await rows(db, "select state, count(*)::int as photos from photos group by 1 order by 1");
    expect(states).toEqual([
      { state: "hidden", photos: 5 },
      { state: "review", photos: 7 },
    ]);
    expect(await rows(db, "select * from check_rollups()")).toEqual([]);
  });

  test("are held a thousand photos at a time", async ({ db }) => {
    const first = await register(db, "a");
    await judge(db, first, "shown");
    await db.pool.query(
      `with copies as (
        insert into photos (store, bucket, key, state, rule, category, decided_by, decided_at)
        select 's3', 'b', n, 'shown', 'clear', 'food', 'model:m-1', now() from generate_series(1, 1200) n returning id)
      insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, batch)
      select c.id, 'shown', 'clear', 'because', 'food', v.human, v.scores, v.decided_by, 'same-' || v.photo_id
      from copies c, (select * from verdicts order by id desc limit 1) v`,
    );
    await decide(db, first);
    const waiting = async () =>
      (await rows(db, "select id from photos where rule = 'hidden-copy'")).map(({ id }) => id);
    const thousand = await waiting();
    expect(thousand).toHaveLength(1000);
    await decide(db, thousand[0]);
    expect(await waiting()).toHaveLength(1199);
  });
});
