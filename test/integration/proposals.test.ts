import { describe, expect } from "vitest";
import { policyIdOf } from "../../src/decide/policy.ts";
import { readBackfillCounts, sampleBackfillChanges } from "../../src/store/backfill-counts.ts";
import { endBackfills, feedBackfill, feedRetries } from "../../src/store/backfill-feed.ts";
import {
  addBackfill,
  applyProposals,
  changeBackfill,
  discardProposals,
  readBackfill,
  retryBackfill,
  rollbackBackfill,
} from "../../src/store/backfills.ts";
import { recordAnew, recordOutcomes } from "../../src/store/verdicts.ts";
import { type Database, test } from "../fixtures.ts";
import { scored } from "../labels.ts";
import { all, allOf, before, feedAll, judge, type Said, seen, states, yaml } from "../policies.ts";
import { failed, judged } from "../verdicts.ts";

async function throughout(page: () => Promise<number>): Promise<number> {
  let total = 0;
  for (;;) {
    const photos = await page();
    if (photos === 0) return total;
    total += photos;
  }
}

const applyAll = (db: Database, id: string, by = "ann"): Promise<number> =>
  throughout(async () => (await applyProposals(db.pool, id, "0", by, 3))?.taken ?? 0);

async function rollback(db: Database, id: string): Promise<number> {
  let [after, total] = ["0", 0];
  for (;;) {
    const page = await rollbackBackfill(db.pool, id, after, "ann", 2);
    if (!page) return total;
    after = page.after;
    total += page.restored;
  }
}

const run = { again: false, maxRate: null, hours: null, startedBy: "ann", model: "model:m-2" };
const after: Record<string, Said> = {
  a: ["food", 0.95, 0.9],
  b: ["ambience", 0.6, 0.01],
  c: ["ambience", 0.8, 0.9],
  d: ["other", 0.7, 0.01],
};

describe("a backfill that is rolled back", () => {
  test("leaves everything as it was, tags and model too, but what was judged again since", async ({ db }) => {
    const ids = await judge(db, before);
    await db.pool.query("insert into photos (store, bucket, key) values ('s3', 'b', 'e')");
    const was = await seen(db);
    const id = await addBackfill(db.pool, { ...run, what: all, propose: false });
    await feedAll(db, id);
    await expect(rollback(db, id)).rejects.toThrow(/wait until it is done/);
    await judge(db, { ...after, e: ["food", 0.9, 0.01] }, { by: "model:m-2", fed: true });
    expect(await states(db)).toBe("hidden shown hidden shown shown");
    await endBackfills(db.pool);
    expect(await rollback(db, id)).toBe(5);
    const why = { rule: "rollback", reason: `backfill ${id} was rolled back` };
    expect(await seen(db)).toEqual({ ...was, e: { ...(was["e"] as object), ...why } });
    expect(await rollback(db, id)).toBe(0);
    await expect(retryBackfill(db.pool, id, undefined, "ann")).rejects.toThrow(
      /was rolled back: .* start --failed/,
    );
    // what somebody decided after the run is not of the run
    const second = await addBackfill(db.pool, { ...run, what: all, propose: false });
    await feedAll(db, second);
    await judge(db, { ...after, e: ["food", 0.9, 0.01] }, { by: "model:m-2", fed: true });
    await endBackfills(db.pool);
    await db.pool.query("select record_review($1, 'bob', 'shown', 'menu')", [ids["a"]]);
    expect(await rollback(db, second)).toBe(4);
    expect(await seen(db)).toMatchObject({
      ...was,
      e: { state: "pending", reason: `backfill ${second} was rolled back` },
      a: { state: "shown", category: "menu", decided_by: "moderator:bob" },
    });
  });
});

describe("a backfill that proposes", () => {
  test("changes nothing until it is applied, and then all but what a moderator decided", async ({ db }) => {
    const ids = await judge(db, before);
    const was = await seen(db);
    const id = await addBackfill(db.pool, { ...run, what: all, propose: true });
    await feedAll(db, id);
    await judge(db, after, { by: "model:m-2", fed: true });
    expect(await seen(db)).toEqual(was);
    const moves = (await readBackfillCounts(db.pool, id)).map(
      ({ before, after, photos }) => `${before} ${after} ${photos}`,
    );
    expect(moves.sort()).toEqual(["hidden hidden 1", "review shown 1", "shown hidden 1", "shown shown 1"]);
    await endBackfills(db.pool);
    await db.pool.query("select record_review($1, 'bob', 'hidden')", [ids["b"]]);
    expect(await applyAll(db, id)).toBe(4);
    expect(await states(db)).toBe("hidden hidden hidden shown");
    expect(await seen(db)).toMatchObject({
      a: { decided_by: "model:m-2" },
      b: { decided_by: "moderator:bob" },
    });
    // applying counts nothing anew, and can be undone
    expect(await readBackfillCounts(db.pool, id)).toHaveLength(4);
    expect(await rollback(db, id)).toBe(3);
    expect(await states(db)).toBe("shown hidden hidden shown");
    await expect(applyAll(db, id)).rejects.toThrow("was rolled back");
  });

  test("counts as kept what was decided otherwise before it was applied", async ({ db }) => {
    const ids = await judge(db, before);
    const id = await addBackfill(db.pool, { ...run, what: all, propose: true });
    await feedAll(db, id);
    // of d only the model is another
    await judge(db, { ...after, d: before["d"]! }, { by: "model:m-2", fed: true });
    await endBackfills(db.pool);
    const moves = async (): Promise<string[]> =>
      (await readBackfillCounts(db.pool, id))
        .map(({ before, after, afterCategory, photos }) => `${before} ${after} ${afterCategory} ${photos}`)
        .sort();
    const [hidden, shown] = ["hidden hidden ambience 1", "shown hidden food 1"];
    expect(await moves()).toEqual([hidden, "review shown ambience 1", shown, "shown shown other 1"]);
    for (const name of ["b", "d"])
      await db.pool.query("select record_review($1, 'bob', 'hidden')", [ids[name]]);
    expect(await applyAll(db, id)).toBe(4);
    expect(await moves()).toEqual([hidden, "review kept food 1", shown, "shown kept other 1"]);
    const changes = await sampleBackfillChanges(db.pool, id, 10);
    expect(changes.map(({ photoId }) => photoId)).toEqual([ids["a"]]);
  });

  test("leaves nothing behind when it is discarded", async ({ db }) => {
    await judge(db, before);
    const was = await seen(db);
    const id = await addBackfill(db.pool, { ...run, what: all, propose: true });
    await feedAll(db, id);
    await judge(db, after, { by: "model:m-2", fed: true });
    await endBackfills(db.pool);
    expect(
      await throughout(async () => (await discardProposals(db.pool, id, "0", "ann", 3))?.gone ?? 0),
    ).toBe(4);
    // whoever applies it afterwards
    expect(await applyAll(db, id, "bob")).toBe(0);
    expect(await readBackfill(db.pool, id)).toMatchObject({ outcome: "discarded", changedBy: "ann" });
    expect(await seen(db)).toEqual(was);
    const plain = await addBackfill(db.pool, { ...run, what: all, propose: false });
    await changeBackfill(db.pool, plain, "cancelled", "ann", "x");
    await expect(applyProposals(db.pool, plain, "0", "ann")).rejects.toThrow(
      /gave verdicts, not proposals: .* rollback/,
    );
  });

  test("that is cancelled keeps what is in the queue from becoming verdicts, and is decided on after that", async ({
    db,
  }) => {
    const ids = await judge(db, before);
    const was = await seen(db);
    const [id, other] = [
      await addBackfill(db.pool, { ...run, what: all, propose: true }),
      await addBackfill(db.pool, { ...run, what: all, propose: false }),
    ];
    await feedAll(db, id);
    await feedBackfill(db.pool, other, null, {
      ids: [ids["d"]!],
      cursor: { after: "x" },
      end: true,
      unreadable: 0,
    });
    const { a, b, ...rest } = after;
    await judge(db, { a: a! }, { by: "model:m-2", fed: true });
    await changeBackfill(db.pool, id, "cancelled", "ann", "wrong model");
    await expect(discardProposals(db.pool, id, "0", "ann")).rejects.toThrow(
      /in the queue: wait until they are judged/,
    );
    // an upload has its verdict, and so has what another run waits for
    await judge(db, { b: b! }, { by: "model:m-2" });
    await judge(db, rest, { by: "model:m-2", fed: true });
    expect(await seen(db)).toMatchObject({
      a: was["a"],
      b: { decided_by: "model:m-2" },
      c: was["c"],
      d: { decided_by: "model:m-2" },
    });
    expect(await readBackfill(db.pool, id)).toMatchObject({ state: "cancelled", fed: 4, waiting: 0 });
    expect(await endBackfills(db.pool)).toEqual([other]);
    expect(await applyAll(db, id)).toBe(2);
    expect(await seen(db)).toMatchObject({ a: { state: "hidden" }, c: { decided_by: "model:m-2" } });
    expect(await rollback(db, id)).toBe(2);
    expect(await seen(db)).toMatchObject({ a: was["a"], c: was["c"] });
  });

  test("waits for its model also where another run decides the photo from scores that are there already", async ({
    db,
  }) => {
    const ids = await judge(db, before);
    const earlier = await addBackfill(db.pool, { ...run, what: all, propose: true, model: "model:m-0" });
    await feedAll(db, earlier);
    await judge(db, { a: ["menu", 0.9, 0.01] }, { by: "model:m-0", fed: true });
    await changeBackfill(db.pool, earlier, "cancelled", "ann", "enough");
    await judge(db, { b: before["b"]!, c: before["c"]!, d: before["d"]! }, { by: "model:m-1", fed: true });
    const id = await addBackfill(db.pool, { ...run, what: all, propose: true });
    await feedAll(db, id);
    const policyRun = await addBackfill(db.pool, {
      ...run,
      what: { kind: "policy", policy: "p-2", upTo: "1000" },
      propose: false,
    });
    const hidden = { ...judged(ids["b"]!, "hidden"), batch: "policy-1", policy: "p-2" };
    const anew = { ...hidden, result: { ...hidden.result, scores: scored(...before["b"]!) } };
    expect(await recordAnew(db.pool, policyRun, [anew], allOf(1))).toBe(true);
    expect(await applyAll(db, earlier)).toBe(1);
    expect(await readBackfill(db.pool, id)).toMatchObject({ waiting: 4 });
    const was = await seen(db);
    expect(was).toMatchObject({ a: { decided_by: "model:m-0" }, b: { policy: "p-2" } });
    await judge(db, after, { by: "model:m-2", fed: true });
    expect(await seen(db)).toEqual(was);
    await endBackfills(db.pool);
    expect(await applyAll(db, id)).toBe(4);
  });

  test("stays that though its jobs are done again by a worker that could not say so", async ({ db }) => {
    const ids = await judge(db, { a: ["food", 0.9, 0.01] });
    const was = await seen(db);
    const byHand = judged(ids["a"]!, "hidden", "model:m-2");
    const outcome = { ...byHand, fed: true as const };
    const id = await addBackfill(db.pool, { ...run, what: all, propose: true });
    await feedAll(db, id);
    await recordOutcomes(db.pool, [outcome]);
    expect(await recordOutcomes(db.pool, [outcome])).toEqual(new Map([[ids["a"], { changed: false }]]));
    await endBackfills(db.pool);
    await throughout(async () => (await discardProposals(db.pool, id, "0", "ann"))?.gone ?? 0);
    await recordOutcomes(db.pool, [outcome]);
    expect(await seen(db)).toEqual(was);
    expect(await readBackfillCounts(db.pool, id)).toMatchObject([{ after: "hidden", photos: 1 }]);
    // and one that is queued by hand is judged, beside whatever was fed
    await recordOutcomes(db.pool, [outcome, byHand, outcome]);
    expect(await states(db)).toBe("hidden");
  });

  test("proposes no failure any more of a photo that is tried again", async ({ db }) => {
    const ids = await judge(db, { a: ["food", 0.9, 0.01] });
    const id = await addBackfill(db.pool, { ...run, what: all, propose: true });
    await feedAll(db, id);
    await recordOutcomes(db.pool, [{ ...failed(ids["a"]!), by: "model:m-2", fed: true }]);
    await retryBackfill(db.pool, id, undefined, "ann");
    expect(await feedRetries(db.pool, id, 10)).toHaveLength(1);
    // its upload was faster
    await judge(db, { a: ["food", 0.9, 0.01] }, { by: "model:m-2" });
    await feedRetries(db.pool, id, 10);
    await endBackfills(db.pool);
    await applyAll(db, id);
    expect(await states(db)).toBe("shown");
  });

  test("of a failure undoes no verdict that the same model and policy gave meanwhile", async ({ db }) => {
    const ids = await judge(db, { a: ["food", 0.9, 0.01] });
    const id = await addBackfill(db.pool, { ...run, what: all, propose: true });
    await feedAll(db, id);
    const by = "model:m-2";
    await recordOutcomes(db.pool, [{ ...failed(ids["a"]!), by, policy: policyIdOf(yaml), fed: true }]);
    await endBackfills(db.pool);
    const counted = await readBackfillCounts(db.pool, id);
    // the bucket is mended, and the photo is uploaded again
    await judge(db, { a: ["food", 0.9, 0.01] }, { by });
    await applyAll(db, id);
    expect(await states(db)).toBe("shown");
    expect(await readBackfillCounts(db.pool, id)).toEqual(counted);
  });

  test("holds up no upload: what the live lane judges is a verdict at once", async ({ db }) => {
    await db.pool.query("insert into photos (store, bucket, key) values ('s3', 'b', 'a')");
    const id = await addBackfill(db.pool, { ...run, what: all, propose: true });
    await feedAll(db, id);
    await judge(db, { a: ["food", 0.9, 0.01] }, { by: "model:m-2" });
    expect(await states(db)).toBe("shown");
    await endBackfills(db.pool);
    expect(await applyAll(db, id)).toBe(0);
  });
});
