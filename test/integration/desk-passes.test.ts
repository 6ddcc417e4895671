import { randomUUID } from "node:crypto";
import { expect } from "vitest";
import { forgetObjects } from "../../src/store/forget.ts";
import { judged, type Person, test } from "../desk.ts";
import { claim, decide, idsOf, lapse, photo, undo } from "../desk-reviews.ts";
import { type Database, rows, transaction } from "../fixtures.ts";
import { until } from "../waits.ts";

/** What a page sends where somebody is not sure of a photo. */
const pass = (id: string | undefined, asOf: string | null = null) => ({
  ...{ id: randomUUID(), photo: id, verdict: "unsure", asOf },
});
const aDayLater = (db: Database) =>
  db.pool.query("update review_passes set passed_at = now() - interval '1 day'");
const release = (person: Person, photos: string[]) =>
  person.ask("POST", "/desk/api/review/claims/release", { photos });

test("a photo that somebody was not sure of stays as it is, goes to another at once, and to the same again after a day", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  const [id, other] = (await judged(db, [{}, {}])) as [string, string];
  const [ann, bob] = [await desk.signIn("ann", "review"), await desk.signIn("bob", "review")];
  expect(idsOf(await claim(ann))).toEqual([id, other]);
  const before = await photo(db, id);
  const act = pass(id);
  expect(await decide(ann, act)).toMatchObject([{ id: act.id, photo: id, outcome: "done", state: "review" }]);
  expect(await photo(db, id)).toEqual(before);
  expect((await rows(db, "select from verdicts where photo_id = $1", id)).length).toBe(1);

  expect(await claim(bob)).toMatchObject([{ id, kind: "human", unsureBy: ["ann"] }]);
  await release(bob, [id]);
  // though she asks for one only, and it waits longest
  expect(idsOf(await claim(ann))).toEqual([other]);
  await release(ann, [other]);
  expect(idsOf(await claim(ann, 1))).toEqual([other]);
  await aDayLater(db);
  expect(idsOf(await claim(ann))).toEqual([other, id]);
  const { passes } = (await ann.ask("GET", `/desk/api/photos/${id}`)).body;
  expect(passes).toMatchObject([{ by: "ann" }]);
});

test("a decision or another verdict ends that somebody was not sure, also of one that was looked at before it", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  const [id, other] = (await judged(db, [{}, {}])) as [string, string];
  const [ann, bob] = [await desk.signIn("ann", "review"), await desk.signIn("bob", "review")];
  const [first] = await claim(ann);
  // as a page cannot know of a verdict to come
  await decide(ann, pass(id, "999999"), pass(other));
  const decision = { id: randomUUID(), photo: id, verdict: "shown" };
  expect(await decide(bob, decision)).toMatchObject([{ outcome: "done", state: "shown" }]);
  const unsure = async () => (await ann.ask("GET", `/desk/api/photos/${id}`)).body.unsureBy;
  expect(await unsure()).toEqual([]);
  await undo(bob, decision.id);
  await release(bob, [id]);
  expect(idsOf(await claim(ann))).toEqual([id]);
  // it comes late, is of what the photo was, and takes nothing from the page that has it by now
  expect(await decide(ann, pass(id, first!.asOf))).toMatchObject([{ outcome: "done" }]);
  expect(idsOf(await claim(bob))).toEqual([other]);
  await lapse(db);
  expect(await unsure()).toEqual([]);
  expect(idsOf(await claim(ann))).toEqual([id]);
});

test("that somebody is not sure counts once, however often it is sent, and gives back no other's photo", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  const [id, other] = (await judged(db, [{}, {}])) as [string, string];
  const [ann, bob] = [await desk.signIn("ann", "review"), await desk.signIn("bob", "review")];
  expect(idsOf(await claim(bob, 1))).toEqual([id]);
  const act = pass(id);
  const answers = (await Promise.all([1, 2, 3].map(() => decide(ann, act)))).flat();
  expect(answers.map(({ outcome }) => outcome).sort()).toEqual(["done", "known", "known"]);
  const { photos } = (await bob.ask("POST", "/desk/api/review/claims/renew", { photos: [id] })).body;
  expect(photos).toEqual([id]);
  expect(await claim(bob, 1)).toMatchObject([{ id, unsureBy: ["ann"] }]);
  for (const [who, clash] of [
    [ann, { ...act, photo: other }],
    [bob, act],
    [ann, { ...act, verdict: "shown" }],
  ] as const)
    expect(await decide(who, clash)).toMatchObject([{ outcome: "clash" }]);
  const decision = { id: randomUUID(), photo: other, verdict: "hidden" };
  await decide(ann, decision);
  expect(await decide(ann, { ...decision, verdict: "unsure" })).toMatchObject([{ outcome: "clash" }]);
  expect(await decide(ann, pass("999999"))).toMatchObject([{ outcome: "gone" }]);
  expect((await rows(db, "select did from audit_log where did = 'passed'")).length).toBe(1);
});

test("a claim that comes while a photo is left to another does not take it again", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  const [id, other] = (await judged(db, [{}, {}])) as [string, string];
  const ann = await desk.signIn("ann", "review");
  expect(idsOf(await claim(ann, 1))).toEqual([id]);
  const client = await transaction(db);
  await client.query("select * from commit_decisions('ann', $1)", [JSON.stringify([pass(id)])]);
  const claimed = claim(ann, 1);
  await until(async () => (await rows(db, "select from pg_locks where not granted")).length > 0);
  await client.finish("commit");
  expect(idsOf(await claimed)).toEqual([other]);
});

test("who was not sure takes it back once, and has the photo again unless another has it", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  const [id] = (await judged(db, [{}])) as [string];
  const [ann, bob] = [await desk.signIn("ann", "review"), await desk.signIn("bob", "review")];
  await claim(ann);
  const act = pass(id);
  await decide(ann, act);
  expect(await undo(bob, act.id)).toMatchObject({ outcome: "gone" });
  expect(await undo(ann, act.id)).toMatchObject({
    outcome: "done",
    photo: { id, kind: "human", unsureBy: [] },
  });
  expect((await ann.ask("GET", `/desk/api/photos/${id}`)).body).toMatchObject({ unsureBy: [], passes: [] });
  expect(await claim(bob)).toEqual([]);
  expect(await undo(ann, act.id)).toMatchObject({ outcome: "known", photo: { id, kind: "human" } });
  expect(await decide(ann, act)).toMatchObject([{ outcome: "changed", by: "ann" }]);
  await release(ann, [id]);
  expect(idsOf(await claim(ann))).toEqual([id]);

  const again = pass(id);
  await decide(ann, again);
  await claim(bob);
  expect(await undo(ann, again.id)).toMatchObject({ outcome: "done", photo: { id, kind: null } });
  expect(idsOf(await claim(bob))).toEqual([id]);
  const besides = pass(id);
  await decide(ann, besides);
  await release(bob, [id]);
  // she did not hold it
  expect(await undo(ann, besides.id)).toMatchObject({ outcome: "done", photo: { id, kind: null } });
  expect(idsOf(await claim(ann))).toEqual([id]);
  const third = pass(id);
  await decide(ann, third);
  await decide(bob, { id: randomUUID(), photo: id, verdict: "hidden" });
  // it counted for nothing any more
  expect(await undo(ann, third.id)).toMatchObject({
    outcome: "done",
    photo: { state: "hidden", kind: null },
  });
  expect(await claim(ann)).toEqual([]);
});

test("appeals come to who was not sure of others in their order, and what is forgotten leaves no pass", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  const [last, passed, first] = (await judged(db, Array(3).fill({ state: "hidden" }))) as string[];
  const ann = await desk.signIn("ann", "review");
  for (const id of [passed, first, last])
    await ann.ask("POST", `/desk/api/photos/${id}/appeal`, { reason: "a statue" });
  await decide(ann, pass(passed));
  expect(idsOf(await claim(ann, 1, ["appeal"]))).toEqual([first]);
  await release(ann, [first!]);
  await db.pool.query("update appeals set answered_at = now() where photo_id = $1", [passed]);
  await ann.ask("POST", `/desk/api/photos/${passed}/appeal`, { reason: "it is a statue" });
  // another question than the one that she was not sure of
  expect(await claim(ann, 3, ["appeal"])).toMatchObject([
    { id: last },
    { id: passed, unsureBy: [] },
    { id: first },
  ]);
  await release(ann, [passed!]);
  const [object] = await rows(db, "select store, bucket, key from photos where id = $1", passed);
  expect((await forgetObjects(db.pool, [object], "ann", false)).counts).toMatchObject({ review_passes: 1 });
  expect(await rows(db, "select * from review_passes")).toEqual([]);
});
