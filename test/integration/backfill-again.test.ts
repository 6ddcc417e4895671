import { describe, expect } from "vitest";
import { statusLines } from "../../src/cli/backfill-report.ts";
import type { Verdict } from "../../src/photo.ts";
import { readBackfillCounts, sampleBackfillChanges } from "../../src/store/backfill-counts.ts";
import { endBackfills, feedBackfill } from "../../src/store/backfill-feed.ts";
import {
  addBackfill,
  applyProposals,
  discardProposals,
  readBackfill,
  rollbackBackfill,
} from "../../src/store/backfills.ts";
import { type Outcome, recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, test } from "../fixtures.ts";
import { ended } from "../maitred.ts";
import { judged as judgedBy, ofAll, register } from "../verdicts.ts";

/** The same model and policy as before, as a worker says it that runs another of the model's graphs. */
const judged = (photoId: string, verdict: Verdict, human = 0.5, rendition = false): Outcome => {
  const outcome = judgedBy(photoId, verdict);
  const { scores, decision } = outcome.result;
  return { ...outcome, result: { decision, scores: { ...scores, human }, ...(rendition && { rendition }) } };
};
const fed = (outcome: Outcome): Outcome => ({ ...outcome, fed: true });
const start = async (db: Database, ids: string[], how: object = {}): Promise<string> => {
  const id = await addBackfill(db.pool, { ...ofAll, model: "model:m-1", again: true, ...how });
  const page = { ids, cursor: { after: "x" }, end: true, unreadable: 0 };
  expect(await feedBackfill(db.pool, id, null, page)).toHaveLength(ids.length);
  return id;
};
const three = async (db: Database): Promise<[string, string, string]> => {
  const ids: string[] = [];
  for (const key of ["a", "b", "c"]) ids.push(await register(db, key));
  return ids as [string, string, string];
};
const standing = async (db: Database) =>
  (await db.pool.query("select state, human from photos order by id")).rows.map(
    ({ state, human }) => `${state} ${human}`,
  );
const counts = async (db: Database, id: string) =>
  (await readBackfillCounts(db.pool, id))
    .map(({ before, after, photos }) => `${before} ${after} ${photos}`)
    .sort();
const history = async (db: Database) => (await db.pool.query("select from verdicts")).rowCount;
const run =
  (db: Database) =>
  async (word: string, id: string, ...more: string[]) => {
    return ended(["backfill", word, id, "--by", "ann", ...more], {
      DATABASE_URL: db.url,
    });
  };

describe("a backfill with again", () => {
  test("writes what the same model and policy say otherwise now, once, and can be rolled back", async ({
    db,
  }) => {
    const [a, b, c] = await three(db);
    await recordOutcomes(
      db.pool,
      [a, b, c].map((id) => judged(id, "review")),
    );
    const id = await start(db, [a, b, c]);
    const said = [judged(a, "hidden", 0.75), judged(b, "review", 0.25), judged(c, "review")].map(fed);
    await recordOutcomes(db.pool, said);
    expect(await standing(db)).toEqual(["hidden 0.75", "review 0.25", "review 0.5"]);
    expect(await counts(db, id)).toEqual(["review hidden 1", "review kept 1", "review review 1"]);
    expect(await sampleBackfillChanges(db.pool, id, 9)).toMatchObject([{ photoId: a, after: "hidden" }]);
    expect(await history(db)).toBe(5);
    // the same jobs again, by a worker that says the opposite
    await recordOutcomes(
      db.pool,
      [a, b, c].map((each) => fed(judged(each, "shown", 0.125))),
    );
    await recordOutcomes(db.pool, [judged(a, "shown", 0.125)]);
    expect(await standing(db)).toEqual(["hidden 0.75", "review 0.25", "review 0.5"]);
    expect(await history(db)).toBe(5);
    await endBackfills(db.pool);
    expect(await rollbackBackfill(db.pool, id, "0", "ann")).toMatchObject({ restored: 2 });
    expect(await standing(db)).toEqual(["review 0.5", "review 0.5", "review 0.5"]);
  });

  test("keeps what a moderator decided meanwhile, and what the model said of the photo itself", async ({
    db,
  }) => {
    const [a, b, c] = await three(db);
    await recordOutcomes(db.pool, [judged(a, "review"), judged(b, "review"), judged(c, "review", 0.5, true)]);
    const id = await start(db, [a, b, c], { rendition: "s/{key}" });
    await db.pool.query("select record_review($1, 'ann', 'shown')", [a]);
    await recordOutcomes(
      db.pool,
      [a, b, c].map((each) => fed(judged(each, "hidden", 0.75, true))),
    );
    expect(await standing(db)).toEqual(["shown 0.5", "review 0.5", "hidden 0.75"]);
    expect(await counts(db, id)).toEqual(["review hidden 1", "review kept 1", "shown kept 1"]);
  });

  test("changes nothing by scores that were taken over, for nobody judged the photo", async ({ db }) => {
    const [a] = await three(db);
    await recordOutcomes(db.pool, [judged(a, "review")]);
    const id = await start(db, [a]);
    await recordOutcomes(db.pool, [{ ...fed(judged(a, "hidden", 0.75)), batch: "same-7" }]);
    expect((await standing(db))[0]).toBe("review 0.5");
    expect(await counts(db, id)).toEqual(["review kept 1"]);
  });

  test("that only proposes changes nothing of what another run, or an upload's own job, finds decided", async ({
    db,
  }) => {
    const [a, b, c] = await three(db);
    await recordOutcomes(
      db.pool,
      [a, b, c].map((id) => judged(id, "review")),
    );
    await start(db, [a, b, c], { propose: true });
    await start(db, [a], { again: false, model: "model:m-0" });
    await recordOutcomes(db.pool, [fed(judged(a, "hidden", 0.75)), judged(b, "hidden", 0.75)]);
    expect(await standing(db)).toEqual(["review 0.5", "review 0.5", "review 0.5"]);
    // and one that does not only propose has its verdict, whoever judged the photo for it
    await start(db, [c]);
    await recordOutcomes(db.pool, [judged(c, "hidden", 0.75)]);
    expect((await standing(db))[2]).toBe("hidden 0.75");
  });

  test("proposes it, and applied it stands, but where the photo was decided meanwhile", async ({ db }) => {
    const [a, b, c] = await three(db);
    const d = await register(db, "d");
    await recordOutcomes(
      db.pool,
      [a, b, c, d].map((id) => judged(id, "review")),
    );
    const id = await start(db, [a, b, c, d], { propose: true });
    await recordOutcomes(
      db.pool,
      [a, b, c].map((each) => fed(judged(each, "hidden", 0.75))),
    );
    const gone = { failure: "GONE", message: "no such key", transient: false } as const;
    await recordOutcomes(db.pool, [fed({ ...judged(d, "review"), result: gone })]);
    expect(await standing(db)).toEqual(Array(4).fill("review 0.5"));
    expect(await counts(db, id)).toEqual(["review failed 1", "review hidden 3"]);
    const later = await start(db, [b]);
    await recordOutcomes(db.pool, [fed(judged(b, "shown", 0.125))]);
    await db.pool.query("select record_review($1, 'ann', 'shown')", [c]);
    expect((await endBackfills(db.pool)).sort()).toEqual([id, later]);
    expect(await run(db)("apply", id)).toMatchObject({
      code: 0,
      out: `2 of 4 photos of backfill ${id} are decided as it proposed; 2 were decided otherwise meanwhile\n`,
    });
    expect(await standing(db)).toEqual(["hidden 0.75", "shown 0.125", "shown 0.5", "failed null"]);
  });
});

describe("a backfill that proposed", () => {
  const proposed = async (db: Database, ids: string[]): Promise<string> => {
    const id = await start(db, ids, { propose: true, again: false, model: "model:m-2" });
    await recordOutcomes(
      db.pool,
      ids.map((each) => fed(judgedBy(each, "hidden", "model:m-2"))),
    );
    await endBackfills(db.pool);
    return id;
  };
  const decided = async (db: Database) =>
    (await db.pool.query("select outcome, changed_by, why from backfills")).rows;

  test("is applied or discarded, and whoever comes after that is told so", async ({ db }) => {
    const ids = await three(db);
    const backfill = run(db);
    const [applied, discarded] = [await proposed(db, ids), await proposed(db, ids)];
    expect(await backfill("apply", applied)).toMatchObject({
      code: 0,
      out: `3 photos of backfill ${applied} are decided as it proposed\n`,
    });
    expect(await backfill("discard", discarded, "--json")).toMatchObject({
      code: 0,
      out: `${JSON.stringify({ id: discarded, photos: 3 })}\n`,
    });
    const was = await decided(db);
    const late = (word: string, id: string, said: string) =>
      expect(backfill(word, id, "--by", "bob")).resolves.toEqual({
        code: 2,
        out: "",
        err: `maitred backfill: backfill ${id} was ${said} already\n`,
      });
    await late("discard", applied, "applied");
    await late("apply", discarded, "discarded");
    expect(await decided(db)).toEqual(was);
    // an answer that was lost may be asked for again
    expect(await backfill("apply", applied, "--json")).toMatchObject({
      code: 0,
      out: `${JSON.stringify({ id: applied, photos: 0 })}\n`,
    });
  }, 60_000);

  test("is applied and discarded from where the page before ended, and once more where it proposes meanwhile", async ({
    db,
  }) => {
    const ids = await three(db);
    const runs = [await proposed(db, ids), await proposed(db, ids)];
    expect(await applyProposals(db.pool, runs[0]!, ids[0], "ann", 1)).toMatchObject({
      after: ids[1],
      taken: 1,
    });
    expect(await discardProposals(db.pool, runs[1]!, ids[0], "ann", 1)).toEqual({ after: ids[1], gone: 1 });
    expect(await applyProposals(db.pool, runs[0]!, ids[2], "ann", 1)).toBeUndefined();
    expect(await discardProposals(db.pool, runs[1]!, ids[2], "ann", 1)).toBeUndefined();
    await db.pool.query(`
      create function propose_again() returns trigger language plpgsql as $$ begin
        insert into proposals select old.backfill_id, ${ids[1]}, old.item || '{"id": ${ids[1]}}' where old.photo_id = ${ids[2]};
        return null;
      end $$;
      create trigger propose_again after delete on proposals for each row execute function propose_again()`);
    for (const [index, word] of ["apply", "discard"].entries()) {
      expect(await run(db)(word, runs[index]!, "--json")).toMatchObject({ code: 0 });
    }
    expect((await db.pool.query("select from proposals")).rowCount).toBe(0);
  }, 30_000);

  test("and was applied in part is applied or discarded to its end", async ({ db }) => {
    const ids = await three(db);
    const id = await proposed(db, ids);
    const said = async () => statusLines((await readBackfill(db.pool, id))!, []).join("\n");
    expect(await said()).toMatch(/\nthese are proposals: maitred backfill apply or discard decides on them$/);
    expect(await applyProposals(db.pool, id, "0", "ann", 1)).toMatchObject({ taken: 1, changed: 1 });
    expect(await said()).toMatch(
      /\nit was applied by ann\nproposals are left: maitred backfill apply or discard goes on/,
    );
    expect(await run(db)("discard", id)).toMatchObject({
      code: 0,
      out: `2 photos of backfill ${id} are left as before\n`,
    });
    expect(await decided(db)).toEqual([{ outcome: "applied", changed_by: "ann", why: "discarded" }]);
    expect(await discardProposals(db.pool, id, "0", "bob")).toBeUndefined();
    expect(await decided(db)).toEqual([{ outcome: "applied", changed_by: "ann", why: "discarded" }]);
    expect(await said()).not.toMatch(/proposals/);
  }, 30_000);
});
