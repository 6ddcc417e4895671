import { randomUUID } from "node:crypto";
import { expect } from "vitest";
import { createToken } from "../../src/http/tokens.ts";
import { addToken } from "../../src/store/tokens.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { judged, test } from "../desk.ts";
import { claim, decide, type Held, idsOf, labels, lapse, photo, tags, undo } from "../desk-reviews.ts";
import { judged as recorded } from "../verdicts.ts";

test("a decision sets the verdict, is in history with its moderator, and becomes a label", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  const [id] = await judged(db, [{ category: "ambience" }]);
  const ann = await desk.signIn("ann", "review");
  const [{ asOf }] = (await claim(ann)) as [Held];
  const decision = { id: randomUUID(), photo: id, verdict: "hidden", category: "food", human: true, asOf };
  const [answer] = await decide(ann, { ...decision, note: "a waiter in the mirror" });
  expect(answer).toMatchObject({ id: decision.id, photo: id, outcome: "done", by: null, state: "hidden" });
  expect(await photo(db, id!)).toMatchObject({
    state: "hidden",
    category: "food",
    rule: "moderator",
    reason: "a waiter in the mirror",
    decided_by: "moderator:ann",
  });
  expect(await labels(db)).toMatchObject([
    {
      id,
      origin: "moderator",
      by: "moderator:ann",
      category: "food",
      human: true,
      model: { verdict: "review" },
    },
  ]);
  expect(await claim(ann)).toEqual([]);
  const whole = (await ann.ask("GET", `/desk/api/photos/${id}`)).body;
  expect(whole.history).toMatchObject([
    { by: "model:restaurant-6", verdict: "review", saw: null },
    { by: "moderator:ann", verdict: "hidden", saw: { human: true, audit: false } },
  ]);
});

test("a decision that is sent again, also at the same moment, counts once", async ({ openDesk, db }) => {
  const desk = await openDesk();
  const [id, other] = await judged(db, [{}, {}]);
  const [ann, bob] = [await desk.signIn("ann", "review"), await desk.signIn("bob", "review")];
  const decision = { id: randomUUID(), photo: id, verdict: "shown" };
  const answers = (await Promise.all([1, 2, 3, 4].map(() => decide(ann, decision)))).flat();
  expect(answers.map(({ outcome }) => outcome).sort()).toEqual(["done", "known", "known", "known"]);
  expect(new Set(answers.map(({ asOf }) => asOf)).size).toBe(1);
  expect(await decide(ann, { ...decision, photo: other })).toMatchObject([
    { outcome: "clash", state: "review" },
  ]);
  expect(await decide(bob, decision)).toMatchObject([{ outcome: "clash" }]);
  expect((await db.pool.query("select 1 from reviews")).rowCount).toBe(1);
});

test("of many decisions each counts for itself, and says what stood in its way", async ({ openDesk, db }) => {
  const desk = await openDesk();
  const [mine, his, changed, free] = await judged(db, Array(4).fill({}));
  const [ann, bob] = [await desk.signIn("ann", "review"), await desk.signIn("bob", "review")];
  const asOf = new Map((await claim(ann)).map((held) => [held.id, held.asOf]));
  await ann.ask("POST", "/desk/api/review/claims/release", { photos: [his, changed, free] });
  await decide(bob, { id: randomUUID(), photo: changed, verdict: "hidden" });
  expect(idsOf(await claim(bob, 1))).toEqual([his]);

  const answers = await decide(
    ann,
    ...[free, his, "999999", changed, mine].map((id) => {
      return { id: randomUUID(), photo: id, verdict: "shown", asOf: asOf.get(id!) ?? null };
    }),
  );
  expect(answers).toMatchObject([
    { photo: free, outcome: "done", state: "shown" },
    { photo: his, outcome: "taken", by: "bob", state: "review" },
    { photo: "999999", outcome: "gone", state: null },
    { photo: changed, outcome: "changed", by: "bob", state: "hidden" },
    { photo: mine, outcome: "done", state: "shown" },
  ]);
  // who has seen what the other decided may decide otherwise
  const seen = answers[3].asOf;
  expect(await decide(ann, { id: randomUUID(), photo: changed, verdict: "shown", asOf: seen })).toMatchObject(
    [{ outcome: "done", state: "shown" }],
  );
});

test("what was replaced or removed meanwhile is not decided any more, and its moderator is told", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  const [gone, known] = await judged(db, [{}, {}]);
  const ann = await desk.signIn("ann", "review");
  await claim(ann);
  const before = { id: randomUUID(), photo: known, verdict: "hidden" };
  await decide(ann, before);
  await db.pool.query("update photos set superseded_at = now()");
  const decision = { id: randomUUID(), photo: gone, verdict: "shown" };
  expect(await decide(ann, decision, before)).toMatchObject([
    { photo: gone, outcome: "withdrawn", by: null, state: "review" },
    // it counted when it was made
    { photo: known, outcome: "known", state: "hidden" },
  ]);
  expect((await photo(db, gone!)).state).toBe("review");
  expect((await labels(db)).map(({ id }) => id)).toEqual([known]);
});

test("a decision counts though the lease ended, a model judged anew meanwhile, and no model undoes it", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  const [id] = await judged(db, [{}]);
  const ann = await desk.signIn("ann", "review");
  const [{ asOf }] = (await claim(ann)) as [Held];
  await lapse(db);
  await recordOutcomes(db.pool, [recorded(id!, "shown", "model:m-9")]);
  // what another held it for is not what she looked for
  await db.pool.query("update review_claims set moderator = 'bob', kind = 'audit'");
  expect(await decide(ann, { id: randomUUID(), photo: id, verdict: "hidden", asOf })).toMatchObject([
    { outcome: "done", state: "hidden" },
  ]);
  expect((await db.pool.query("select kind from review_decisions")).rows).toEqual([{ kind: null }]);
  const again = recorded(id!, "shown", "model:m-10");
  expect(await recordOutcomes(db.pool, [again])).toEqual(new Map([[id, { changed: false }]]));
});

test("taking a decision back restores the photo, its tags and its appeal, teaches nothing, and history keeps both", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  const [id] = await judged(db, [{ category: "ambience", state: "shown" }]);
  const [ann, bob] = [await desk.signIn("ann", "review"), await desk.signIn("bob", "review")];
  await ann.ask("POST", `/desk/api/photos/${id}/appeal`, { reason: "it is me" });
  await claim(ann);
  const [before, tagsBefore] = [await photo(db, id!), await tags(db, id!)];
  const decision = { id: randomUUID(), photo: id, verdict: "hidden", category: "food", human: true };
  await decide(ann, decision);
  expect(await labels(db)).toHaveLength(1);
  expect((await undo(bob, decision.id)).outcome).toBe("gone");

  const undone = await undo(ann, decision.id);
  expect(undone).toMatchObject({ outcome: "done", photo: { id, kind: "appeal", state: "shown" } });
  expect(undone.photo.appeal).toMatchObject({ reason: "it is me", by: "ann" });
  expect([await photo(db, id!), await tags(db, id!)]).toEqual([before, tagsBefore]);
  expect(await labels(db)).toEqual([]);
  expect(await claim(bob)).toEqual([]);
  const { history } = (await ann.ask("GET", `/desk/api/photos/${id}`)).body;
  expect(history.map(({ rule, by }: { rule: string; by: string }) => [rule, by])).toEqual([
    ["clear", "model:restaurant-6"],
    ["moderator", "moderator:ann"],
    ["undo", "model:restaurant-6"],
  ]);

  expect((await undo(ann, decision.id)).outcome).toBe("known");
  expect(await decide(ann, decision)).toMatchObject([{ outcome: "changed", by: "ann", state: "shown" }]);
  expect(await decide(ann, { ...decision, id: randomUUID() })).toMatchObject([{ outcome: "done" }]);
  const { entries } = (await (await desk.signIn("oda", "operate")).ask("GET", "/desk/api/audit")).body;
  const acts = entries.map(({ who, did }: { who: string; did: string }) => `${who} ${did}`);
  expect(acts.toReversed().filter((act: string) => !act.includes("signed"))).toEqual([
    "ann appealed",
    "ann decided",
    "ann undone",
    "ann decided",
  ]);
});

test("a decision is not taken back once another moderator has decided", async ({ openDesk, db }) => {
  const desk = await openDesk();
  const [id] = await judged(db, [{}]);
  const [ann, bob] = [await desk.signIn("ann", "review"), await desk.signIn("bob", "review")];
  const decision = { id: randomUUID(), photo: id, verdict: "hidden" };
  await decide(ann, decision);
  await decide(bob, { id: randomUUID(), photo: id, verdict: "shown" });
  expect(await undo(ann, decision.id)).toMatchObject({
    outcome: "changed",
    photo: { state: "shown", by: "moderator:bob" },
  });
});

test("what another moderator decided long before, and an undo restored, is in nobody's way", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  const [id] = await judged(db, [{}]);
  const [ann, bob] = [await desk.signIn("ann", "review"), await desk.signIn("bob", "review")];
  await decide(bob, { id: randomUUID(), photo: id, verdict: "hidden" });
  await ann.ask("POST", `/desk/api/photos/${id}/appeal`, { reason: "look again" });
  const [{ asOf }] = (await claim(ann)) as [Held];
  const wrong = { id: randomUUID(), photo: id, verdict: "hidden", asOf };
  await decide(ann, wrong);
  await undo(ann, wrong.id);
  // decided before the page had heard what the photo was after the undo
  const meant = { id: randomUUID(), photo: id, verdict: "shown", asOf };
  expect(await decide(ann, meant)).toMatchObject([{ outcome: "done", state: "shown" }]);
  await undo(ann, meant.id);
  await lapse(db);
  await decide(bob, { id: randomUUID(), photo: id, verdict: "hidden" });
  expect(await decide(ann, { ...meant, id: randomUUID() })).toMatchObject([
    { outcome: "changed", by: "bob", state: "hidden" },
  ]);
});

test("a decision answers the appeal that was seen, and none that came meanwhile", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk({ MAITRED_AUDIT_PER_MILLE: "0" });
  const [id] = await judged(db, [{}]);
  const [ann, bob] = [await desk.signIn("ann", "review"), await desk.signIn("bob", "review")];
  expect(await claim(ann)).toMatchObject([{ id, kind: "human", appeal: null }]);
  await bob.ask("POST", `/desk/api/photos/${id}/appeal`, { reason: "that is me in the mirror" });
  await decide(ann, { id: randomUUID(), photo: id, verdict: "shown", human: false });
  const [again] = await claim(bob);
  expect(again).toMatchObject({ id, kind: "appeal", appeal: { reason: "that is me in the mirror" } });
  // of the photo's own page, where it is not held
  await bob.ask("POST", "/desk/api/review/claims/release", { photos: [id] });
  const appeal = (again as unknown as { appeal: { at: string } }).appeal.at;
  await decide(ann, { id: randomUUID(), photo: id, verdict: "hidden", human: true, appeal });
  expect(await claim(bob)).toEqual([]);
});

test("an appeal asks a person and leaves the verdict as it is, until a moderator decides", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk({ MAITRED_AUDIT_PER_MILLE: "0" });
  const [id, gone] = await judged(db, [{ state: "hidden" }, { state: "hidden" }]);
  await db.pool.query("update photos set superseded_at = now() where id = $1", [gone]);
  const ann = await desk.signIn("ann", "review");
  const appeal = (photoId: string | undefined) =>
    ann.ask("POST", `/desk/api/photos/${photoId}/appeal`, { reason: "a statue" });
  const [first, second] = [await appeal(id), await appeal(id)];
  expect(first.body).toMatchObject({ photo: id, open: true });
  expect(second.body).toEqual(first.body);
  expect((await appeal(gone)).status).toBe(404);
  expect((await photo(db, id!)).state).toBe("hidden");
  expect(await claim(ann)).toMatchObject([
    { id, kind: "appeal", state: "hidden", appeal: { reason: "a statue", by: "ann" } },
  ]);
  await decide(ann, { id: randomUUID(), photo: id, verdict: "shown", human: false });
  expect(await claim(ann)).toEqual([]);
  const { appeals } = (await ann.ask("GET", `/desk/api/photos/${id}`)).body;
  expect(appeals).toMatchObject([{ reason: "a statue", answeredAt: expect.any(String) }]);
});

test("whom the platform says that an appeal is of is not taken for somebody at the desk", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  const uploads = createToken();
  await addToken(db.pool, { ...uploads, name: "uploads", scopes: ["ingest"] });
  const ann = await desk.signIn("ann", "review");
  const authorization = `Bearer ${uploads.token}`;
  const [id] = await judged(db, [{ state: "hidden" }]);
  const read = async () => (await ann.ask("GET", `/desk/api/photos/${id}`)).body;
  for (const [by, shown] of [
    ["ann", "ann, says token uploads"],
    ["moderator:ann", "moderator:ann, says token uploads"],
    [undefined, "token uploads"],
  ]) {
    const said = { reason: "a statue", ...(by && { by }) };
    expect((await desk.ask("POST", `/v1/photos/${id}/appeal`, said, { authorization })).status).toBe(201);
    const { appeal } = await read();
    expect(appeal.by).toBe(shown);
    await decide(ann, { id: randomUUID(), photo: id, verdict: "hidden", human: true, appeal: appeal.at });
  }
  await ann.ask("POST", `/desk/api/photos/${id}/appeal`, { reason: "a statue" });
  const { appeals } = await read();
  expect(appeals.map(({ by }: { by: string }) => by)).toEqual([
    "ann, says token uploads",
    "moderator:ann, says token uploads",
    "token uploads",
    "ann",
  ]);
  // whoever told is known, whatever becomes of the token
  await db.pool.query("delete from tokens where id = $1", [uploads.id]);
  expect((await read()).appeals[0].by).toBe(`ann, says token ${uploads.id}`);
});

test("throughput counts what a moderator decided and did not take back", async ({ openDesk, db }) => {
  const desk = await openDesk();
  const ids = await judged(db, Array(4).fill({}));
  const ann = await desk.signIn("ann", "review");
  const decisions = ids.map((id) => ({ id: randomUUID(), photo: id, verdict: "shown" }));
  await decide(ann, ...decisions);
  await undo(ann, decisions[0]!.id);
  await db.pool.query("update review_decisions set at = now() - interval '2 hours' where id = $1", [
    decisions[1]!.id,
  ]);
  expect((await ann.ask("GET", "/desk/api/review/throughput")).body).toEqual({
    lastHour: 2,
    since: 3,
    undone: 1,
  });
});

test("a decision that makes no sense is refused before anything is done", async ({ openDesk, db }) => {
  const desk = await openDesk();
  const [id] = await judged(db, [{}]);
  const ann = await desk.signIn("ann", "review");
  const good = { id: randomUUID(), photo: id, verdict: "shown" };
  for (const wrong of [
    { ...good, verdict: "review" },
    { ...good, id: "1" },
    { ...good, photo: "x" },
    { ...good, category: "pets" },
    { ...good, asOf: "now" },
    { ...good, note: "zero \0" },
    { ...good, more: 1 },
  ]) {
    const { status } = await ann.ask("POST", "/desk/api/review/decisions", { decisions: [good, wrong] });
    expect(status, JSON.stringify(wrong)).toBe(400);
  }
  expect((await photo(db, id!)).state).toBe("review");
});

test("the role of workers, as which the API may run, may do all that the desk does", async ({ db }) => {
  const [id] = await judged(db, [{}]);
  const client = await db.pool.connect();
  try {
    await client.query("set role maitred_worker");
    const [session, decision] = ["0123456789ab", randomUUID()];
    await client.query("select start_session($1, '', 'token:t', 'ann', array['moderator'], 60)", [session]);
    await client.query("update desk_sessions set seen_at = now()");
    await client.query("select open_appeal($1, 'no', 'ann', 'ann')", [id]);
    const parts = JSON.stringify([{ kinds: ["appeal", "human", "audit"], most: 5 }]);
    const claimed = await client.query("select * from claim_reviews('ann', '', $1, 5, 60, 5)", [parts]);
    expect(claimed.rows).toMatchObject([{ photo_id: id }]);
    for (const item of [
      { id: decision, photo: id, verdict: "hidden", category: "menu" },
      { id: randomUUID(), photo: id, verdict: "unsure" },
    ]) {
      const decided = await client.query("select * from decide_reviews('ann', $1)", [JSON.stringify([item])]);
      expect(decided.rows).toMatchObject([{ outcome: "done" }]);
      const undone = await client.query("select * from undo_review('ann', $1, 60)", [item.id]);
      expect(undone.rows).toMatchObject([{ outcome: "done" }]);
    }
    const found = await client.query("select photos_by_key(null, '42') as id, photo_id_at(now()) as at");
    expect(found.rows).toMatchObject([{ id }]);
    expect(
      (await client.query("select end_session($1, 'ann', 'signed-out') as ended", [session])).rows,
    ).toEqual([{ ended: true }]);
  } finally {
    await client.query("reset role");
    client.release();
  }
});
